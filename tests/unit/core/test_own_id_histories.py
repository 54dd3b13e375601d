"""Random histories of one id of a caller's own: created, deleted and created again, while calls are lost or late."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, TypeVar

import pytest

from counters.errors import EntryNotFoundError, NotAppliedError, OutcomeUnknownError, OverloadedError
from counters.keys import CounterKey, Ledger
from counters.model import Entry, LedgerPage
from stack.harness.virtual_time import run_in_virtual_time
from tests.support.callers import LATENCY_S
from tests.support.engines import make_account, make_engine
from tests.support.late import LATE_S
from tests.support.stores import WatchedStore

T = TypeVar("T")

OWN_ID: Final = "order-17"
STEPS: Final = 10


class LateStore(WatchedStore):
    """A store whose writes to the ledger are refused, lost, answered by nobody, or late, by chance."""

    def __init__(self, random: Random) -> None:
        super().__init__(LATENCY_S)
        self._random = random
        self._trouble = random.choice([0.1, 0.3, 0.6])
        self._late: set[asyncio.Task[object]] = set()

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``."""
        return await self._try(lambda: WatchedStore.insert_page(self, ledger, entries, emptied))

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """See ``Store``."""
        return await self._try(lambda: WatchedStore.delete_entries(self, ledger, seen, at_ms))

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._random.random() >= self._trouble:
            return await call()
        match self._random.choice(["throttled", "lost", "unanswered", "late", "late"]):
            case "throttled":
                raise NotAppliedError("throttled")
            case "unanswered":
                await call()
            case "late":
                late = asyncio.ensure_future(self._later(call))
                self._late.add(late)
                late.add_done_callback(self._late.discard)
                await asyncio.sleep(self._random.uniform(0, 2.5))
        raise OutcomeUnknownError("no answer")

    async def _later(self, call: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(self._random.choice([LATE_S, self._random.uniform(0, LATE_S)]))
        return await call()


class OneId:
    """A caller who does one thing after the other with one id, each until it is answered, through two processes."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.store = LateStore(self._random)
        self._engines = [make_engine(self.store, seed=2 * seed + number) for number in range(2)]

    async def live(self) -> None:
        """Create and delete in turns, and look at the ledger after each answer and a while later."""
        key = await make_account(self._engines[0], limit=1000)
        for step in range(STEPS):
            is_create = step % 2 == 0 or self._random.random() < 0.2
            await (self._create(key, f"name {step}") if is_create else self._delete(key))
            for wait_s in (0.0, self._random.uniform(0, LATE_S)):
                await asyncio.sleep(wait_s)
                assert self.store.total(key) == int(is_create), f"step {step}, {wait_s:.1f} s after its answer"
        await asyncio.sleep(2 * LATE_S)
        await asyncio.gather(*(engine.drain() for engine in self._engines))
        self.store.check(key)

    async def _create(self, key: CounterKey, name: str) -> None:
        while True:
            try:
                await self._random.choice(self._engines).entries.create(key, name, OWN_ID)
            except OverloadedError:
                await asyncio.sleep(self._random.uniform(0, 0.3))
            else:
                return

    async def _delete(self, key: CounterKey) -> None:
        while True:
            try:
                await self._random.choice(self._engines).entries.delete(key, OWN_ID)
            except OverloadedError:
                await asyncio.sleep(self._random.uniform(0, 0.3))
            except EntryNotFoundError:
                return
            else:
                return


def test_what_was_answered_holds_whatever_comes_late() -> None:
    for seed in range(100):
        run_in_virtual_time(OneId(seed).live())


@pytest.mark.long
def test_what_was_answered_holds_in_5000_histories() -> None:
    for seed in range(100, 5_100):
        run_in_virtual_time(OneId(seed).live())
