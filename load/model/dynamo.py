"""DynamoDB for the baselines: what their creates send is carried out on the model's table."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from counters import keys
from counters.keys import Ledger, PrimaryKey
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from counters.stores.dynamodb.failures import CONDITION_FAILED
from load.compare.baselines import layout
from load.compare.baselines.layout import Item
from load.model.assumptions import Call
from load.model.client import ModelClient
from load.model.table import ConflictError, ThrottledError

T = TypeVar("T")


class ModelDynamo:
    """One process's way to the table, which sends calls as ``DynamoClient`` does. Deletes are not in the model.

    Args:
        client: The process's.
        slots: Partitions that an account's entries are spread over, as the engine's are.
    """

    def __init__(self, client: ModelClient, slots: int) -> None:
        self._client = client
        self._table = client.table
        self._slots = slots

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Send``.

        Raises:
            AnswerError: Throttled, in conflict with a transaction, or refused by a condition.
        """
        match Call(action):
            case Call.GET:
                found = await self._call(Call.GET, lambda: self._read([payload["Key"]]))
                return {"Item": found[0]} if found else {}
            case Call.BATCH_GET:
                ((table, wanted),) = payload["RequestItems"].items()
                found = await self._call(Call.BATCH_GET, lambda: self._read(wanted["Keys"]), len(wanted["Keys"]))
                return {"Responses": {table: found}}
            case Call.TRANSACT_WRITE:
                await self._transact([write for one in payload["TransactItems"] for write in one.values()])
            case call:
                await self._call(call, lambda: self._write(payload))
        return {}

    async def _call(self, call: Call, step: Callable[[], Awaitable[T]], items: int = 1) -> T:
        try:
            return await self._client.send(call, step, items=items)
        except ThrottledError as error:
            raise AnswerError(HTTPStatus.BAD_REQUEST, "ProvisionedThroughputExceededException", {}) from error

    async def _read(self, wanted: Sequence[Item]) -> list[Item]:
        pks = [key[keys.PK]["S"] for key in wanted]
        self._table.read(*pks)
        return [self._table.items[pk] for pk in pks if pk in self._table.items]

    async def _write(self, request: Mapping[str, Any]) -> None:
        self._table.write(self._place(request))
        if refusal := self._refusal(request):
            raise ConditionFailedError(HTTPStatus.BAD_REQUEST, "ConditionalCheckFailedException", refusal)
        self._apply(request)

    async def _transact(self, writes: Sequence[Mapping[str, Any]]) -> None:
        # The counter is asked first: for it, most transactions are throttled, which costs nothing.
        places = [self._place(write) for write in reversed(writes)]

        async def prepare() -> None:
            reasons = [self._refusal(write) for write in writes]
            if any(reasons):
                raise _cancelled(reasons)
            self._table.prepare(places)

        async def commit() -> None:
            for write in writes:
                self._apply(write)
            self._table.finish(places)

        try:
            await self._client.send(Call.TRANSACT_WRITE, prepare, commit, items=len(places))
        except ThrottledError as error:
            raise _cancelled([{"Code": "ThrottlingError"}]) from error
        except ConflictError as error:
            raise _cancelled([{"Code": "TransactionConflict"}]) from error

    def _place(self, request: Mapping[str, Any]) -> PrimaryKey:
        """Return where an item is, for its units."""
        item = request.get("Key") or request["Item"]
        place = PrimaryKey(item[keys.PK]["S"], item[keys.SK]["S"])
        counter = keys.parse_entries_pk(place.pk)
        return Ledger(counter, self._slots).page_key(place.sk) if counter else place

    def _counter(self, request: Mapping[str, Any]) -> Item:
        """Return the counter that an update changes; an addition to none makes one."""
        return self._table.items.get(request["Key"][keys.PK]["S"], layout.counted(0))

    def _refusal(self, request: Mapping[str, Any]) -> Item:
        """Return why a write is refused; empty when it is not. There is one condition, that a counter has room."""
        if "ConditionExpression" not in request:
            return {}
        counter = self._counter(request)
        has_room = layout.count_of(counter) < layout.limit_of(counter)
        return {} if has_room else {"Code": CONDITION_FAILED, "Item": counter}

    def _apply(self, request: Mapping[str, Any]) -> None:
        """Count an entry that is put, or change a counter."""
        pk = self._place(request).pk
        if ledger := keys.parse_entries_pk(pk):
            self._table.entries[ledger] += 1
            return
        counter = self._counter(request)
        delta = int(request["ExpressionAttributeValues"][":delta"]["N"])
        self._table.items[pk] = {**counter, **layout.counted(layout.count_of(counter) + delta)}
        self._table.usage.flushes += 1


def _cancelled(reasons: list[dict[str, Any]]) -> AnswerError:
    return AnswerError(HTTPStatus.BAD_REQUEST, "TransactionCanceledException", {"CancellationReasons": reasons})
