"""Stream records are read as ledger changes, or it is said why not."""

import copy
from typing import Any

import pytest

from counters.keys import CounterKey
from counters.settlement import PageChange
from stream_lambda.records import (
    ONLY_SHARD,
    Malformed,
    ShardMissingError,
    parse_record,
    parse_records,
    shard_of,
)
from tests.support import events
from tests.support.events import KEY
from tests.support.factories import page_change


def recorded(event_name: str) -> dict[str, Any]:
    """Return a record of AWS that the test may change."""
    records: list[dict[str, Any]] = events.load("aws_window")["Records"]
    return next(record for record in records if record["eventName"] == event_name)


def counting(amount: str) -> dict[str, Any]:
    """Return an entry of this amount as a page has it."""
    return {"L": [{"S": "billing"}, {"N": amount}]}


def test_event_of_aws_is_read() -> None:
    batch = parse_records(events.load("aws_window")["Records"])
    assert batch.size == 4
    assert batch.changes == [
        page_change(KEY, 4421584500000000017450439091, 1),
        page_change(KEY, 4421584500000000017450439092, 4),
        page_change(KEY, 4421584700000000017450439094, -1),
    ]
    assert batch.malformed == []


def test_events_of_ministack_are_read() -> None:
    records = [
        *events.load("ministack_insert")["Records"],
        *events.load("ministack_modify_and_remove")["Records"],
    ]
    assert parse_records(records).changes == [
        page_change(KEY, 17954705259880000000001, 1),
        page_change(KEY, 17954705259950000000003, -1),
    ]


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("17".zfill(30), 17),
        ("17".zfill(64), 17),
        ("9" * 30, 10**30 - 1),
        # LocalStack's, where a table's stream is one of Kinesis.
        (
            "49669102573624513563241785352204170189612389437842882562",
            49669102573624513563241785352204170189612389437842882562,
        ),
        ("9" * 64, 10**64 - 1),
    ],
)
def test_leading_zeros_and_64_digits_of_a_sequence_number_are_exact(text: str, sequence: int) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["SequenceNumber"] = text
    assert parse_record(record) == page_change(KEY, sequence, 1)


@pytest.mark.parametrize("slot", [0, 63])
def test_every_slot_of_a_ledger_belongs_to_its_counter(slot: int) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["Keys"]["PK"]["S"] = f"ENTRIES#tenant:7#seats#{slot}"
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.key == CounterKey("tenant:7", "seats")


@pytest.mark.parametrize(
    "pk", ["ACCOUNT#a", "COUNTER#a#services", "ACCOUNTS", "JOURNAL#a#views#0", "entries#a#b#0", ""]
)
def test_items_that_are_no_entries_are_ignored(pk: str) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["Keys"]["PK"]["S"] = pk
    assert parse_record(record) is None


def test_renaming_an_entry_is_ignored() -> None:
    assert parse_record(recorded("MODIFY")) is None


UNREADABLE = "no image of the page"
KEY_TEXT = ("dynamodb", "Keys", "PK", "S")
PARTS: dict[tuple[str, ...], str] = {
    ("dynamodb",): "no partition key",
    ("dynamodb", "Keys"): "no partition key",
    ("dynamodb", "Keys", "PK"): "no partition key",
    KEY_TEXT: "no partition key",
    ("dynamodb", "Keys", "SK"): "no sort key",
    ("eventName",): "unknown event name",
    ("dynamodb", "SequenceNumber"): "no whole sequence number",
    ("dynamodb", "NewImage"): UNREADABLE,
}
"""The parts of a record that are needed, and what is said when one is missing or something else."""


@pytest.mark.parametrize(("path", "reason"), PARTS.items())
def test_record_with_a_missing_part_is_malformed(path: tuple[str, ...], reason: str) -> None:
    record = recorded("INSERT")
    _parent(record, path).pop(path[-1])
    assert parse_record(record) == Malformed(record, reason)


@pytest.mark.parametrize("value", [None, 7, [], True])
@pytest.mark.parametrize(("path", "reason"), PARTS.items())
def test_part_of_another_type_makes_a_record_malformed(path: tuple[str, ...], reason: str, value: object) -> None:
    record = recorded("INSERT")
    _parent(record, path)[path[-1]] = value
    assert parse_record(record) == Malformed(record, reason)


@pytest.mark.parametrize(("path", "reason"), [(path, reason) for path, reason in PARTS.items() if path != KEY_TEXT])
def test_any_text_in_place_of_a_part_makes_a_record_malformed(path: tuple[str, ...], reason: str) -> None:
    record = recorded("INSERT")
    _parent(record, path)[path[-1]] = "text"
    assert parse_record(record) == Malformed(record, reason)


@pytest.mark.parametrize(
    "pk",
    ["ENTRIES#", "ENTRIES#a", "ENTRIES#a#services", "ENTRIES#a#services#x", "ENTRIES#a#b#c#0", "ENTRIES#a#Services#0"],
)
def test_partition_key_that_is_not_one_of_ours_makes_a_record_malformed(pk: str) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["Keys"]["PK"]["S"] = pk
    assert parse_record(record) == Malformed(record, "unknown form of partition key")


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1.5", "1e-3", "NaN", " 1", "1_000", "²", "", str(10**9 + 1), str(10**18)]
)
@pytest.mark.parametrize(("event_name", "image"), [("INSERT", "NewImage"), ("REMOVE", "OldImage")])
def test_amount_that_cannot_be_read_counts_as_one_as_in_a_recount(event_name: str, image: str, amount: str) -> None:
    record = recorded(event_name)
    record["dynamodb"][image]["entries"] = {"M": {"0": counting(amount), "7": counting("3")}}
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert abs(change.delta) == 4


@pytest.mark.parametrize(
    "entry", [{}, {"N": "1"}, {"S": 7}, {"L": {}}, {"L": []}, {"L": [{"S": "a"}]}, {"L": [{"S": "a"}, "1"]}, "a", None]
)
def test_a_damaged_entry_holds_up_no_change_of_its_neighbours(entry: object) -> None:
    record = recorded("MODIFY")
    record["dynamodb"]["OldImage"]["entries"] = {"M": {"1": {"S": "a"}, "2": {"S": "b"}, "7": entry}}
    record["dynamodb"]["NewImage"]["entries"] = {"M": {"2": {"S": "b"}, "7": entry}}
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.delta == -1


@pytest.mark.parametrize(
    ("page_id", "total"),
    [
        ("01890a5d-ac96-874a-9b5c-3c8f1e2d4b40", 3),
        # A page of ours has its last 6 bits at zero, and a caller's own id is alone in its page.
        ("01890a5d-ac96-874a-9b5c-3c8f1e2d4b41", None),
        ("order-10", 1),
    ],
)
def test_only_the_places_that_a_page_can_have_are_counted(page_id: str, total: int | None) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["Keys"]["SK"]["S"] = page_id
    record["dynamodb"]["NewImage"]["entries"] = {
        "M": {name: {"S": "a"} for name in ("0", "5", "63", "64", "05", "-1", "x", "")}
    }
    change = parse_record(record)
    assert (change.delta if isinstance(change, PageChange) else change) == total


@pytest.mark.parametrize(
    ("old", "new", "delta"),
    [
        ({"1": {"S": "a"}, "2": {"S": "b"}, "3": {"S": "c"}}, {"1": {"S": "a"}, "3": {"S": "c"}}, -1),
        ({"1": {"S": "a"}}, {}, -1),
        ({}, {"0": {"S": "a"}}, 1),
        ({"1": {"L": [{"S": "a"}, {"N": "5"}]}, "2": {"S": "b"}}, {"2": {"S": "b"}}, -5),
    ],
)
def test_a_change_of_a_page_counts_what_its_sum_changed_by(
    old: dict[str, Any], new: dict[str, Any], delta: int
) -> None:
    record = recorded("MODIFY")
    record["dynamodb"]["OldImage"]["entries"] = {"M": old}
    record["dynamodb"]["NewImage"]["entries"] = {"M": new}
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.delta == delta


@pytest.mark.parametrize("entries", [{"M": {}}, {}])
def test_an_emptied_page_that_goes_is_ignored(entries: dict[str, Any]) -> None:
    """Some emulators write an empty map without its type."""
    record = recorded("REMOVE")
    record["dynamodb"]["OldImage"]["entries"] = entries
    assert parse_record(record) is None


def test_a_number_in_another_notation_is_that_number() -> None:
    record = recorded("INSERT")
    record["dynamodb"]["NewImage"]["entries"]["M"]["0"] = counting("1E+2")
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.delta == 100


def test_largest_amount_is_exact() -> None:
    record = recorded("REMOVE")
    record["dynamodb"]["OldImage"]["entries"]["M"]["0"] = counting(str(10**9))
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.delta == -(10**9)


@pytest.mark.parametrize("sequence", ["", "-1", "1.5", "0x10", "٣", "9" * 65, "0" * 65])
def test_sequence_number_that_is_none_makes_a_record_malformed(sequence: str) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["SequenceNumber"] = sequence
    assert parse_record(record) == Malformed(record, "no whole sequence number")


@pytest.mark.parametrize("value", [None, 7, [], {"S": 7}, True, "text", {"M": []}])
def test_page_whose_entries_a_hand_took_away_counts_one_as_in_a_recount(value: object) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["NewImage"]["entries"] = value
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert (change.before, change.after) == (0, 1)


def test_question_of_a_census_counts_although_it_changes_no_entry() -> None:
    record = recorded("MODIFY")
    image = record["dynamodb"]["NewImage"]
    record["dynamodb"]["OldImage"] = {**image, "census": {"N": "7"}, "revision": {"N": "3"}}
    record["dynamodb"]["NewImage"] = {**image, "census": {"N": "9"}, "revision": {"N": "3"}}
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert (change.delta, change.revision, change.asked_before, change.asked_after) == (0, 3, 7, 9)


def test_page_that_is_made_anew_has_its_new_revision() -> None:
    record = recorded("MODIFY")
    image = record["dynamodb"]["NewImage"]
    empty = {**image, "entries": {"M": {}}, "census": {"N": "7"}, "revision": {"N": "3"}}
    record["dynamodb"]["OldImage"] = empty
    record["dynamodb"]["NewImage"] = {**image, "revision": {"N": "12"}}
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert (change.before, change.revision, change.asked_before, change.asked_after) == (0, 12, 7, 0)


@pytest.mark.parametrize("value", [None, {"S": "5"}, {"N": "x"}, {"N": "1.5"}, 7])
def test_revision_that_cannot_be_read_is_zero_as_in_a_recount(value: object) -> None:
    record = recorded("INSERT")
    record["dynamodb"]["NewImage"]["revision"] = value
    change = parse_record(record)
    assert isinstance(change, PageChange)
    assert change.revision == 0


@pytest.mark.parametrize("record", [None, "text", 7, [], {}])
def test_anything_else_is_malformed(record: object) -> None:
    assert parse_record(record) == Malformed(record, "no partition key")


def test_malformed_record_is_kept_as_it_came_and_holds_up_no_other() -> None:
    records = events.load("aws_window")["Records"]
    records[0]["dynamodb"]["NewImage"] = None
    untouched = copy.deepcopy(records[0])

    batch = parse_records(records)

    assert batch.malformed == [Malformed(untouched, UNREADABLE)]
    assert len(batch.changes) == 2


def test_shard_label_is_the_aws_id_in_short() -> None:
    assert shard_of(events.load("aws_window"), required=True) == "1789999000000-f55eea83"


@pytest.mark.parametrize(
    "shard", ["shardId-000000", "shardId-00000001414576573621-f55eea83-x", "shardId-٠٠٠٠٠٠٠١٤١٤٥٧٦٥٧٣٦٢١-f"]
)
def test_shard_id_of_another_form_is_its_own_label(shard: str) -> None:
    """Shortening such an id might give two shards one label."""
    assert shard_of({"shardId": shard}, required=True) == shard


@pytest.mark.parametrize("event", [{}, {"shardId": ""}, {"shardId": None}, {"shardId": 7}])
def test_missing_shard_id_gets_the_only_label_unless_it_is_required(event: dict[str, object]) -> None:
    assert shard_of(event, required=False) == ONLY_SHARD
    with pytest.raises(ShardMissingError, match="tumbling window"):
        shard_of(event, required=True)


def _parent(record: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path[:-1]:
        record = record[name]
    return record
