"""The stream's format: from an event's JSON to ledger changes, or to the reason why a record is none."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from counters.keys import CENSUS, ENTRIES, ENTRIES_PREFIX, PK, REVISION, SK, parse_entries_pk, places_of
from counters.settlement import SEQUENCE_DIGITS_MAX, PageChange
from counters.values.numbers import AMOUNT_MAX, whole_number

ONLY_SHARD: Final = "only"
"""The label when an event names no shard: emulators have one. No shard of AWS can have it: those have a hyphen."""

_AWS_SHARD: Final = re.compile(r"shardId-(\d{20}-[0-9a-f]+)", re.ASCII)
_SEQUENCE: Final = re.compile(rf"[0-9]{{1,{SEQUENCE_DIGITS_MAX}}}")
_IMAGES: Final = {
    "INSERT": (None, "NewImage"),
    "MODIFY": ("OldImage", "NewImage"),
    "REMOVE": ("OldImage", None),
}
"""Which images a record has: of before the change and of after it."""


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
    changes: list[PageChange]
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
    changes: list[PageChange] = []
    malformed: list[Malformed] = []
    for record in records:
        size += 1
        parsed = parse_record(record)
        if isinstance(parsed, PageChange):
            changes.append(parsed)
        elif parsed is not None:
            malformed.append(parsed)
    return RecordBatch(size, changes, malformed)


def parse_record(record: object) -> PageChange | Malformed | None:
    """Read one record: a change of a page, one that cannot be read, or None when it is neither.

    A rename changes no sum, nor does an emptied page that goes. Where a census asks a page, its record counts. The
    mapping's filter keeps other items out; correctness does not depend on it.
    """
    pk = _text_at(record, "dynamodb", "Keys", PK, "S")
    if pk is None:
        return Malformed(record, "no partition key")
    event_name = _text_at(record, "eventName")
    if not pk.startswith(ENTRIES_PREFIX):
        return None
    if event_name not in _IMAGES:
        return Malformed(record, "unknown event name")
    return _parse_change(record, pk, *_IMAGES[event_name])


class _PageState(NamedTuple):
    """A page as an image shows it; before it was there, and after it went, all is zero."""

    total: int = 0
    revision: int = 0
    asked: int = 0


def _parse_change(record: object, pk: str, old: str | None, new: str | None) -> PageChange | Malformed | None:
    """Read a change of a page, from its old image to its new one."""
    key = parse_entries_pk(pk)
    if key is None:
        return Malformed(record, "unknown form of partition key")
    sequence = _text_at(record, "dynamodb", "SequenceNumber")
    if sequence is None or not _SEQUENCE.fullmatch(sequence):
        return Malformed(record, "no whole sequence number")
    page_id = _text_at(record, "dynamodb", "Keys", SK, "S")
    if page_id is None:
        return Malformed(record, "no sort key")
    before = _PageState() if old is None else _read_page(page_id, _node_at(record, "dynamodb", old))
    after = _PageState() if new is None else _read_page(page_id, _node_at(record, "dynamodb", new))
    if before is None or after is None:
        return Malformed(record, "no image of the page")
    if before.total == after.total and before.asked >= after.asked:
        return None
    # A page is made anew under a caller's own id when it is empty: then what is new counts.
    revision = (before if new is None else after).revision
    return PageChange(key, int(sequence), before.total, after.total, revision, before.asked, after.asked)


def _read_page(page_id: str, image: object) -> _PageState | None:
    """Return what an image tells of a page; None when there is no image."""
    if not isinstance(image, Mapping):
        return None
    revision, asked = (whole_number(_text_at(image, attribute, "N")) or 0 for attribute in (REVISION, CENSUS))
    return _PageState(_total(page_id, _node_at(image, ENTRIES)), revision, asked)


def _total(page_id: str, value: object) -> int:
    """Return the sum of a page's entries, as a recount of the page would give it."""
    places = places_of(page_id)
    # Some emulators write an empty map as ``{}``, without its type.
    entries = {} if value == {} else value.get("M") if isinstance(value, Mapping) else None
    if not isinstance(entries, Mapping):
        # A hand took the map away. The page stands for one entry, unless it could have none.
        return min(1, len(places))
    return sum(_amount(entry) for name, entry in entries.items() if name in places)


def _amount(entry: object) -> int:
    """Return what an entry counts: 1 when it is only a name or cannot be read, else what its list says."""
    parts = entry.get("L") if isinstance(entry, Mapping) else None
    amount = whole_number(_text_at(parts[1], "N")) if isinstance(parts, list) and len(parts) > 1 else None
    return amount if amount is not None and 1 <= amount <= AMOUNT_MAX else 1


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
