"""The stream's format: from an event's JSON to ledger changes, or to the reason why a record is none."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from counters.keys import ENTRIES, ENTRIES_PREFIX, PK, SK, parse_entries_pk, places_of
from counters.settlement import SEQUENCE_DIGITS_MAX, EntryChange
from counters.values.numbers import AMOUNT_MAX, whole_number

ONLY_SHARD: Final = "only"
"""The label when an event names no shard: emulators have one. No shard of AWS can have it: those have a hyphen."""

_AWS_SHARD: Final = re.compile(r"shardId-(\d{20}-[0-9a-f]+)", re.ASCII)
_SEQUENCE: Final = re.compile(rf"[0-9]{{1,{SEQUENCE_DIGITS_MAX}}}")
# The year 5138. Milliseconds taken for seconds, not-a-number and infinity are all outside.
_TIME_S_END: Final = 10**11
_SIGNED_IMAGES: Final = {
    "INSERT": (("NewImage", 1),),
    "MODIFY": (("NewImage", 1), ("OldImage", -1)),
    "REMOVE": (("OldImage", -1),),
}


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


class RecordBatch(NamedTuple):
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


def parse_records(records: Iterable[object]) -> RecordBatch:
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
    return RecordBatch(size, changes, malformed)


def parse_record(record: object) -> EntryChange | Malformed | None:
    """Read one record: a change of a ledger's total, one that cannot be read, or None when it is neither.

    A rename changes no total, nor does an emptied page that goes. The mapping's filter keeps other items out;
    correctness does not depend on it.
    """
    pk = _text_at(record, "dynamodb", "Keys", PK, "S")
    if pk is None:
        return Malformed(record, "no partition key")
    event_name = _text_at(record, "eventName")
    if not pk.startswith(ENTRIES_PREFIX):
        return None
    if event_name not in _SIGNED_IMAGES:
        return Malformed(record, "unknown event name")
    return _parse_change(record, pk, _SIGNED_IMAGES[event_name])


def _parse_change(record: object, pk: str, images: Iterable[tuple[str, int]]) -> EntryChange | Malformed | None:
    """Read a change of a page."""
    key = parse_entries_pk(pk)
    if key is None:
        return Malformed(record, "unknown form of partition key")
    sequence = _text_at(record, "dynamodb", "SequenceNumber")
    if sequence is None or not _SEQUENCE.fullmatch(sequence):
        return Malformed(record, "no whole sequence number")
    page_id = _text_at(record, "dynamodb", "Keys", SK, "S")
    if page_id is None:
        return Malformed(record, "no sort key")
    delta = 0
    for image, sign in images:
        total = _total(page_id, _node_at(record, "dynamodb", image, ENTRIES))
        if total is None:
            return Malformed(record, "no map of entries")
        delta += sign * total
    at_s = _time_of(record)
    if at_s is None:
        return Malformed(record, "no creation time")
    return EntryChange(key, int(sequence), delta, int(at_s * 1000)) if delta else None


def _total(page_id: str, value: object) -> int | None:
    """Return the sum of a page's entries, as a recount of the page would give it; None when it has no map of them."""
    if not isinstance(value, Mapping):
        return None
    # Some emulators write an empty map as ``{}``, without its type.
    entries = value.get("M", {} if not value else None)
    if not isinstance(entries, Mapping):
        return None
    places = places_of(page_id)
    return sum(_amount(entry) for name, entry in entries.items() if name in places)


def _amount(entry: object) -> int:
    """Return what an entry counts: 1 when it is only a name or cannot be read, else what its list says."""
    parts = entry.get("L") if isinstance(entry, Mapping) else None
    amount = whole_number(_text_at(parts[1], "N")) if isinstance(parts, list) and len(parts) > 1 else None
    return amount if amount is not None and 1 <= amount <= AMOUNT_MAX else 1


def _time_of(record: object) -> float | None:
    """Return when a record came to be, seconds since the epoch; DynamoDB tells it to the second."""
    change = record.get("dynamodb") if isinstance(record, Mapping) else None
    at_s = change.get("ApproximateCreationDateTime") if isinstance(change, Mapping) else None
    if not isinstance(at_s, int | float) or isinstance(at_s, bool):
        return None
    return at_s if 0 <= at_s < _TIME_S_END else None


def _text_at(node: object, *path: str) -> str | None:
    """Return the text at the end of a path of object members; None when anything on the way is something else."""
    text = _node_at(node, *path)
    return text if isinstance(text, str) else None


def _node_at(node: object, *path: str) -> object:
    """Return what is at the end of a path of object members; None when anything on the way is something else."""
    for name in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(name)
    return node
