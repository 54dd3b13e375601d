"""Between the model and DynamoDB's typed items.

Whatever stands in an item, reading it raises nothing: what cannot be read comes back as damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter, DamagedEntry
from counters.errors import CounterDamagedError
from counters.keys import CounterKey, PrimaryKey
from counters.model import Account, Counter, Enforcement, Entry
from counters.settlement import SEQUENCE_DIGITS_MAX
from counters.values.numbers import AMOUNT_MAX, WHOLE_MAX, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef, UniversalAttributeValueTypeDef

Value: TypeAlias = "UniversalAttributeValueTypeDef"
Item: TypeAlias = "Mapping[str, AttributeValueTypeDef]"
NewItem: TypeAlias = "dict[str, UniversalAttributeValueTypeDef]"

_TIME_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, after which no timestamp can be written."""

_ENFORCEMENTS: Final = {str(enforcement): enforcement for enforcement in Enforcement}


def string(value: str) -> Value:
    """Return a string as an attribute value."""
    return {"S": value}


def number(value: int) -> Value:
    """Return a whole number as an attribute value."""
    return {"N": str(value)}


def limit_value(limit: int | None) -> Value:
    """Return a limit as an attribute value."""
    return string(keys.NO_LIMIT) if limit is None else number(limit)


def key_item(key: PrimaryKey) -> NewItem:
    """Return the key attributes of an item."""
    return {keys.PK: string(key.pk), keys.SK: string(key.sk)}


def account_item(account: Account) -> NewItem:
    """Return an account as it is stored."""
    return {
        **key_item(keys.account_key(account.id)),
        keys.ACCOUNT_ID: string(account.id),
        keys.USERNAME: string(account.username),
        keys.CREATED_AT: number(account.created_at_ms),
    }


def read_account(account_id: str, item: Item) -> Account:
    """Return the account that an item stands for."""
    reading = _Reading(item)
    account = Account(
        id=account_id,
        username=reading.text(keys.USERNAME),
        created_at_ms=reading.time_ms(keys.CREATED_AT),
        username_nonce=reading.text_or_none(keys.USERNAME_NONCE),
    )
    if not reading.unreadable:
        return account
    return DamagedAccount(**msgspec.structs.asdict(account), unreadable=tuple(reading.unreadable), seen=item)


def tombstone_item(account_id: str, expires_at_s: int) -> NewItem:
    """Return what is left of a deleted account: it takes the key, until DynamoDB removes it."""
    return {**key_item(keys.account_key(account_id)), keys.EXPIRES_AT: number(expires_at_s)}


def is_tombstone(item: Item) -> bool:
    """Tell whether an item is what is left of a deleted account."""
    return keys.EXPIRES_AT in item


def counter_item(counter: Counter) -> NewItem:
    """Return a counter as it is stored, without marks; their map is there from the start, as no update can make it."""
    item: NewItem = {
        **key_item(keys.counter_key(counter.key)),
        keys.ACCOUNT_ID: string(counter.key.account_id),
        keys.NAME: string(counter.key.name),
        keys.BEST_EFFORT: number(counter.best_effort),
        keys.EVENTUAL: number(counter.eventual),
        keys.LIMIT: limit_value(counter.limit),
        keys.ENFORCEMENT: string(counter.enforcement),
        keys.SLOTS: number(counter.slots),
        keys.EPOCH: number(counter.epoch),
        keys.REVISION: number(counter.revision),
        keys.TOUCHED_AT: number(counter.touched_at_ms),
        keys.MARKS: {"M": {}},
    }
    later = {
        keys.CLOSED_AT: counter.closed_at_ms,
        keys.SETTLED_AT: counter.settled_at_ms,
        keys.HEALED_AT: counter.healed_at_ms,
        keys.HEALED_REVISION: counter.healed_revision,
        keys.COUNTED_FROM: counter.counted_from_ms,
        # A counter whose terms were never changed has no version.
        keys.TERMS_VERSION: counter.terms_version or None,
    }
    if counter.terms_nonce is not None:
        item[keys.TERMS_NONCE] = string(counter.terms_nonce)
    return item | {attribute: number(value) for attribute, value in later.items() if value is not None}


def read_counter(key: CounterKey, item: Item) -> Counter:
    """Return the counter that an item stands for.

    Raises:
        CounterDamagedError: Something in it cannot be read.
    """
    counter = read_counter_or_damage(key, item)
    if isinstance(counter, DamagedCounter):
        raise CounterDamagedError(counter)
    return counter


def read_counter_or_damage(key: CounterKey, item: Item) -> Counter | DamagedCounter:
    """Return the counter that an item stands for, or what can be read of it."""
    reading = _Reading(item)
    counter = Counter(
        key=key,
        best_effort=reading.whole(keys.BEST_EFFORT, -WHOLE_MAX),
        eventual=reading.whole(keys.EVENTUAL, -WHOLE_MAX),
        limit=reading.limit(),
        enforcement=reading.enforcement(),
        terms_version=reading.whole(keys.TERMS_VERSION) if keys.TERMS_VERSION in item else 0,
        terms_nonce=reading.text_or_none(keys.TERMS_NONCE),
        closed_at_ms=reading.time_ms_or_none(keys.CLOSED_AT),
        slots=reading.whole(keys.SLOTS, 1, keys.SLOTS_MAX, instead=1),
        epoch=reading.whole(keys.EPOCH),
        revision=reading.whole(keys.REVISION),
        touched_at_ms=reading.time_ms(keys.TOUCHED_AT),
        settled_at_ms=reading.time_ms_or_none(keys.SETTLED_AT),
        healed_at_ms=reading.time_ms_or_none(keys.HEALED_AT),
        healed_revision=reading.whole(keys.HEALED_REVISION) if keys.HEALED_REVISION in item else None,
        counted_from_ms=reading.time_ms_or_none(keys.COUNTED_FROM),
    )
    reading.marks()
    if not reading.unreadable:
        return counter
    return DamagedCounter(unreadable=tuple(reading.unreadable), readable=counter, seen=item)


def readable_marks(item: Item) -> Value:
    """Return the marks of an item that can be read."""
    marks = item.get(keys.MARKS, {}).get("M", {})
    return {"M": {shard: mark for shard, mark in marks.items() if _is_mark(mark)}}


def entry_item(key: CounterKey, slots: int, entry: Entry) -> NewItem:
    """Return an entry as it is stored."""
    item: NewItem = {
        **key_item(keys.entry_key(key, slots, entry.id)),
        keys.AMOUNT: number(entry.amount),
        keys.NAME: string(entry.name),
        keys.CREATED_AT: number(entry.created_at_ms),
    }
    if entry.nonce is not None:
        item[keys.NONCE] = string(entry.nonce)
    return item


def read_entry(item: Item) -> Entry:
    """Return the entry that an item stands for."""
    reading = _Reading(item)
    entry = Entry(
        id=item[keys.SK]["S"],
        amount=reading.whole(keys.AMOUNT, 1, AMOUNT_MAX, instead=1),
        name=reading.text(keys.NAME),
        created_at_ms=reading.time_ms(keys.CREATED_AT),
        nonce=reading.text_or_none(keys.NONCE),
        name_nonce=reading.text_or_none(keys.NAME_NONCE),
    )
    if not reading.unreadable:
        return entry
    return DamagedEntry(**msgspec.structs.asdict(entry), unreadable=tuple(reading.unreadable), seen=item)


class _Reading:
    """One item as it is read: what cannot be is replaced by a safe value, and noted.

    Attributes:
        unreadable: Names of the attributes that could not be read.
    """

    __slots__ = ("_item", "unreadable")

    def __init__(self, item: Item) -> None:
        self._item = item
        self.unreadable: list[str] = []

    def whole(self, attribute: str, least: int = 0, most: int = WHOLE_MAX, *, instead: int = 0) -> int:
        try:
            found: int | None = int(self._item[attribute]["N"])
        except (KeyError, ValueError):
            found = whole_number(self._item.get(attribute, {}).get("N"))
        if found is not None and least <= found <= most:
            return found
        self.unreadable.append(attribute)
        return instead

    def time_ms(self, attribute: str) -> int:
        return self.whole(attribute, 0, _TIME_MS_MAX)

    def time_ms_or_none(self, attribute: str) -> int | None:
        """Return a time; None when it is not there, as what it tells of has not happened."""
        return self.whole(attribute, 0, _TIME_MS_MAX) if attribute in self._item else None

    def text(self, attribute: str) -> str:
        try:
            return self._item[attribute]["S"]
        except KeyError:
            self.unreadable.append(attribute)
            return ""

    def text_or_none(self, attribute: str) -> str | None:
        """Return a text; None when it is not there."""
        return self.text(attribute) if attribute in self._item else None

    def limit(self) -> int | None:
        if self._item.get(keys.LIMIT, {}).get("S") == keys.NO_LIMIT:
            return None
        return self.whole(keys.LIMIT)

    def enforcement(self) -> Enforcement:
        found = _ENFORCEMENTS.get(self._item.get(keys.ENFORCEMENT, {}).get("S", ""))
        if found is not None:
            return found
        self.unreadable.append(keys.ENFORCEMENT)
        return Enforcement.TIGHTENING

    def marks(self) -> None:
        marks = self._item.get(keys.MARKS, {}).get("M")
        if not isinstance(marks, dict) or not all(map(_is_mark, marks.values())):
            self.unreadable.append(keys.MARKS)


def _is_mark(value: AttributeValueTypeDef) -> bool:
    """Tell whether a value is a mark: the sequence number is a number, or text of one width when it is a long one."""
    try:
        mark = value["M"]
        sequence = mark[keys.MARK_SEQUENCE]
        digits: str = sequence["N"] if "N" in sequence else sequence["S"]
        has_width = "N" in sequence or len(digits) == SEQUENCE_DIGITS_MAX
        at_ms = int(mark[keys.MARK_AT]["N"])
    except (KeyError, ValueError):
        return False
    return has_width and digits.isdigit() and digits.isascii() and -WHOLE_MAX <= at_ms <= WHOLE_MAX
