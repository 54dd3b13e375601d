"""An event loop on virtual time whose processes can stop while time goes on for everybody else.

``async_solipsism`` gives virtual time, but one loop there is one process. Here every callback belongs to a machine,
found in its context: a paused machine's callbacks are held until it goes on, a dead machine's are dropped. Tasks and
timers made by a machine inherit its context, so the code under test knows nothing of this.
"""

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from enum import StrEnum
from random import Random
from typing import Any, Final, TypeVar

from counters.errors import CounterError

T = TypeVar("T")

CALLBACKS_MAX: Final = 300_000
"""A run that needs more will never end; the longest of the first 10,000 seeds needs a tenth."""

_EXPECTED: Final = (CounterError, TimeoutError, ConnectionError, ExceptionGroup)

_machine: ContextVar["Machine | None"] = ContextVar("machine", default=None)
_cause: ContextVar[str] = ContextVar("cause", default="")


def cause() -> str:
    """Return what the running task was started for."""
    return _cause.get()


class Stuck(AssertionError):  # noqa: N818 - an outcome of a run
    """The run does not end."""


class Callback:
    """What the loop runs: an ``asyncio.Handle`` that knows its machine. Cancelling one that is held works as well."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "machine", "when_s")

    def __init__(
        self, callback: Callable[..., object], args: tuple[object, ...], context: Context | None, when_s: float | None
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = contextvars.copy_context() if context is None else context
        self.machine = self.context.get(_machine)
        self.when_s = when_s
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float | None:
        return self.when_s


class Order(StrEnum):
    """In which order a machine that stood still runs what came meanwhile."""

    DUE = "due"
    """As it was due."""

    TIMERS_LAST = "timers_last"
    """What came over the network first, as a poll of sockets does."""

    SHUFFLED = "shuffled"
    """The same, requests and answers in any order: the kernel does not tell which came first."""


class Machine:
    """Something that runs code and can be paused and killed: an API process, or one invocation of the Lambda."""

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.loop = loop
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.stops_in = 0
        self.held: list[Callback] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = contextvars.Context()
        self.context.run(_machine.set, self)
        loop.machines.append(self)

    def start(self, work: Coroutine[Any, Any, T], why: str = "") -> asyncio.Task[T]:
        """Run a coroutine on this machine."""
        context = self.context.copy()
        context.run(_cause.set, why)
        return context.run(self.loop.create_task, work)

    def is_sending(self, place: str, method: str) -> bool:
        """Return whether the machine stands still from now on: it has asked for a request, which is not sent yet."""
        del place, method
        return False

    def was_heard(self, place: str, method: str) -> None:
        """A request of this machine has taken effect."""

    def stop(self) -> int:
        """Stop now, after as many callbacks as were to run before; or return after how many more."""
        return 0

    def pause(self) -> None:
        """Stop; timers and answers that come meanwhile wait."""
        self.is_paused = True

    def go_on(self, order: Order = Order.DUE, random: Random | None = None) -> None:
        """Run what was held."""
        held, self.held = self.held, []
        self.is_paused = False
        if order is not Order.DUE:
            timers = [callback for callback in held if callback.when_s is not None]
            others = [callback for callback in held if callback.when_s is None]
            if order is Order.SHUFFLED and random is not None:
                random.shuffle(others)
            held = others + timers
        self.loop.run_soon(held)

    def kill(self) -> None:
        """Stop for good, in the middle of everything."""
        self.is_dead = True
        self.held.clear()
        # Closed here and now: a coroutine's clean-up must not run later, in some other machine's name.
        self.context.run(close_tasks, self.tasks)


def close_tasks(tasks: list[asyncio.Task[Any]]) -> None:
    """End tasks, and those that they start as they end."""
    while tasks:
        task = tasks.pop()
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.get_coro().close()


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in order of time, then of scheduling; time jumps to the next timer when nothing is ready.

    Attributes:
        failures: Errors that no task of a machine should end with.
        machines: All that ever ran here; none runs on after the end.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[Callback] = deque()
        self._timers: list[tuple[float, int, Callback]] = []
        self._numbers = itertools.count()
        self.callbacks = 0
        self.failures: list[BaseException] = []
        self.machines: list[Machine] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self.world = contextvars.Context()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to the end of a coroutine that belongs to no machine. An error in a callback of the world ends the run.

        Raises:
            Stuck: Nothing is left to do, or too much was done.
        """
        asyncio.events._set_running_loop(self)
        try:
            task = self.world.run(self.create_task, main)
            while not task.done():
                self._step()
            return task.result()
        finally:
            for machine in self.machines:
                machine.kill()
            close_tasks(self._tasks)
            asyncio.events._set_running_loop(None)

    def run_soon(self, callbacks: list[Callback]) -> None:
        """Queue callbacks that were held."""
        self._ready.extend(callbacks)

    def _step(self) -> None:
        ready = self._ready
        if not ready:
            self._advance()
        self.callbacks += len(ready)
        if self.callbacks > CALLBACKS_MAX:
            raise Stuck(f"no end after {CALLBACKS_MAX} callbacks, at {self._now:.3f} s")
        # What these schedule runs in the next round, as in asyncio.
        for _ in range(len(ready)):
            callback = ready.popleft()
            if callback.is_cancelled:
                continue
            machine = callback.machine
            if machine is not None and machine.stops_in:
                machine.stops_in -= 1
                if not machine.stops_in:
                    machine.stops_in = machine.stop()
            if machine is None or not (machine.is_dead or machine.is_paused):
                callback.context.run(callback.callback, *callback.args)
            elif machine.is_paused:
                machine.held.append(callback)

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck(f"nothing left to do at {self._now:.3f} s, and somebody waits")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Callback:
        handle = Callback(callback, args, context, None)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Callback:
        handle = Callback(callback, args, context, when)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Callback:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        machine = (contextvars.copy_context() if context is None else context).get(_machine)
        if machine is None:
            self._tasks.append(task)
        else:
            machine.tasks.append(task)
            task.add_done_callback(self._note_failure, context=self.world)
        return task

    def _note_failure(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, _EXPECTED):
            self.failures.append(error)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Errors of machines are noted when their tasks end; those of the world end the run."""
