"""Inserts in one call: who goes together, who waits, and what each outcome proves. A wire of ours answers as told."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from counters.errors import NotAppliedError, OutcomeUnknownError, StoreError, StoreRejectedError
from counters.keys import Ledger
from counters.model import Entry, LedgerPage
from counters.stores.dynamodb import DynamoClient, DynamoStore, inserts
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError, NoAnswerError, NotSentError
from tests.support import factories
from tests.support.ledgers import entries_of_one_page
from tests.support.virtual_time import in_virtual_time

LATENCY_S = 0.004
LEDGER = Ledger(factories.counter_key(), 1)

Call = Mapping[str, Any]
Answer = dict[str, Any]


class FakeWire:
    """Answers calls as a table would, after a while, and notes them; an id may have a fault.

    Attributes:
        sent: What was sent, in order.
        taken: The items that are there, by sort key.
        faults: What the statement of an id, or a whole call that has it, is answered instead.
        stuck: Ids whose calls are answered only when the test ends.
        read_error: What each read is answered, if it is to fail.
        hides: Ids that no read finds.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, Call]] = []
        self.taken: dict[str, Answer] = {}
        self.faults: dict[str, Answer | Exception] = {}
        self.stuck: set[str] = set()
        self.read_error: Exception | None = None
        self.hides: set[str] = set()

    @property
    def sizes(self) -> list[int]:
        """How many inserts each call had; a put has one."""
        return [len(call.get("Statements", ["put"])) for action, call in self.sent if action != "BatchGetItem"]

    @property
    def actions(self) -> list[str]:
        """The operations of all calls, in order."""
        return [action for action, _ in self.sent]

    async def send(self, *, action: str, payload: Call) -> Answer:
        """See ``Send``."""
        self.sent.append((action, payload))
        await asyncio.sleep(LATENCY_S)
        match action:
            case "PutItem":
                return self._put(payload["Item"])
            case "BatchExecuteStatement":
                return await self._execute(payload)
            case _:
                return self._read(payload)

    def _put(self, item: Answer) -> Answer:
        there = self.taken.setdefault(item["SK"]["S"], item)
        if there is not item:
            raise ConditionFailedError(400, "ConditionalCheckFailedException", {"Item": there})
        return {}

    async def _execute(self, call: Call) -> Answer:
        ids = [statement["Parameters"][1]["S"] for statement in call["Statements"]]
        if self.stuck & {*ids}:
            await asyncio.Event().wait()
        for fault in (self.faults.get(one) for one in ids):
            if isinstance(fault, Exception):
                raise fault
        return {"Responses": [self._insert(statement["Parameters"]) for statement in call["Statements"]]}

    def _insert(self, values: list[Answer]) -> Answer:
        sort_key = values[1]["S"]
        if sort_key in self.faults:
            return {"Error": self.faults[sort_key]}
        names = ("PK", "SK", "created_at", "revision", "entries", "nonce")
        item = dict(zip(names, values, strict=False))
        if self.taken.setdefault(sort_key, item) is not item:
            return {"Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}}
        return {}

    def _read(self, call: Call) -> Answer:
        if self.read_error is not None:
            raise self.read_error
        ((table, wanted),) = call["RequestItems"].items()
        assert wanted["ConsistentRead"]
        ids = {key["SK"]["S"] for key in wanted["Keys"]} - self.hides
        return {"Responses": {table: [item for one, item in self.taken.items() if one in ids]}}


def store_on(wire: FakeWire, *, own_ids_in_batches: bool = True) -> DynamoStore:
    return DynamoStore(DynamoClient(wire.send), "table", own_ids_in_batches=own_ids_in_batches)


def own_entries(size: int) -> list[Entry]:
    return [factories.entry(f"order-{number}", nonce=f"n{number}") for number in range(size)]


async def insert_all(store: DynamoStore, entries: list[Entry]) -> list[LedgerPage | BaseException | None]:
    """Insert entries, all at once."""
    calls = (store.insert_page(LEDGER, [entry]) for entry in entries)
    return await asyncio.gather(*calls, return_exceptions=True)


class TestCalls:
    """Which inserts go together, and when."""

    @in_virtual_time
    async def test_what_comes_together_goes_in_full_calls(self) -> None:
        wire = FakeWire()
        assert await insert_all(store_on(wire), own_entries(60)) == [None] * 60
        assert wire.sizes == [25, 25, 10]
        assert wire.actions == ["BatchExecuteStatement"] * 3
        assert len(wire.taken) == 60

    @in_virtual_time
    async def test_one_that_comes_alone_is_a_put_at_once_whose_answer_shows_what_has_the_key(self) -> None:
        wire = FakeWire()
        store, (entry, *_) = store_on(wire), own_entries(1)
        started_at = asyncio.get_running_loop().time()
        assert await store.insert_page(LEDGER, [entry]) is None
        assert asyncio.get_running_loop().time() - started_at == pytest.approx(LATENCY_S)
        assert await store.insert_page(LEDGER, [entry]) == LedgerPage(entries=(entry,), nonce=entry.nonce)
        assert wire.actions == ["PutItem", "PutItem"]

    @in_virtual_time
    async def test_what_comes_while_two_calls_are_under_way_goes_together_when_one_ends(self) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(12)
        async with asyncio.timeout(2 * LATENCY_S + 0.001), asyncio.TaskGroup() as tasks:
            for entry in entries:
                tasks.create_task(store.insert_page(LEDGER, [entry]))
                await asyncio.sleep(LATENCY_S / 16)
        assert wire.sizes == [1, 1, 10]

    @in_virtual_time
    async def test_calls_that_are_stuck_hold_up_nobody_for_longer_than_10_ms(self) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(56)
        wire.stuck = {"order-0", "order-25"}
        stuck = asyncio.create_task(insert_all(store, entries[:50]))
        await asyncio.sleep(0.001)
        for later in (entries[50:53], entries[53:]):
            async with asyncio.timeout(0.01 + LATENCY_S + 0.001):
                assert await insert_all(store, later) == [None] * 3
        assert wire.sizes == [25, 25, 3, 3]
        stuck.cancel()

    @in_virtual_time
    async def test_one_key_that_is_asked_for_twice_goes_in_two_calls(self) -> None:
        wire = FakeWire()
        first, other, second = (
            factories.entry(id_, nonce=nonce) for id_, nonce in (("a", "1"), ("b", "2"), ("a", "3"))
        )
        outcomes = await insert_all(store_on(wire), [first, other, second])
        assert outcomes == [None, None, LedgerPage(entries=(first,), nonce="1")]
        assert wire.sizes == [2, 1]

    @in_virtual_time
    async def test_an_insert_that_nobody_waits_for_any_more_is_not_sent(self) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(53)
        wire.stuck = {"order-0", "order-25"}
        stuck = asyncio.create_task(insert_all(store, entries[:50]))
        await asyncio.sleep(0.001)
        given_up, *others = (asyncio.create_task(store.insert_page(LEDGER, [entry])) for entry in entries[50:])
        await asyncio.sleep(0.001)
        given_up.cancel()
        assert await asyncio.gather(*others) == [None, None]
        assert {*wire.taken} == {entry.id for entry in entries[51:]}
        stuck.cancel()

    @pytest.mark.parametrize("fault", [None, NoAnswerError("timeout")])
    @in_virtual_time
    async def test_one_that_gave_up_takes_nobody_elses_answer_away(self, fault: Exception | None) -> None:
        wire = FakeWire()
        wire.faults = {"order-0": fault} if fault else {}
        store, entries = store_on(wire), own_entries(3)
        given_up, *others = (asyncio.create_task(store.insert_page(LEDGER, [entry])) for entry in entries)
        await asyncio.sleep(LATENCY_S / 2)
        given_up.cancel()
        outcomes = await asyncio.gather(*others, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError if fault else type(None)] * 2

    @pytest.mark.parametrize(("patience_s", "are_sent"), [(0.05, False), (10.0, True)])
    @pytest.mark.parametrize("turns", [1, 2], ids=["in the line", "in a call that is not sent yet"])
    async def test_after_a_process_stood_still_only_those_are_sent_whose_callers_still_wait(
        self, *, turns: int, patience_s: float, are_sent: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was reserved long ago may be counted no more, so it must not be stored."""
        monkeypatch.setattr(inserts, "_HELD_UP_S", 0.02)
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(3)

        async def insert(entry: Entry) -> None:
            async with asyncio.timeout(patience_s):
                await store.insert_page(LEDGER, [entry])

        callers = [asyncio.create_task(insert(entry)) for entry in entries]
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not wire.sent
        time.sleep(0.1)  # noqa: ASYNC251 - the process stands still
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None) if are_sent else TimeoutError] * 3
        # Longer than they could still wait, and be under way.
        await asyncio.sleep(0.05)
        assert len(wire.taken) == (3 if are_sent else 0)

    @in_virtual_time
    async def test_pages_of_our_ids_and_what_replaces_an_emptied_page_go_by_themselves(self) -> None:
        wire = FakeWire()
        store, emptied = store_on(wire), LedgerPage(entries=(), nonce="n9")
        ours = [entries_of_one_page(2, number=number) for number in range(2)]
        replacing = own_entries(2)
        await asyncio.gather(
            *(store.insert_page(LEDGER, page) for page in ours),
            *(store.insert_page(LEDGER, [entry], emptied) for entry in replacing),
        )
        assert wire.actions == ["PutItem"] * 4

    @in_virtual_time
    async def test_without_batches_each_insert_is_a_put(self) -> None:
        wire = FakeWire()
        assert await insert_all(store_on(wire, own_ids_in_batches=False), own_entries(30)) == [None] * 30
        assert wire.actions == ["PutItem"] * 30

    @in_virtual_time
    async def test_nothing_of_a_caller_is_in_a_statement_s_text(self) -> None:
        wire = FakeWire()
        entries = [factories.entry(f"id-{n}", name='x\'}; DELETE FROM "table" ?', nonce=f"n{n}") for n in range(2)]
        await insert_all(store_on(wire), entries)
        ((_, call),) = wire.sent
        names = "'PK': ?, 'SK': ?, 'created_at': ?, 'revision': ?, 'entries': ?, 'nonce': ?"
        assert {one["Statement"] for one in call["Statements"]} == {f'INSERT INTO "table" VALUE {{{names}}}'}


class TestOutcomes:
    """Each insert has an outcome of its own."""

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            ({"Code": "ProvisionedThroughputExceeded"}, NotAppliedError),
            ({"Code": "ThrottlingError"}, NotAppliedError),
            ({"Code": "RequestLimitExceeded"}, NotAppliedError),
            ({"Code": "TransactionConflict"}, NotAppliedError),
            ({"Code": "InternalServerError"}, OutcomeUnknownError),
            ({}, OutcomeUnknownError),
            ({"Code": "ValidationError", "Message": "no"}, StoreRejectedError),
            ({"Code": "ResourceNotFound"}, StoreRejectedError),
            ({"Code": "AccessDenied"}, StoreRejectedError),
            ({"Code": "ItemCollectionSizeLimitExceeded"}, StoreRejectedError),
        ],
    )
    @in_virtual_time
    async def test_the_error_of_one_statement_is_that_of_one_insert(
        self, fault: dict[str, object], expected: type[StoreError]
    ) -> None:
        wire = FakeWire()
        wire.faults = {"order-1": fault}
        stored, failed, also_stored = await insert_all(store_on(wire), own_entries(3))
        assert (stored, type(failed), also_stored) == (None, expected, None)

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (AnswerError(400, "ThrottlingException", {}), NotAppliedError),
            (NotSentError("no connection"), NotAppliedError),
            (NoAnswerError("timeout"), OutcomeUnknownError),
            (AnswerError(500, "InternalServerError", {}), OutcomeUnknownError),
            (AnswerError(400, "ValidationException", {}), StoreRejectedError),
            (ZeroDivisionError(), ZeroDivisionError),
        ],
    )
    @in_virtual_time
    async def test_a_call_that_fails_is_the_failure_of_all_in_it_and_of_nobody_else(
        self, fault: Exception, expected: type[Exception]
    ) -> None:
        wire = FakeWire()
        wire.faults = {"order-3": fault}
        outcomes = await insert_all(store_on(wire), own_entries(30))
        assert [type(outcome) for outcome in outcomes[:25]] == [expected] * 25
        assert outcomes[25:] == [None] * 5

    @in_virtual_time
    async def test_an_answer_of_too_few_outcomes_proves_nothing(self) -> None:
        async def send(*, action: str, payload: Call) -> Answer:
            assert action == "BatchExecuteStatement"
            return {"Responses": [{} for _ in payload["Statements"]][1:]}

        outcomes = await insert_all(DynamoStore(DynamoClient(send), "table"), own_entries(3))
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError] * 3

    @in_virtual_time
    async def test_all_keys_of_a_call_that_are_taken_are_read_at_once_and_after_it(self) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(6)
        await insert_all(store, entries[:4])
        outcomes = await insert_all(store, entries)
        assert outcomes == [*(LedgerPage(entries=(one,), nonce=one.nonce) for one in entries[:4]), None, None]
        assert wire.actions == ["BatchExecuteStatement", "BatchExecuteStatement", "BatchGetItem"]

    @in_virtual_time
    async def test_who_was_stored_does_not_wait_for_the_others_read(self) -> None:
        wire = FakeWire()
        store, (taken, free) = store_on(wire), own_entries(2)
        await store.insert_page(LEDGER, [taken])
        refused = asyncio.create_task(store.insert_page(LEDGER, [taken]))
        async with asyncio.timeout(1.5 * LATENCY_S):
            assert await store.insert_page(LEDGER, [free]) is None
        assert await refused == LedgerPage(entries=(taken,), nonce=taken.nonce)

    @pytest.mark.parametrize(
        ("read_error", "expected"),
        [
            (NoAnswerError("timeout"), NotAppliedError),
            (AnswerError(500, "InternalServerError", {}), NotAppliedError),
            (AnswerError(400, "ThrottlingException", {}), NotAppliedError),
            (AnswerError(400, "AccessDeniedException", {}), StoreRejectedError),
        ],
    )
    @in_virtual_time
    async def test_a_refused_insert_is_certainly_not_stored_also_when_nobody_can_tell_what_has_its_key(
        self, read_error: Exception, expected: type[StoreError]
    ) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(3)
        await insert_all(store, entries[:2])
        wire.read_error = read_error
        *refused, stored = await insert_all(store, entries)
        assert [type(outcome) for outcome in refused] == [expected] * 2
        assert stored is None

    @in_virtual_time
    async def test_a_refused_insert_whose_key_is_free_by_now_is_to_be_tried_again(self) -> None:
        wire = FakeWire()
        store, entries = store_on(wire), own_entries(2)
        await insert_all(store, entries)
        wire.hides = {"order-0"}
        gone, there = await insert_all(store, entries)
        assert isinstance(gone, NotAppliedError)
        assert there == LedgerPage(entries=(entries[1],), nonce=entries[1].nonce)
