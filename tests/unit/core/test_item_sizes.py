"""What a counter's own item weighs, by AWS's rules: a flush is to cost one write unit at any age of the counter.

Sizes are as AWS counts them (DynamoDB developer guide, "DynamoDB item sizes and formats").
"""

from collections.abc import Mapping

from counters.keys import CounterKey
from counters.model import Counter, Cut, Enforcement
from counters.stores.dynamodb.items import counter_item
from counters.values.numbers import WHOLE_MAX

WRITE_UNIT_BYTES = 1024
TIME_MS = 1_790_000_000_000


def weight(item: Mapping[str, object]) -> int:
    """Return the bytes of an item of strings and whole numbers."""
    return sum(len(name) + weight_of(value) for name, value in item.items())


def weight_of(value: object) -> int:
    match value:
        case {"S": str(text)}:
            return len(text.encode())
        case {"N": str(number)}:
            # Two digits a byte, one more for the rest, and one for the sign.
            return (len(number.lstrip("-")) + 1) // 2 + 1 + number.startswith("-")
        case _:
            raise AssertionError(value)


def test_a_counter_s_own_item_is_a_write_unit_whatever_becomes_of_the_counter() -> None:
    everything = Counter(
        key=CounterKey("a" * 128, "n" * 64),
        best_effort=-WHOLE_MAX,
        limit=WHOLE_MAX,
        enforcement=Enforcement.TIGHTENING,
        terms_version=WHOLE_MAX,
        terms_nonce="f" * 16,
        closed_at_ms=TIME_MS,
        slots=64,
        epoch=WHOLE_MAX,
        revision=WHOLE_MAX,
        touched_at_ms=TIME_MS,
        healed_at_ms=TIME_MS,
        healed_revision=WHOLE_MAX,
        healed_cut=WHOLE_MAX,
        healed_epoch=WHOLE_MAX,
        cut=Cut(revision=WHOLE_MAX, amount=-WHOLE_MAX, seen_at_ms=TIME_MS),
    )
    assert weight(counter_item(everything)) <= WRITE_UNIT_BYTES


def test_a_usual_counter_s_own_item_is_less_than_half_of_one() -> None:
    usual = Counter(
        key=CounterKey("01890a5d-ac96-774b-bcce-b302099a8058", "services"),
        best_effort=4_123,
        limit=5_000,
        terms_version=3,
        terms_nonce="f" * 16,
        revision=1_234_567,
        epoch=12,
        touched_at_ms=TIME_MS,
        healed_at_ms=TIME_MS,
        healed_revision=1_234_000,
        healed_cut=1_233_999,
        healed_epoch=12,
    )
    assert weight(counter_item(usual)) < WRITE_UNIT_BYTES / 2
