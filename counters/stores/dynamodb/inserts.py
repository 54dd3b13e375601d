"""Inserts of items whose keys may be taken, several in one call.

A call has up to 25 statements of PartiQL, DynamoDB's SQL. An INSERT stores an item if its key is new, as a put with
that condition does, and each statement has an outcome of its own. One call of 25 takes a seventh of the processor time
that 25 puts take.

What is asked for in one turn of the event loop goes together. While two calls are under way, fewer than 25 inserts wait
until one of them ends, or for 10 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.stores.dynamodb import conditions, items
from counters.stores.dynamodb.answers import AnswerError, DamagedAnswerError
from counters.stores.dynamodb.failures import from_answer, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_aiobotocore_dynamodb.type_defs import (
        BatchStatementErrorTypeDef,
        BatchStatementRequestTypeDef,
        BatchStatementResponseTypeDef,
    )

    from counters.keys import PrimaryKey
    from counters.stores.dynamodb.client import DynamoClient
    from counters.stores.dynamodb.table import Table

_CALL_MAX: Final = 25
"""Most statements in one call; DynamoDB's limit."""

_CALLS_BUSY: Final = 2
"""While so many calls are under way, a call that is not full waits: one is on its way while another is worked on."""

_WAIT_S: Final = 0.01
"""Longest wait of an insert for its call, so that calls that are stuck hold up nobody else."""

_HELD_UP_S: Final = 0.5
"""After so long in the line it is asked again whether somebody still waits. The process may have stood still, and who
ran out of time meanwhile learns of it a moment later only. What was reserved must not be written that late."""

_KEY_IS_TAKEN: Final = frozenset({"DuplicateItem", "ConditionalCheckFailed"})


class _Insert(NamedTuple):
    """An item on its way.

    Attributes:
        key: The item's key.
        item: The item.
        outcome: None when it was stored, else the item that has its key; cancelled when nobody waits any more.
        waited_for_at: Monotonic time, in seconds, at which somebody certainly waited for it.
    """

    key: PrimaryKey
    item: items.NewItem
    outcome: asyncio.Future[items.Item | None]
    waited_for_at: float

    def resolve(self, found: items.Item | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(found)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class Inserts:
    """Stores new items in one table; those that come together go together."""

    def __init__(self, client: DynamoClient, table: Table) -> None:
        self._client = client
        self._table = table
        self._line: deque[_Insert] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._turn: asyncio.Handle | None = None
        self._latest: asyncio.TimerHandle | None = None

    async def insert(self, key: PrimaryKey, item: items.NewItem) -> items.Item | None:
        """Store an item, unless its key is taken.

        Whoever stops waiting takes the insert out of the line. One that was sent may be carried out all the same.

        Returns:
            None when it was stored; else the item that has the key, as it was at the refusal or after it.

        Raises:
            NotAppliedError: It was not stored: it was throttled, say, or what has its key could not be read.
            OutcomeUnknownError: It may be stored.
            StoreRejectedError: It was not stored, and repeating cannot help.
        """
        loop = asyncio.get_running_loop()
        insert = _Insert(key, item, loop.create_future(), monotonic())
        self._line.append(insert)
        if self._turn is None:
            self._turn = loop.call_soon(self._end_turn)
        return await insert.outcome

    def _end_turn(self) -> None:
        self._turn = None
        self._send_due()

    def _send_due(self) -> None:
        """Send full calls at once, and what is left when few calls are under way."""
        while len(self._line) >= _CALL_MAX or (self._line and len(self._calls) < _CALLS_BUSY):
            self._send()
        if self._line and self._latest is None:
            self._latest = asyncio.get_running_loop().call_later(_WAIT_S, self._send_all)

    def _send_all(self) -> None:
        self._latest = None
        while self._line:
            self._send()

    def _send(self) -> None:
        """Begin a call with the first in the line."""
        call: dict[PrimaryKey, _Insert] = {}
        later: list[_Insert] = []
        while self._line and len(call) < _CALL_MAX:
            insert = self._line.popleft()
            if insert.outcome.done():
                continue
            # DynamoDB takes no call with two items of one key.
            if insert.key in call:
                later.append(insert)
            else:
                call[insert.key] = insert
        self._line.extendleft(reversed(later))
        if call:
            task = asyncio.create_task(self._carry_out([*call.values()]))
            self._calls.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._send_due()

    async def _carry_out(self, call: Sequence[_Insert]) -> None:
        """Send one call and tell everyone the outcome."""
        inserts = self._in_time(call)
        if not inserts:
            return
        try:
            if len(inserts) == 1:
                # The answer to a put that is refused shows what has the key.
                (insert,) = inserts
                insert.resolve(await self._table.put(insert.item, conditions.IS_NEW))
            else:
                await self._tell_taken(self._tell(inserts, await self._execute(inserts)))
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs what is unforeseen
            for insert in inserts:
                insert.fail(error)

    def _in_time(self, call: Sequence[_Insert]) -> Sequence[_Insert]:
        """Return the inserts that somebody waits for. Where that is not certain, they go back to the line."""
        now = monotonic()
        live = [insert for insert in call if not insert.outcome.done()]
        held_up = [insert for insert in live if now - insert.waited_for_at > _HELD_UP_S]
        if held_up:
            # Whose time is over by now has an earlier timer than this.
            put_back = [insert._replace(waited_for_at=now) for insert in held_up]
            asyncio.get_running_loop().call_later(_WAIT_S, self._put_back, put_back)
        return [insert for insert in live if now - insert.waited_for_at <= _HELD_UP_S]

    def _put_back(self, inserts: Sequence[_Insert]) -> None:
        self._line.extendleft(reversed(inserts))
        self._send_due()

    async def _execute(self, inserts: Sequence[_Insert]) -> Sequence[BatchStatementResponseTypeDef]:
        with translated():
            answer = await self._client.batch_execute_statement(
                Statements=[_statement(self._table.name, insert.item) for insert in inserts]
            )
            responses = answer.get("Responses", [])
            if len(responses) != len(inserts):
                raise DamagedAnswerError(f"{len(responses)} outcomes of {len(inserts)} statements.")
        return responses

    @staticmethod
    def _tell(
        inserts: Sequence[_Insert], responses: Sequence[BatchStatementResponseTypeDef]
    ) -> Mapping[PrimaryKey, _Insert]:
        """Tell the outcomes that are known by the call; return the inserts whose keys are taken."""
        taken: dict[PrimaryKey, _Insert] = {}
        for insert, response in zip(inserts, responses, strict=True):
            error = response.get("Error")
            if error is None:
                insert.resolve(None)
            elif error.get("Code") in _KEY_IS_TAKEN:
                taken[insert.key] = insert
            else:
                insert.fail(from_answer(_as_answer(error)))
        return taken

    async def _tell_taken(self, taken: Mapping[PrimaryKey, _Insert]) -> None:
        """Tell what has the keys that are taken, by one read that is sent after the refusals."""
        try:
            found = await self._table.get_all(list(taken))
        except OutcomeUnknownError as error:
            # What has the key is unknown, but these inserts were certainly refused.
            raise NotAppliedError(str(error)) from error
        for key, insert in taken.items():
            if key in found:
                insert.resolve(found[key])
            else:
                insert.fail(NotAppliedError("The item that had the key is gone."))


def _statement(table: str, item: items.NewItem) -> BatchStatementRequestTypeDef:
    """Return the statement that inserts an item. Its text has our own names only, and all values are parameters."""
    attributes = ", ".join(f"'{attribute}': ?" for attribute in item)
    return {"Statement": f'INSERT INTO "{table}" VALUE {{{attributes}}}', "Parameters": [*item.values()]}


def _as_answer(error: BatchStatementErrorTypeDef) -> AnswerError:
    """Return a statement's error as if it were that of a call of its own. One without a code proves nothing."""
    code = error.get("Code", "")
    return AnswerError(HTTPStatus.BAD_REQUEST if code else HTTPStatus.INTERNAL_SERVER_ERROR, code, error)
