"""API processes: each a machine with a real engine, a clock that is a little off, and callers who wait for answers."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import msgspec

from counters.engine import Engine, EngineSettings
from counters.errors import CounterError
from counters.lanes.lease import LeaseSettings
from tests.simulation.coverage import Coverage
from tests.simulation.dice import Dice
from tests.simulation.faults import PAUSES, PROCESS_FAULTS, SKEW_MAX_S, Injector, NetworkFault
from tests.simulation.history import RunHistory
from tests.simulation.loop import Machine, Order, SimulatedLoop
from tests.simulation.network import LEASING, Network, remote_store
from tests.simulation.options import Options
from tests.support import factories
from tests.support.engines import DEADLINE_S

T = TypeVar("T")

_ENDS = (NetworkFault.CRASH, NetworkFault.SHUTDOWN)
_TRIES_MAX = 1000
_LATER_MAX = 12
"""Most callbacks that a machine runs before it stands still in the middle of what an answer started."""


class Process(Machine):
    """One API process.

    Attributes:
        engine: The code under test.
        deadline_s: Its operations' deadline, in seconds.
        undisturbed_since: When it was last started or went on after a pause, in seconds.
    """

    def __init__(  # noqa: PLR0913 - parts of the world, each under its name
        self,
        loop: SimulatedLoop,
        name: str,
        network: Network,
        *,
        random: Random,
        skew_s: float,
        settings: EngineSettings,
        fleet: "Fleet",
    ) -> None:
        super().__init__(loop, name)
        self._fleet = fleet
        self.undisturbed_since = loop.time()
        self._skew_s = skew_s
        self.deadline_s = settings.deadline_s
        # A dict for its order: a set of futures has the order of their addresses, another one in every run.
        self._callers: dict[asyncio.Future[Any], None] = {}
        self.engine = Engine(remote_store(network, self), clock=self._now_ms, random=random, settings=settings)

    async def ask(
        self,
        operation: Callable[[Engine], Coroutine[Any, Any, T]],
        patience_s: float,
        why: str,
        on_end: Callable[[], None] | None = None,
    ) -> T:
        """Return the answer to a caller.

        Args:
            operation: What the process is asked for.
            patience_s: How long the caller waits, in seconds.
            why: Name of the operation, for those who look at the calls that it makes.
            on_end: Called when the process is done with it, however long its caller waited.

        Raises:
            CounterError: The engine's answer.
            ConnectionError: The process died.
            TimeoutError: The caller did not wait any longer; the process goes on with it.
        """
        answer: asyncio.Future[T] = self.loop.create_future()
        self._callers[answer] = None
        self.start(self._serve(operation, answer, on_end), why)
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        finally:
            del self._callers[answer]

    def is_sending(self, place: str, method: str) -> bool:
        return self._fleet.is_sending(self, place, method)

    def was_heard(self, place: str, method: str) -> None:
        self._fleet.trouble(self, place, method)

    def stop(self) -> int:
        return self._fleet.stop(self)

    def crash(self) -> None:
        """Die in the middle of everything; callers see their connections break."""
        self.kill()
        for answer in list(self._callers):
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self.name} died"))

    def resume(self, order: Order = Order.DUE, random: Random | None = None) -> None:
        """Go on after a pause."""
        self.undisturbed_since = self.loop.time()
        self.go_on(order, random)

    async def _serve(
        self,
        operation: Callable[[Engine], Coroutine[Any, Any, T]],
        answer: "asyncio.Future[T]",
        on_end: Callable[[], None] | None,
    ) -> None:
        try:
            outcome = await operation(self.engine)
        except CounterError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(outcome)
        finally:
            if on_end is not None:
                on_end()

    def _now_ms(self) -> int:
        return factories.NOW_MS + int((self.loop.time() + self._skew_s) * 1000)


class _Stop(msgspec.Struct):
    """A pause that is to come; perhaps when there is a lease and somebody to use it, which chance hardly meets."""

    pause_s: float
    order: Order
    random: Random
    tries: int = 0


class Fleet:
    """The processes, and what happens to them.

    Attributes:
        processes: Those that take requests.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - parts of the world, each under its name
        self,
        loop: SimulatedLoop,
        network: Network,
        injector: Injector,
        dice: Dice,
        history: RunHistory,
        coverage: Coverage,
        settings: EngineSettings,
        options: Options,
    ) -> None:
        self._loop = loop
        self._network = network
        self._injector = injector
        self._dice = dice
        self._history = history
        self._coverage = coverage
        self._settings = settings
        self._options = options
        self._started = 0
        self._leaving: list[Process] = []
        self._pauses = 0
        self._to_stop: dict[Process, _Stop] = {}
        self.processes = [self._start() for _ in range(options.processes)]

    def pick(self, random: Random) -> Process:
        """Return a process, as a load balancer would."""
        return random.choice(self.processes)

    def pick_running(self, random: Random) -> Process:
        """Return a process that does not stand still, if there is one."""
        return random.choice([one for one in self.processes if not one.is_paused] or self.processes)

    def trouble(self, process: Process, place: str, method: str) -> None:
        """Crash, pause or replace a process, perhaps, right after a request of it took effect."""
        kinds = PROCESS_FAULTS if self._pauses < self._options.pauses_max else _ENDS
        fault = self._injector.draw(kinds, f"{place} heard", share=self._share(method))
        if fault is not None and process in self.processes and not process.is_paused:
            # The answer is not there yet, and may be the first or the last thing that the process sees.
            self._strike(process, fault, self._dice.at(place))

    def is_sending(self, process: Process, place: str, method: str) -> bool:
        """Pause a process, perhaps, that asked for a request: it is sent when the process goes on, or never."""
        if self._pauses >= self._options.pauses_max:
            return False
        fault = self._injector.draw((NetworkFault.PAUSE_SENDING,), f"{place} sending", share=self._share(method))
        if fault is None or process not in self.processes or process.is_paused:
            return False
        self._strike(process, fault, self._dice.at(f"{place} sending"))
        return True

    def stop(self, process: Process) -> int:
        """Pause a process that was to be paused after a few callbacks, or return after how many more."""
        stop = self._to_stop[process]
        if process not in self.processes or process.is_paused or not self._injector.is_active:
            return 0
        if stop.tries and not any(lane._lease.size and lane._queue.creates for lane in lanes_of(process)):
            stop.tries -= 1
            return 1
        self._pause(process, stop)
        return 0

    async def settle_down(self) -> None:
        """Let every process go on and finish what it let in."""
        for process in [*self.processes, *self._leaving]:
            process.stops_in = 0
            if process.is_paused:
                process.resume()
        await asyncio.sleep(0)
        while any(lane.is_busy for process in self.processes for lane in lanes_of(process)):  # noqa: ASYNC110 - white box
            await asyncio.sleep(0.1)

    def _share(self, method: str) -> float:
        """Return how often a process is struck at a call of this method, beside the usual rate."""
        options = self._options
        return options.strikes_share if not options.struck or method in options.struck else 0.0

    def _start(self) -> Process:
        self._started += 1
        name = f"process-{self._started}"
        dice = self._dice.at(name)
        skew_s = dice.choice((-SKEW_MAX_S, -SKEW_MAX_S, SKEW_MAX_S, SKEW_MAX_S, dice.uniform(-SKEW_MAX_S, SKEW_MAX_S)))
        # A reservation may be as old as in production before its entry is written: healing's quiet allows for that.
        longer_s = max(0.0, self._options.lease.lasts_s - LeaseSettings().lasts_s)
        deadline_s = min(dice.choice(self._options.deadlines_s), DEADLINE_S - longer_s)
        return Process(
            self._loop,
            name,
            self._network,
            random=Random(dice.getrandbits(32)),
            skew_s=skew_s if self._injector.draw([NetworkFault.SKEW], name) else 0.0,
            settings=msgspec.structs.replace(self._settings, deadline_s=deadline_s),
            fleet=self,
        )

    def _strike(self, process: Process, fault: NetworkFault, dice: Dice) -> None:
        if fault in PAUSES:
            self._pauses += 1
            stop = _Stop(dice.choice(self._options.pauses_s), dice.choice([*Order]), Random(dice.getrandbits(32)))
            if fault is NetworkFault.PAUSE_LATER:
                process.stops_in = dice.randint(1, _LATER_MAX)
                stop.tries = dice.choice((0, _TRIES_MAX))
                self._to_stop[process] = stop
            else:
                self._pause(process, stop)
            return
        self._history.note(process.name, f"{fault}")
        self.processes[self.processes.index(process)] = self._start()
        if fault is NetworkFault.CRASH:
            process.crash()
        else:
            self._leaving.append(process)
            process.start(process.engine.drain())

    def _pause(self, process: Process, stop: _Stop) -> None:
        self._history.note(process.name, f"stands still for {stop.pause_s} s")
        self._note_state(process)
        process.pause()

        def go_on() -> None:
            if process.is_paused and not process.is_dead:
                self._history.note(process.name, "goes on")
                if any(lane._lease.size and lane._lease._lot.until <= self._loop.time() for lane in lanes_of(process)):
                    self._coverage.count("lease outlived a pause")
                process.resume(stop.order, stop.random)

        self._loop.call_later(stop.pause_s, go_on, context=self._loop.world)

    def _note_state(self, process: Process) -> None:
        """Count what a process has under way as it begins to stand still."""
        lanes, under_way = lanes_of(process), self._network.under_way_of(process)
        states = {
            "the flush of a lease under way": LEASING in under_way,
            "a lease": any(lane._lease.size for lane in lanes),
            "a flush under way": "change_counter" in under_way,
            "a release waiting": any(one.delta < 0 for lane in lanes for one in lane._queue.adjustments),
            "entries being written": any(lane._writes.size for lane in lanes),
            "a delete under way": "delete_entries" in under_way,
        }
        for state, is_so in states.items():
            if is_so:
                self._coverage.count(f"pause with {state}")


def lanes_of(process: Process) -> list[Any]:
    """Return a process's lanes: white box, to see whether it is idle and keeps no wrong sums."""
    return list(process.engine._lanes._lanes.values())
