"""The network between machines and the store: takes time, loses, delays and refuses."""

import asyncio
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, cast

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey, Ledger
from counters.settlement import SettlementStore
from counters.stores.port import Store
from tests.simulation.coverage import Coverage
from tests.simulation.dice import Dice
from tests.simulation.faults import (
    READ_FAULTS,
    REQUEST_LIFE_S,
    TRY_TIMEOUT_S,
    WRITE_FAULTS,
    Injector,
    NetworkFault,
)
from tests.simulation.history import RunHistory
from tests.simulation.loop import Machine, SimulatedLoop, cause
from tests.simulation.store import READS, WatchedMemory

LEASING: Final = "change_counter for a lease"
_STORMY: Final = {"change_counter", "insert_page"}


class StoreRequest:
    """One call on its way.

    Attributes:
        machine: Who called.
        place: Which call of this machine.
        why: What the caller's task was started for.
        asked_s: When it was asked for, in seconds; it takes effect within a request's life from then, or never.
        is_ahead: Whether it is a flush that reserves for a lease as well.
        fault: What happens to it.
    """

    def __init__(self, machine: Machine, method: str, args: tuple[Any, ...], place: str, asked_s: float) -> None:
        self.machine = machine
        self.method = method
        self.args = args
        self.place = place
        self.why = cause()
        self.asked_s = asked_s
        self.is_ahead = False
        self.fault: NetworkFault | None = None


class Network:
    """Carries calls to the store; a call's effect is one instant, and its answer another.

    Attributes:
        latency_s: Mean time of a request's way to the store, and back, in seconds.
        storms_s: How long a storm lasts, in seconds.
        under_way: How many calls wait for their answers, by method and counter.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - parts of the world, each under its name
        self,
        loop: SimulatedLoop,
        store: WatchedMemory,
        injector: Injector,
        dice: Dice,
        history: RunHistory,
        coverage: Coverage,
    ) -> None:
        self._loop = loop
        self._store = store
        self._injector = injector
        self._dice = dice
        self._calls: Tally[str] = Tally()
        self._history = history
        self._coverage = coverage
        self._storms: dict[tuple[str, CounterKey], float] = {}
        self.latency_s = 0.002
        self.storms_s: tuple[float, ...] = (1.0,)
        self.under_way: Tally[tuple[str, CounterKey | None]] = Tally()
        self._of_machines: dict[Machine, Tally[str]] = defaultdict(Tally)

    async def call(self, machine: Machine, method: str, *args: object) -> Any:  # noqa: ANN401 - as the method says
        """Make one call for a machine; an effect happens even if the machine is gone by then.

        It is bounded from the asking, as the real client bounds it: what waits for longer is not sent.
        """
        # Named after what it is for, so that leaving out an operation does not give its faults to others.
        name = f"{machine.name} {cause()} {method}"
        self._calls[name] += 1
        place = f"{name} {self._calls[name]}"
        request = StoreRequest(machine, method, args, place, self._loop.time())
        request.is_ahead = method == "change_counter" and self._coverage.takes_ahead()
        if machine.is_sending(place, method):
            await self._turn()
            if self._loop.time() - request.asked_s >= TRY_TIMEOUT_S:
                raise NotAppliedError("not sent in time")
        request.fault = self._injector.draw(_faults_of(method), place)
        answer = self._loop.create_future()
        self._send(request, answer, self._dice.at(place))
        subject = args[0] if args else None
        key = subject.counter if isinstance(subject, Ledger) else subject if isinstance(subject, CounterKey) else None
        matter = (method, key)
        self.under_way[matter] += 1
        of_machine = self._of_machines[machine]
        of_machine[method] += 1
        of_machine[LEASING] += request.is_ahead
        try:
            return await answer
        finally:
            self.under_way[matter] -= 1
            of_machine[method] -= 1
            of_machine[LEASING] -= request.is_ahead

    def under_way_of(self, machine: Machine) -> set[str]:
        """Return the methods that a machine has calls of under way."""
        return set(+self._of_machines[machine])

    async def _turn(self) -> None:
        """Let the loop turn, as a call does that waits for its connection: a machine stands still meanwhile."""
        turn = self._loop.create_future()

        def go_on() -> None:
            if not turn.done():
                turn.set_result(None)

        self._loop.call_soon(go_on, context=self._loop.world)
        await turn

    def _send(self, request: StoreRequest, answer: asyncio.Future[Any], dice: Dice) -> None:
        fault = request.fault = self._in_storm(request, dice) or request.fault
        if fault:
            self._coverage.count(f"{fault} {request.method}")
        request_s, answer_s = (dice.expovariate(1 / self.latency_s) for _ in range(2))
        waited_s = self._loop.time() - request.asked_s
        patience_s, life_s = TRY_TIMEOUT_S - waited_s, REQUEST_LIFE_S - waited_s
        # A connection breaks at once, or an answer is waited for in vain.
        give_up_s = min(patience_s, dice.choice((request_s, patience_s)))
        if fault in {NetworkFault.THROTTLED, NetworkFault.CONFLICT, NetworkFault.STORM}:
            self._fail(request, answer, request_s + answer_s, NotAppliedError(fault))
        elif fault is NetworkFault.REQUEST_LOST:
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
        elif fault is NetworkFault.ANSWER_LOST:
            self._after(request_s, lambda: self._apply(request, None, 0.0))
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
        elif fault is NetworkFault.DELAYED:
            self._fail(request, answer, give_up_s, OutcomeUnknownError(fault))
            # As late as can be is where bounds show.
            late_s = dice.choice((life_s, dice.uniform(give_up_s, life_s)))
            self._after(late_s, lambda: self._apply(request, None, 0.0))
        elif fault is NetworkFault.WAITS and (wait_s := dice.uniform(0.0, 1.2 * patience_s)) > patience_s:
            self._fail(request, answer, patience_s, NotAppliedError(fault))
        else:
            if fault is NetworkFault.SLOW:
                slow_s, share = dice.uniform(0.0, patience_s), dice.random()
                request_s, answer_s = slow_s * share, slow_s * (1 - share)
            elif fault is NetworkFault.WAITS:
                request_s, answer_s = wait_s, min(answer_s, patience_s - wait_s)
            self._after(request_s, lambda: self._apply(request, answer, answer_s))

    def _in_storm(self, request: StoreRequest, dice: Dice) -> NetworkFault | None:
        """Tell whether a partition is throttled for a while, which a storm that was drawn begins."""
        if not self._injector.is_active or request.method not in _STORMY:
            return None
        partition, now = (request.method, request.args[0]), self._loop.time()
        if request.fault is NetworkFault.STORM and partition not in self._storms:
            self._storms[partition] = now + dice.choice(self.storms_s)
        if now < self._storms.get(partition, -1.0):
            return NetworkFault.STORM
        if (
            self._storms.pop(partition, None) is not None
            and self._injector.happens(NetworkFault.DELAYED)
            and dice.random() < 0.5
        ):
            # What comes through first is late, as after many tries it is the last one that can be in time.
            return NetworkFault.DELAYED
        return None

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, action, context=self._loop.world)

    def _fail(self, request: StoreRequest, answer: asyncio.Future[Any], delay_s: float, error: Exception) -> None:
        def fail() -> None:
            self._history.note_failed(request.machine.name, request.method, request.args, request.fault)
            if not answer.done():
                answer.set_exception(error)

        self._after(delay_s, fail)

    def _apply(self, request: StoreRequest, answer: asyncio.Future[Any] | None, answer_s: float) -> None:
        """Let a call take effect, and send its answer if anybody is to get one."""
        outcome: object = None
        if request.method == "set_terms" and self.under_way["change_counter", request.args[0]]:
            self._coverage.count("limit changed while a flush was under way")
        try:
            outcome = self._store.apply(request.method, request.args, request.why)
        finally:
            # A step that breaks a promise is the last one of the history.
            self._history.note_applied(request.machine.name, request.method, request.args, request.fault, outcome)
        if answer is not None:

            def deliver() -> None:
                if not answer.done():
                    answer.set_result(outcome)

            self._after(answer_s, deliver)
        request.machine.was_heard(request.place, LEASING if request.is_ahead else request.method)


def _faults_of(method: str) -> Sequence[NetworkFault]:
    if method in READS:
        return READ_FAULTS
    return (*WRITE_FAULTS, NetworkFault.STORM) if method in _STORMY else WRITE_FAULTS


class _Remote:
    """Makes each method of the store a call of one machine over the network."""

    def __init__(self, network: Network, machine: Machine) -> None:
        self._network = network
        self._machine = machine

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = partial(self._network.call, self._machine, method)
        setattr(self, method, call)
        return call


class RemoteStore(Store, SettlementStore, Protocol):
    """The store as one machine sees it."""


def remote_store(network: Network, machine: Machine) -> RemoteStore:
    """Return the store as a machine sees it: over the network."""
    return cast("RemoteStore", _Remote(network, machine))
