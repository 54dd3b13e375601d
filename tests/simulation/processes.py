"""API processes: each a machine with a real engine, a clock that is a little off, and callers who wait for answers."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from counters.engine import Engine, EngineSettings
from counters.errors import CounterError
from tests import factories
from tests.simulation.dice import Dice
from tests.simulation.faults import PROCESS_FAULTS, SKEW_MAX_S, Fault, Injector
from tests.simulation.history import History
from tests.simulation.loop import Machine, SimulatedLoop
from tests.simulation.network import Network, RemoteStore

T = TypeVar("T")

_PAUSES_S = (0.3, 3.0, 8.0, 20.0, 60.0)
_STRIKES_SHARE = 0.1
"""How much rarer a process is struck than a delivery of the stream: it makes a hundred calls in a run."""


class Process(Machine):
    """One API process.

    Attributes:
        engine: The code under test.
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
        trouble: Callable[["Process", str], None],
    ) -> None:
        super().__init__(loop, name)
        self._trouble = trouble
        self.undisturbed_since = loop.time()
        self._skew_s = skew_s
        # A dict for its order: a set of futures has the order of their addresses, another one in every run.
        self._callers: dict[asyncio.Future[Any], None] = {}
        self.engine = Engine(RemoteStore(network, self), clock=self._now_ms, random=random, settings=settings)

    async def ask(self, operation: Callable[[Engine], Coroutine[Any, Any, T]], patience_s: float, why: str) -> T:
        """Return the answer to a caller.

        Raises:
            CounterError: The engine's answer.
            ConnectionError: The process died.
            TimeoutError: The caller did not wait any longer; the process goes on with it.
        """
        answer: asyncio.Future[T] = self.loop.create_future()
        self._callers[answer] = None
        self.start(self._serve(operation, answer), why)
        try:
            async with asyncio.timeout(patience_s):
                return await answer
        finally:
            del self._callers[answer]

    def was_heard(self, place: str) -> None:
        self._trouble(self, place)

    def crash(self) -> None:
        """Die in the middle of everything; callers see their connections break."""
        self.kill()
        for answer in list(self._callers):
            if not answer.done():
                answer.set_exception(ConnectionError(f"{self.name} died"))

    def resume(self, *, answers_first: bool) -> None:
        """Go on after a pause."""
        self.undisturbed_since = self.loop.time()
        self.go_on(answers_first=answers_first)

    async def _serve(self, operation: Callable[[Engine], Coroutine[Any, Any, T]], answer: "asyncio.Future[T]") -> None:
        try:
            outcome = await operation(self.engine)
        except CounterError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(outcome)

    def _now_ms(self) -> int:
        return factories.NOW_MS + int((self.loop.time() + self._skew_s) * 1000)


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
        history: History,
        settings: EngineSettings,
        size: int,
    ) -> None:
        self._loop = loop
        self._network = network
        self._injector = injector
        self._dice = dice
        self._history = history
        self._settings = settings
        self._started = 0
        self._leaving: list[Process] = []
        self.processes = [self._start() for _ in range(size)]

    def pick(self, random: Random) -> Process:
        """Return a process, as a load balancer would."""
        return random.choice(self.processes)

    def trouble(self, process: Process, place: str) -> None:
        """Crash, pause or replace a process, perhaps, right after a request of it took effect."""
        fault = self._injector.draw(PROCESS_FAULTS, f"{place} heard", share=_STRIKES_SHARE)
        if fault is not None and process in self.processes and not process.is_paused:
            # The answer is not there yet, and may be the first or the last thing that the process sees.
            self._strike(process, fault, self._dice.at(place))

    async def settle_down(self) -> None:
        """Let every process go on and finish what it let in."""
        for process in [*self.processes, *self._leaving]:
            if process.is_paused:
                process.resume(answers_first=False)
        await asyncio.sleep(0)
        while any(lane.is_busy for process in self.processes for lane in lanes_of(process)):  # noqa: ASYNC110 - white box
            await asyncio.sleep(0.1)

    def _start(self) -> Process:
        self._started += 1
        name = f"process-{self._started}"
        dice = self._dice.at(name)
        skew_s = dice.choice((-SKEW_MAX_S, SKEW_MAX_S, dice.uniform(-SKEW_MAX_S, SKEW_MAX_S)))
        return Process(
            self._loop,
            name,
            self._network,
            random=Random(dice.getrandbits(32)),
            skew_s=skew_s if self._injector.draw([Fault.SKEW], name) else 0.0,
            settings=self._settings,
            trouble=self.trouble,
        )

    def _strike(self, process: Process, fault: Fault, dice: Dice) -> None:
        if fault is Fault.PAUSE:
            self._pause(process, dice.choice(_PAUSES_S), answers_first=dice.random() < 0.5)
            return
        self._history.note(process.name, f"{fault}")
        self.processes[self.processes.index(process)] = self._start()
        if fault is Fault.CRASH:
            process.crash()
        else:
            self._leaving.append(process)
            process.start(process.engine.drain())

    def _pause(self, process: Process, pause_s: float, *, answers_first: bool) -> None:
        self._history.note(process.name, f"stands still for {pause_s} s")
        process.pause()

        def go_on() -> None:
            if process.is_paused and not process.is_dead:
                self._history.note(process.name, "goes on")
                process.resume(answers_first=answers_first)

        self._loop.call_later(pause_s, go_on, context=self._loop.world)


def lanes_of(process: Process) -> list[Any]:
    """Return a process's lanes: white box, to see whether it is idle and keeps no wrong sums."""
    return list(process.engine._lanes._lanes.values())
