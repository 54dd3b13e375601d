"""The network between machines and the store: takes time, loses, delays and refuses."""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Any, cast

from counters.damage import DamagedCounter
from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey
from counters.model import Account, Change, Changed, Counter, Entry, Healing, Refused, TermsChange
from counters.settlement import Settled, Settlement, Unsettled
from tests.simulation.dice import Dice
from tests.simulation.faults import (
    BATCH_FAULTS,
    READ_FAULTS,
    REQUEST_LIFE_S,
    TRY_TIMEOUT_S,
    WRITE_FAULTS,
    Fault,
    Injector,
)
from tests.simulation.history import History
from tests.simulation.loop import Machine, SimulatedLoop, cause
from tests.simulation.store import WatchedMemory

_WRITES = {"change_counter", "heal_counter", "set_terms", "insert_entry", "delete_entry", "settle", "prune_marks"}


class Request:
    """One call on its way.

    Attributes:
        machine: Who called.
        place: Which call of this machine.
        fault: What happens to it.
        unprocessed: What the store is to leave out of a batch.
    """

    def __init__(self, machine: Machine, method: str, args: tuple[Any, ...], place: str, fault: Fault | None) -> None:
        self.machine = machine
        self.method = method
        self.args = args
        self.place = place
        self.fault = fault
        self.unprocessed: list[Entry] = []

    def leave_out_some(self, dice: Dice) -> None:
        """Let the store process a part of a batch only, or nothing of it."""
        key, slots, entries = self.args
        self.unprocessed = [entry for entry in entries if dice.random() < 0.6]
        self.args = (key, slots, [entry for entry in entries if entry not in self.unprocessed])


class Network:
    """Carries calls to the store; a call's effect is one instant, and its answer another."""

    def __init__(
        self, loop: SimulatedLoop, store: WatchedMemory, injector: Injector, dice: Dice, history: History
    ) -> None:
        self._loop = loop
        self._store = store
        self._injector = injector
        self._dice = dice
        self._calls: Tally[str] = Tally()
        self._history = history
        self.latency_s = 0.002

    async def call(self, machine: Machine, method: str, *args: object) -> Any:  # noqa: ANN401 - as the method says
        """Make one call for a machine; an effect happens even if the machine is gone by then."""
        # Named after what it is for, so that leaving out an operation does not give its faults to others.
        name = f"{machine.name} {cause()} {method}"
        self._calls[name] += 1
        place = f"{name} {self._calls[name]}"
        request = Request(machine, method, args, place, self._injector.draw(_faults_of(method), place))
        answer = self._loop.create_future()
        self._send(request, answer, self._dice.at(place))
        return await answer

    def _send(self, request: Request, answer: asyncio.Future[Any], dice: Dice) -> None:
        fault = request.fault
        request_s, answer_s = (dice.expovariate(1 / self.latency_s) for _ in range(2))
        # A connection breaks at once, or an answer is waited for in vain.
        give_up_s = dice.choice((request_s, TRY_TIMEOUT_S))
        if fault in {Fault.THROTTLED, Fault.CONFLICT}:
            self._fail(request, answer, request_s + answer_s, NotAppliedError(fault))
        elif fault is Fault.REQUEST_LOST:
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
        elif fault is Fault.ANSWER_LOST:
            self._after(request_s, lambda: self._apply(request, None, 0.0))
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
        elif fault is Fault.DELAYED:
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
            self._after(dice.uniform(give_up_s, REQUEST_LIFE_S), lambda: self._apply(request, None, 0.0))
        else:
            if fault is Fault.SLOW:
                slow_s, share = dice.uniform(0.0, TRY_TIMEOUT_S), dice.random()
                request_s, answer_s = slow_s * share, slow_s * (1 - share)
            elif fault is Fault.PARTIAL:
                request.leave_out_some(dice)
            self._after(request_s, lambda: self._apply(request, answer, answer_s))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, action, context=self._loop.world)

    def _fail(self, request: Request, answer: asyncio.Future[Any], delay_s: float, error: Exception) -> None:
        def fail() -> None:
            self._history.note_failed(request.machine.name, request.method, request.args, request.fault)
            if not answer.done():
                answer.set_exception(error)

        self._after(delay_s, fail)

    def _apply(self, request: Request, answer: asyncio.Future[Any] | None, answer_s: float) -> None:
        """Let a call take effect, and send its answer if anybody is to get one."""
        outcome: object = None
        try:
            outcome = _run(getattr(self._store, request.method), request.args)
        finally:
            # A step that breaks a promise is the last one of the history.
            self._history.note_applied(request.machine.name, request.method, request.args, request.fault, outcome)
        if answer is not None:

            def deliver() -> None:
                if not answer.done():
                    answer.set_result(request.unprocessed or outcome)

            self._after(answer_s, deliver)
        request.machine.was_heard(request.place)


def _faults_of(method: str) -> Sequence[Fault]:
    if method == "write_entries":
        return BATCH_FAULTS
    return WRITE_FAULTS if method in _WRITES else READ_FAULTS


def _run(method: Callable[..., Any], args: tuple[object, ...]) -> object:
    """Run a method of the store, which never waits."""
    step = method(*args)
    try:
        step.send(None)
    except StopIteration as stop:
        return cast("object", stop.value)
    raise AssertionError("a method of the store in memory has to be one step")


class RemoteStore:
    """Implements ``Store`` and ``SettlementStore`` for one machine, over the network."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self._network = network
        self._machine = machine

    async def _call(self, method: str, *args: object) -> Any:  # noqa: ANN401 - as the method says
        return await self._network.call(self._machine, method, *args)

    async def ping(self) -> None:
        await self._call("ping")

    async def create_account(self, account: Account, counter: Counter) -> None:
        await self._call("create_account", account, counter)

    async def read_account(self, account_id: str) -> Account | None:
        return cast("Account | None", await self._call("read_account", account_id))

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        return cast("Account | None", await self._call("rename_account", seen, username, nonce))

    async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
        return cast("Counter | None", await self._call("close_counter", key, at_ms))

    async def take_lease(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        return cast("bool", await self._call("take_lease", name, holder, now_ms, until_ms))

    async def delete_account(self, key: CounterKey, at_ms: int) -> None:
        await self._call("delete_account", key, at_ms)

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        return cast("tuple[list[str], bool]", await self._call("list_account_ids", limit, after))

    async def read_accounts(self, account_ids: Sequence[str]) -> dict[str, Account]:
        return cast("dict[str, Account]", await self._call("read_accounts", account_ids))

    async def read_counter(self, key: CounterKey) -> Counter | None:
        return cast("Counter | None", await self._call("read_counter", key))

    async def read_counters(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter | DamagedCounter]:
        return cast("dict[CounterKey, Counter | DamagedCounter]", await self._call("read_counters", keys))

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        return cast("Changed | Refused", await self._call("change_counter", key, change))

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        return cast("Changed | Refused", await self._call("heal_counter", key, healing))

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        return cast("Counter | None", await self._call("set_terms", key, change))

    async def repair_counter(self, damaged: DamagedCounter, repaired: Counter) -> bool:
        return cast("bool", await self._call("repair_counter", damaged, repaired))

    async def touch_damaged_counter(self, damaged: DamagedCounter, at_ms: int) -> None:
        await self._call("touch_damaged_counter", damaged, at_ms)

    async def write_entries(self, key: CounterKey, slots: int, entries: Sequence[Entry]) -> list[Entry]:
        return cast("list[Entry]", await self._call("write_entries", key, slots, list(entries)))

    async def insert_entry(self, key: CounterKey, slots: int, entry: Entry) -> Entry | None:
        return cast("Entry | None", await self._call("insert_entry", key, slots, entry))

    async def read_entry(self, key: CounterKey, slots: int, entry_id: str) -> Entry | None:
        return cast("Entry | None", await self._call("read_entry", key, slots, entry_id))

    async def rename_entry(self, key: CounterKey, slots: int, seen: Entry, name: str, nonce: str) -> Entry | None:
        return cast("Entry | None", await self._call("rename_entry", key, slots, seen, name, nonce))

    async def delete_entry(self, key: CounterKey, slots: int, seen: Entry) -> bool:
        return cast("bool", await self._call("delete_entry", key, slots, seen))

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        return cast("tuple[list[Entry], bool]", await self._call("list_entries", key, slot, limit, after))

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        return cast("Settled | Unsettled", await self._call("settle", key, settlement))

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        await self._call("prune_marks", key, shards, older_than_ms)
