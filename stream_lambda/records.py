"""The stream's format: from an event's JSON to ledger changes, or to the reason why a record is none."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from counters.keys import AMOUNT, ENTRIES_PREFIX, PK, parse_entries_pk
from counters.settlement import SEQUENCE_DIGITS_MAX, EntryChange
from counters.values.numbers import AMOUNT_MAX, whole_number

ONLY_SHARD: Final = "only"
"""The label when an event names no shard: emulators have one. No shard of AWS can have it: those have a hyphen."""

_AWS_SHARD: Final = re.compile(r"shardId-(\d{20}-[0-9a-f]+)", re.ASCII)
_SEQUENCE: Final = re.compile(rf"[0-9]{{1,{SEQUENCE_DIGITS_MAX}}}")
# The year 5138. Milliseconds taken for seconds, not-a-number and infinity are all outside.
_TIME_S_END: Final = 10**11
_SIGNED_IMAGES: Final = {"INSERT": ("NewImage", 1), "REMOVE": ("OldImage", -1)}


class ShardMissingError(ValueError):
    """The event names no shard although one is required."""


class Malformed(NamedTuple):
    """A record that should be a change of a ledger but cannot be read as one.

    Attributes:
        record: The record as it came.
        reason: What is wrong, one of a few fixed phrases.
    """

    record: object
    reason: str


class Batch(NamedTuple):
    """An event's records, read.

    Attributes:
        size: Records in the event, foreign ones included.
        changes: What happened to ledgers.
        malformed: What should have been such a change.
    """

    size: int
    changes: list[EntryChange]
    malformed: list[Malformed]


def shard_of(event: Mapping[str, object], *, required: bool) -> str:
    """Return the label of the shard that an event comes from, short enough to be kept in every counter.

    The label of an AWS shard, ``shardId-00000001414576573621-f55eea83``, goes without the prefix and the leading
    zeros. As every such id has 20 digits, no two shards share a label.

    Raises:
        ShardMissingError: One is required and there is none: the mapping has no tumbling window.
    """
    shard = event.get("shardId")
    if not isinstance(shard, str) or not shard:
        if required:
            raise ShardMissingError("The event has no shardId: the event source mapping needs a tumbling window.")
        return ONLY_SHARD
    match = _AWS_SHARD.fullmatch(shard)
    return match[1].lstrip("0") if match else shard


def parse_records(records: Iterable[object]) -> Batch:
    """Read an event's records; what has nothing to do with ledgers is counted and left out."""
    size = 0
    changes: list[EntryChange] = []
    malformed: list[Malformed] = []
    for record in records:
        size += 1
        parsed = parse_record(record)
        if isinstance(parsed, EntryChange):
            changes.append(parsed)
        elif parsed is not None:
            malformed.append(parsed)
    return Batch(size, changes, malformed)


def parse_record(record: object) -> EntryChange | Malformed | None:
    """Read one record: a change of a ledger, one that cannot be read, or None when it is neither.

    Renaming an entry (MODIFY) leaves its amount alone, so it is no change of the ledger's total. The mapping's filter
    keeps such records and other items out; correctness does not depend on it.
    """
    pk = _text_at(record, "dynamodb", "Keys", PK, "S")
    if pk is None:
        return Malformed(record, "no partition key")
    event_name = _text_at(record, "eventName")
    if not pk.startswith(ENTRIES_PREFIX) or event_name == "MODIFY":
        return None
    if event_name not in _SIGNED_IMAGES:
        return Malformed(record, "unknown event name")
    return _parse_change(record, pk, *_SIGNED_IMAGES[event_name])


def _parse_change(record: object, pk: str, image: str, sign: int) -> EntryChange | Malformed:
    """Read an insertion into a ledger or a removal from one."""
    key = parse_entries_pk(pk)
    if key is None:
        return Malformed(record, "unknown form of partition key")
    sequence = _text_at(record, "dynamodb", "SequenceNumber")
    if sequence is None or not _SEQUENCE.fullmatch(sequence):
        return Malformed(record, "no whole sequence number")
    amount = whole_number(_text_at(record, "dynamodb", image, AMOUNT, "N"))
    if amount is None or not 1 <= amount <= AMOUNT_MAX:
        return Malformed(record, f"no whole amount from 1 to {AMOUNT_MAX}")
    at_s = _time_of(record)
    if at_s is None:
        return Malformed(record, "no creation time")
    return EntryChange(key, int(sequence), sign * amount, int(at_s * 1000))


def _time_of(record: object) -> float | None:
    """Return when a record came to be, seconds since the epoch; DynamoDB tells it to the second."""
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    at_s = change.get("ApproximateCreationDateTime") if isinstance(change, Mapping) else None
    if not isinstance(at_s, int | float) or isinstance(at_s, bool):
        return None
    return at_s if 0 <= at_s < _TIME_S_END else None


def _text_at(node: object, *path: str) -> str | None:
    """Return the text at the end of a path of object members; None when anything on the way is something else."""
    for name in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(name)
    return node if isinstance(node, str) else None
