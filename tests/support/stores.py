"""A store that watches the one-sided rule and fails on command."""

import asyncio
from collections import Counter as Tally
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey, Ledger
from counters.model import (
    Account,
    Change,
    Changed,
    Counter,
    CutHealing,
    Enforcement,
    Entry,
    Healing,
    LedgerPage,
    Refused,
    TermsChange,
)
from counters.stores.memory import MemoryStore


class Fault(Enum):
    """What happens to one call."""

    THROTTLED = auto()
    """Refused before anything changed, and the caller knows."""
    REQUEST_LOST = auto()
    """Nothing changed, and the caller cannot know."""
    ANSWER_LOST = auto()
    """Applied, and the caller cannot know."""
    UNFORESEEN = auto()
    """Applied, and then an error that no caller of a store expects."""


class OneSidedRuleBrokenError(BaseException):
    """The ledger's total is above ``best_effort``; no ``Exception``, as the engine answers those and goes on."""


class WatchedStore(MemoryStore):
    """A store in memory that counts calls, takes time, fails as told, and asserts the one-sided rule at every write.

    Attributes:
        calls: Number of calls of each method.
        faults: What happens to a method's next calls, in order, None for success; then they succeed.
        latency_s: How long each call takes, half before its effect and half after.
    """

    def __init__(self, latency_s: float = 0.0) -> None:
        super().__init__()
        self.calls: Tally[str] = Tally()
        self.faults: dict[str, deque[Fault | None]] = {}
        self.latency_s = latency_s

    def fail(self, method: str, *faults: Fault | None) -> None:
        """Let the next calls of a method fail; None lets one succeed."""
        self.faults.setdefault(method, deque()).extend(faults)

    def total(self, key: CounterKey) -> int:
        """Return the truth: the sum of the ledger."""
        ledgers = (ledger for (owner, _), ledger in self._ledgers.items() if owner == key)
        return sum(entry.amount for ledger in ledgers for entry in ledger.values())

    def counter(self, key: CounterKey) -> Counter:
        """Return the counter as it is, outside any call."""
        return self._counters[key]

    def check(self, key: CounterKey) -> None:
        """Assert the one-sided rule (``docs/design/engine.md``, section 4); hybrid counters do not promise it."""
        counter = self._counters.get(key)
        if counter is None or counter.enforcement is not Enforcement.STRICT:
            return
        if self.total(key) > counter.best_effort:
            raise OneSidedRuleBrokenError(f"ledger {self.total(key)} > {counter}")

    @asynccontextmanager
    async def _call(self, method: str) -> AsyncIterator[None]:
        self.calls[method] += 1
        planned = self.faults.get(method)
        fault = planned.popleft() if planned else None
        await asyncio.sleep(self.latency_s / 2)
        if fault is Fault.THROTTLED:
            raise NotAppliedError("throttled")
        if fault is Fault.REQUEST_LOST:
            raise OutcomeUnknownError("request lost")
        yield
        await asyncio.sleep(self.latency_s / 2)
        if fault is Fault.ANSWER_LOST:
            raise OutcomeUnknownError("answer lost")
        if fault is Fault.UNFORESEEN:
            raise ValueError("unforeseen")

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""
        async with self._call("read_counter"):
            return await super().read_counter(key)

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``."""
        async with self._call("change_counter"):
            before = self._counters.get(key)
            outcome = await super().change_counter(key, change)
            self.check(key)
            limit = before.limit if before and change.admits else None
            if isinstance(outcome, Changed) and limit is not None and outcome.counter.best_effort > limit:
                raise OneSidedRuleBrokenError(f"a reserve went over the limit of {limit}: {outcome.counter}")
        return outcome

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``."""
        async with self._call("heal_counter"):
            outcome = await super().heal_counter(key, healing)
            self.check(key)
        return outcome

    async def cut_counter(self, key: CounterKey, epoch: int) -> Changed | Refused:
        """See ``Store``."""
        async with self._call("cut_counter"):
            return await super().cut_counter(key, epoch)

    async def note_cut_seen(self, key: CounterKey, epoch: int, at_ms: int) -> Changed | Refused:
        """See ``Store``."""
        async with self._call("note_cut_seen"):
            return await super().note_cut_seen(key, epoch, at_ms)

    async def heal_cut(self, key: CounterKey, healing: CutHealing) -> Changed | Refused:
        """See ``Store``."""
        async with self._call("heal_cut"):
            outcome = await super().heal_cut(key, healing)
            self.check(key)
        return outcome

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """See ``Store``."""
        async with self._call("list_entries"):
            return await super().list_entries(key, slot, limit, after)

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``."""
        async with self._call("insert_page"):
            taken = await super().insert_page(ledger, entries, emptied)
            self.check(ledger.counter)
        return taken

    async def read_entry(self, ledger: Ledger, entry_id: str) -> Entry | None:
        """See ``Store``."""
        async with self._call("read_entry"):
            return await super().read_entry(ledger, entry_id)

    async def read_entries(self, ledger: Ledger, entry_ids: Sequence[str]) -> dict[str, Entry]:
        """See ``Store``."""
        async with self._call("read_entries"):
            found = {entry_id: await MemoryStore.read_entry(self, ledger, entry_id) for entry_id in entry_ids}
            return {entry_id: entry for entry_id, entry in found.items() if entry is not None}

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """See ``Store``."""
        async with self._call("take_turn"):
            return await super().take_turn(name, holder, now_ms, until_ms)

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        """See ``Store``."""
        async with self._call("set_terms"):
            return await super().set_terms(key, change)

    async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
        """See ``Store``."""
        async with self._call("close_counter"):
            return await super().close_counter(key, at_ms)

    async def delete_account(self, key: CounterKey, at_ms: int) -> None:
        """See ``Store``."""
        async with self._call("delete_account"):
            await super().delete_account(key, at_ms)

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        """See ``Store``."""
        async with self._call("rename_account"):
            return await super().rename_account(seen, username, nonce)

    async def rename_entry(self, ledger: Ledger, seen: Entry, name: str, nonce: str) -> Entry | None:
        """See ``Store``."""
        async with self._call("rename_entry"):
            return await super().rename_entry(ledger, seen, name, nonce)

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """See ``Store``."""
        async with self._call("delete_entries"):
            return await super().delete_entries(ledger, seen, at_ms)
