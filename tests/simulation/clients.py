"""The workload: callers who create, create again, delete, look, list and delete everything, and try again in doubt."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from counters.engine import Engine
from counters.errors import EntryNotFoundError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.model import Created
from tests.engines import DEADLINE_S
from tests.simulation.faults import REQUEST_LIFE_S
from tests.simulation.history import History
from tests.simulation.loop import SimulatedLoop
from tests.simulation.options import Options
from tests.simulation.oracle import FairRefusals, Oracle
from tests.simulation.processes import Fleet, Process
from tests.simulation.store import Violation

T = TypeVar("T")

_TRIES: Final = 3
_PATIENCE_S: Final = (0.8, 2.0, 8.0, 8.0)
_CREATING: Final = {"create": 78, "again": 10, "get": 10, "delete_all": 2}
_DELETING: Final = {"delete": 90, "delete_listed": 10}
_DELETE_AGAIN: Final = 0.3
_LONGEST_PAUSE_S: Final = 60.0


class InDoubtError(Exception):
    """No answer, or one that promises nothing."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Attributes:
        number: Which one of the run.
        think_s: Pause before it.
        kind: What to do.
        patience_s: How long to wait for an answer.
        own_id: Whether a create brings its own id.
    """

    number: str
    think_s: float
    kind: str
    patience_s: float
    own_id: bool


class World(msgspec.Struct, frozen=True):
    """What callers see, and who watches them."""

    loop: SimulatedLoop
    options: Options
    keys: list[CounterKey]
    fleet: Fleet
    oracle: Oracle
    refusals: FairRefusals
    history: History


class Client:
    """One caller; does one operation after the other."""

    def __init__(self, name: str, world: World) -> None:
        self._name = name
        self._world = world
        self._random = Random(0)

    async def run(self, burst: int) -> None:
        """Do the operations of one burst."""
        options = self._world.options
        for position in range(options.steps):
            number = f"{self._name} {burst}.{position}"
            if number not in options.operations_left_out:
                # What one operation does is not to depend on those before it: they may be left out.
                self._random = Random(f"{options.seed} {number}")
                step = self._draw(number)
                self._world.history.steps.append(number)
                await asyncio.sleep(step.think_s)
                await self._do(step)

    def _draw(self, number: str) -> Step:
        options, random = self._world.options, self._random
        weights = _CREATING if random.random() >= options.delete_share else _DELETING
        return Step(
            number=number,
            think_s=random.uniform(0, options.think_s),
            kind=random.choices([*weights], [*weights.values()])[0],
            patience_s=random.choice(_PATIENCE_S),
            own_id=random.random() < options.own_share,
        )

    async def _do(self, step: Step) -> None:
        key = self._random.choice(self._world.keys)
        alive = self._world.oracle.alive(key)
        if step.kind == "create" or (not alive and step.kind != "delete_all"):
            await self._create(key, step)
        elif step.kind == "again":
            await self._create_again(key, self._random.choice(alive), step)
        elif step.kind == "get":
            await self._get(key, self._random.choice(alive), step)
        elif step.kind == "delete":
            await self._delete(key, self._pick_doomed(key, alive), step)
        elif step.kind == "delete_listed":
            await self._delete_listed(key, step)
        else:
            await self._delete_all(key, step)

    async def _create(self, key: CounterKey, step: Step) -> None:
        if not step.own_id:
            await self._create_once(key, None, step)
            return
        entry_id = step.number.replace(" ", ".")
        for _ in range(_TRIES):
            if await self._create_once(key, entry_id, step):
                return
            await asyncio.sleep(self._random.uniform(0.0, 1.0))

    async def _create_again(self, key: CounterKey, entry_id: str, step: Step) -> None:
        """Repeat a create, and now and then delete the entry right after: the repeat's own insert may still come."""
        if await self._create_once(key, entry_id, step) and self._random.random() < _DELETE_AGAIN:
            await self._delete(key, entry_id, step)

    async def _create_once(self, key: CounterKey, entry_id: str | None, step: Step) -> bool:
        """Create; tell whether there was an answer."""
        world = self._world
        fate = world.oracle.fate(key, entry_id) if entry_id else None
        if fate and fate.is_delete_asked:
            # An id that was deleted is not used again.
            return True
        process, started_s = world.fleet.pick(self._random), world.loop.time()
        world.refusals.started(key, process)
        if fate:
            fate.pending += 1

        def no_longer_pending() -> None:
            if fate:
                fate.pending -= 1

        try:
            created: Created = await self._ask(
                process, step, f"create {entry_id or ''}", lambda engine: engine.entries.create(key, "any", entry_id)
            )
        except InDoubtError:
            no_longer_pending()
            if fate:
                fate.doubtful += 1
            return False
        except LimitReachedError as error:
            no_longer_pending()
            if entry_id:
                world.oracle.refused(key, entry_id)
            world.refusals.refused(key, process, started_s, error)
            return True
        no_longer_pending()
        if entry_id not in {None, created.entry.id}:
            raise Violation("a create answered with another entry", created)
        world.oracle.created(key, created.entry.id)
        return True

    async def _get(self, key: CounterKey, entry_id: str, step: Step) -> None:
        process = self._world.fleet.pick(self._random)
        try:
            await self._ask(process, step, f"get {entry_id}", lambda engine: engine.entries.get(key, entry_id))
        except InDoubtError:
            return
        except EntryNotFoundError:
            self._world.oracle.not_found(key, entry_id)

    async def _delete(self, key: CounterKey, entry_id: str, step: Step) -> None:
        oracle = self._world.oracle
        fate = oracle.fate(key, entry_id)
        if fate.pending:
            # Whether it is created again before or after the delete would be anybody's guess.
            return
        oracle.asked_to_delete(key, entry_id)
        in_doubt = False
        for _ in range(_TRIES):
            process = self._world.fleet.pick(self._random)
            try:
                await self._ask(
                    process, step, f"delete {entry_id}", lambda engine: engine.entries.delete(key, entry_id)
                )
            except InDoubtError:
                in_doubt = True
                await asyncio.sleep(self._random.uniform(0.0, 1.0))
            except EntryNotFoundError:
                oracle.not_found_by_deleter(key, entry_id, in_doubt=in_doubt)
                return
            else:
                oracle.deleted(key, entry_id)
                return

    def _pick_doomed(self, key: CounterKey, alive: list[str]) -> str:
        """Return an entry to delete: sometimes one that another caller is deleting or has deleted."""
        doomed = self._world.oracle.doomed(key)
        return self._random.choice(doomed if doomed and self._random.random() < 0.2 else alive)

    async def _delete_listed(self, key: CounterKey, step: Step) -> None:
        process = self._world.fleet.pick(self._random)
        try:
            page = await self._ask(process, step, "list", lambda engine: engine.entries.page(key, 3, None))
        except InDoubtError:
            return
        if page.items:
            await self._delete(key, page.items[-1].id, step)

    async def _delete_all(self, key: CounterKey, step: Step) -> None:
        # However long a process stands still, it may go on with it afterwards.
        self._world.oracle.sweeping(key, 10 * DEADLINE_S + REQUEST_LIFE_S + _LONGEST_PAUSE_S)
        process = self._world.fleet.pick(self._random)
        with_patience = msgspec.structs.replace(step, patience_s=4 * DEADLINE_S)
        try:
            await self._ask(process, with_patience, "delete_all", lambda engine: engine.entries.delete_all(key))
        except InDoubtError:
            return

    async def _ask(
        self, process: Process, step: Step, what: str, operation: Callable[[Engine], Coroutine[Any, Any, T]]
    ) -> T:
        """Ask a process; an answer is on time, unless the process stood still.

        Raises:
            InDoubtError: Overload, a broken connection, or no answer.
        """
        world = self._world
        started_s = world.loop.time()
        ended = partial(self._note_end, process, what, started_s)
        world.history.note(self._name, f"asks {process.name}: {what}")
        try:
            answer = await process.ask(operation, step.patience_s, step.number)
        except (OverloadedError, ConnectionError, TimeoutError) as error:
            ended(type(error).__name__)
            if world.options.is_calm and not isinstance(error, TimeoutError):
                raise Violation("a caller was turned away although nothing went wrong", what) from error
            raise InDoubtError from error
        except (LimitReachedError, EntryNotFoundError) as error:
            ended(type(error).__name__)
            raise
        ended("done")
        return answer

    def _note_end(self, process: Process, what: str, started_s: float, outcome: str) -> None:
        world = self._world
        world.history.note(self._name, f"is told by {process.name}: {what}: {outcome}")
        kind, _, _ = what.partition(" ")
        world.history.operations[f"{kind} {outcome}"] += 1
        late_s = world.loop.time() - started_s - DEADLINE_S
        undisturbed = process.undisturbed_since <= started_s and not process.is_paused
        if late_s > 0.001 and undisturbed:
            raise Violation("an answer was late", f"{what}: {outcome} {late_s:.3f} s after the deadline")
