"""Every write to the table, in order, from its own stream: proves a rule for every instant, not for some samples.

A sample cannot: it reads ledger and counter one after the other, and both move in between. An emulator's stream has
one shard, so it is the one true order of all writes, whoever made them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from counters import keys
from counters.keys import SERVICES, CounterKey
from stack import aws
from stack.harness.ledger import amounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_dynamodbstreams.type_defs import AttributeValueTypeDef, RecordTypeDef

    from stack.harness.ledger import TableReader

_RECORDS_MAX: Final = 1000


class Instant(NamedTuple):
    """An account right after one write.

    Attributes:
        sequence: The write's number in the stream.
        ledger: The ledger's total.
        best_effort: The immediate counter.
        limit: The limit.
        what: What was written.
    """

    sequence: str
    ledger: int
    best_effort: int
    limit: int
    what: str

    def breaks_one_sided_rule(self) -> bool:
        """Tell whether it is not so that ledger <= best_effort <= limit."""
        return not self.ledger <= self.best_effort <= self.limit


class Past(NamedTuple):
    """What happened to one account.

    Attributes:
        instants: After each write, in order.
        entries: The ids in the ledger at the end.
    """

    instants: Sequence[Instant]
    entries: frozenset[str]


class Recorder:
    """Reads what is written to a table from now on."""

    def __init__(self, table: TableReader) -> None:
        self._streams = aws.streams_client(table.endpoint)
        self._iterator = _start(self._streams, table)
        self._records: list[RecordTypeDef] = []

    def past(self, account_id: str) -> Past:
        """Return all that happened to an account that was made after this recorder."""
        return _replay(self.records(), CounterKey(account_id, SERVICES))

    def records(self) -> Sequence[RecordTypeDef]:
        """Return every write so far, in order."""
        while True:
            answer = self._streams.get_records(ShardIterator=self._iterator, Limit=_RECORDS_MAX)
            self._records += answer["Records"]
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return self._records


def _start(streams: DynamoDBStreamsClient, table: TableReader) -> str:
    """Return where the next record will be."""
    arn = aws.dynamodb_client(table.endpoint).describe_table(TableName=table.name)["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="LATEST")
    return answer["ShardIterator"]


def _replay(records: Sequence[RecordTypeDef], key: CounterKey) -> Past:
    pages: dict[str, dict[str, int]] = {}
    instants = []
    total, best_effort, limit = 0, 0, 0
    for record in _of(records, key):
        change = record["dynamodb"]
        page_id = change["Keys"][keys.SK]["S"]
        image = change.get("NewImage", {})
        if change["Keys"][keys.PK]["S"] == keys.counter_key(key).pk:
            if not image:
                continue
            best_effort, limit = _number(image, keys.BEST_EFFORT), _number(image, keys.LIMIT)
            what = f"epoch {_number(image, keys.EPOCH)}, revision {_number(image, keys.REVISION)}"
        else:
            total -= sum(pages.pop(page_id, {}).values())
            if image:
                pages[page_id] = amounts(cast("Mapping[str, Any]", {**change["Keys"], **image}))
                total += sum(pages[page_id].values())
            what = f"{record['eventName']} {page_id}"
        instants.append(Instant(change["SequenceNumber"], total, best_effort, limit, what))
    return Past(instants, frozenset(entry_id for page in pages.values() for entry_id in page))


def _of(records: Sequence[RecordTypeDef], key: CounterKey) -> Iterator[RecordTypeDef]:
    """Return the records of one counter and its ledger of one slot."""
    pks = {keys.counter_key(key).pk, keys.entries_pk(key, 0)}
    return (record for record in records if record["dynamodb"]["Keys"][keys.PK]["S"] in pks)


def _number(image: Mapping[str, AttributeValueTypeDef], attribute: str) -> int:
    return int(image[attribute]["N"])
