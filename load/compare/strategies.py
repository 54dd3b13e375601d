"""What is compared; and each strategy's table, read past the service: what is in it, and what happened to it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from counters import keys
from counters.keys import SERVICES, CounterKey
from load.compare.baselines import layout
from load.compare.baselines.deployment import STREAM_FED
from load.server import ENGINE
from stack import aws
from stack.harness.history import Recorder
from stack.harness.ledger import TableReader, amounts


class Strategy(NamedTuple):
    """A way to keep a limit.

    Attributes:
        name: What it is called.
        what: What it does, in one line.
        entries: What ``load.server`` is asked for.
        enforcement: Of the accounts; the baselines know only one kind.
    """

    name: str
    what: str
    entries: str
    enforcement: str = "strict"


STRATEGIES: Final = (
    Strategy("transactional", "one TransactWriteItems a create: put, and count + 1 if count < limit", "transactional"),
    Strategy("conditional", "ADD to the counter if count < limit, then put", "conditional"),
    Strategy("read-check", "read account and counter, check, put, ADD to the counter", "read-check"),
    Strategy("sharded", "read account and 10 shards, check their sum, put, ADD to one shard", "sharded"),
    Strategy("eventual-only", "read the counter, check, put; a Lambda counts from the stream", STREAM_FED),
    Strategy("hybrid", "this service: write, then count; batched", ENGINE, "hybrid"),
    Strategy("strict", "this service: reserve, then write; batched", ENGINE),
)


class WatchedTable:
    """A strategy's table, and all that is written to it from now on."""

    def __init__(self, endpoint: str, strategy: Strategy, table: str) -> None:
        self._strategy = strategy
        self._table = table
        self._count = keys.EVENTUAL if strategy.entries == ENGINE else layout.COUNT
        self._client = aws.dynamodb_client(endpoint)
        self._reader = TableReader(endpoint, table)
        self._recorder = Recorder(self._reader)

    def count(self, account_id: str) -> int:
        """Return what the strategy says is exact, perhaps a moment late."""
        answer = self._client.batch_get_item(
            RequestItems={self._table: {"Keys": self._counters(account_id), "ConsistentRead": True}}
        )
        return sum(int(item[self._count]["N"]) for item in answer["Responses"][self._table])

    def total(self, account_id: str) -> int:
        """Return how many entries there are."""
        return len(self._reader.entries(account_id))

    def most(self, account_id: str) -> int:
        """Return how many entries there ever were at once, by the table's stream."""
        entries_pk = keys.entries_pk(CounterKey(account_id, SERVICES), 0)
        now, most = 0, 0
        for record in self._recorder.records():
            change = record["dynamodb"]
            if change["Keys"][keys.PK]["S"] == entries_pk:
                now += _entries_in(change.get("NewImage")) - _entries_in(change.get("OldImage"))
                most = max(most, now)
        return most

    def settlements(self, account_id: str) -> int:
        """Return how often the Lambda, if there is one, wrote the account's count: one write unit each."""
        if self._strategy.entries not in {ENGINE, STREAM_FED}:
            return 0
        counters = self._counters(account_id)
        changes = (record["dynamodb"] for record in self._recorder.records() if record["eventName"] == "MODIFY")
        return sum(
            change["OldImage"][self._count] != change["NewImage"][self._count]
            for change in changes
            if change["Keys"] in counters
        )

    def _counters(self, account_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the keys of all items that the count is the sum of."""
        if self._strategy.entries == ENGINE:
            pk, sk = keys.exact_key(CounterKey(account_id, SERVICES))
            return [{keys.PK: {"S": pk}, keys.SK: {"S": sk}}]
        return [layout.counter_key(account_id, shard) for shard in range(layout.SHARDS)]


def _entries_in(item: Mapping[str, Any] | None) -> int:
    """Return how many entries an item of a ledger stands for."""
    return len(amounts(item)) if item else 0
