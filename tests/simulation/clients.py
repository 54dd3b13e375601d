"""The workload: callers who create, create again, delete, rename, look, list and delete everything, and try again."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from counters.engine import Engine
from counters.errors import AccountNotFoundError, EntryNotFoundError, LimitReachedError
from counters.keys import CounterKey, is_ours
from counters.model import Created
from tests.simulation.faults import REQUEST_LIFE_S
from tests.simulation.oracle import Fate
from tests.simulation.processes import Process
from tests.simulation.store import Violation
from tests.simulation.world import InDoubtError, World
from tests.support.engines import DEADLINE_S

T = TypeVar("T")

_TRIES: Final = 3
_PATIENCE_S: Final = 8.0
_CREATING: Final = {"create": 78, "again": 10, "get": 10, "delete_all": 2}
_DELETING: Final = {"delete": 90, "delete_listed": 10}
_DELETE_AGAIN: Final = 0.3
_LONGEST_PAUSE_S: Final = 60.0


class ClientStep(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Attributes:
        number: Which one of the run.
        think_s: Pause before it.
        kind: What to do.
        patience_s: How long to wait for an answer.
        has_own_id: Whether a create brings its own id.
        amount: Of an entry that it makes.
    """

    number: str
    think_s: float
    kind: str
    patience_s: float
    has_own_id: bool
    amount: int


class Client:
    """One caller; does one operation after the other."""

    def __init__(self, name: str, world: World) -> None:
        self._name = name
        self._world = world
        self._random = Random(0)
        self._asks = 0

    async def run(self, burst: int) -> None:
        """Do the operations of one burst."""
        options = self._world.options
        for position in range(options.steps):
            number = f"{self._name} {burst}.{position}"
            if number not in options.operations_left_out:
                # What one operation does is not to depend on those before it: they may be left out.
                self._random = Random(f"{options.seed} {number}")
                self._asks = 0
                step = self._draw(number)
                self._world.history.steps.append(number)
                await asyncio.sleep(step.think_s)
                await self._do(step)

    def _draw(self, number: str) -> ClientStep:
        options, random = self._world.options, self._random
        weights = {**_CREATING, **options.special} if random.random() >= options.delete_share else _DELETING
        return ClientStep(
            number=number,
            think_s=random.uniform(0, options.think_s),
            kind=random.choices([*weights], [*weights.values()])[0],
            patience_s=random.choice(options.patience_s),
            has_own_id=random.random() < options.own_share,
            amount=random.choice(options.amounts),
        )

    async def _do(self, step: ClientStep) -> None:
        key = self._random.choice(self._world.keys)
        try:
            await self._do_in(key, step)
        except AccountNotFoundError:
            self._world.deaths.not_found(key)

    async def _do_in(self, key: CounterKey, step: ClientStep) -> None:
        alive = self._world.oracle.alive(key)
        if step.kind == "crowd":
            await self._create_crowd(key, step)
        elif step.kind == "together":
            await self._create_together(key, step)
        elif step.kind == "create" or (not alive and step.kind != "delete_all"):
            await self._create(key, step)
        elif step.kind == "again" and any(own := [one for one in alive if not is_ours(one)]):
            await self._create_again(key, self._random.choice(own), step)
        elif step.kind == "again":
            await self._create(key, step)
        elif step.kind == "rename":
            await self._rename(key, self._random.choice(alive), step)
        elif step.kind == "get":
            await self._get(key, self._random.choice(alive), step)
        elif step.kind == "delete":
            await self._delete(key, self._pick_doomed(key, alive), step)
        elif step.kind == "delete_listed":
            await self._delete_listed(key, step)
        else:
            await self._delete_all(key, step)

    async def _create(self, key: CounterKey, step: ClientStep) -> None:
        if not step.has_own_id:
            await self._create_once(key, None, step, self._pick())
            return
        entry_id = self._pick_id(key, step)
        for _ in range(_TRIES):
            if await self._create_once(key, entry_id, step, self._pick()):
                return
            await asyncio.sleep(self._random.uniform(0.0, 1.0))

    def _pick_id(self, key: CounterKey, step: ClientStep) -> str:
        """Return an id of one's own: a new one, or one that was deleted."""
        reusable = [one for one in self._world.oracle.reusable(key) if not is_ours(one)]
        if reusable and self._random.random() < self._world.options.reuse_share:
            entry_id = self._random.choice(reusable)
            self._world.oracle.reuse(key, entry_id)
            self._world.coverage.count("id used again after its delete")
            return entry_id
        return step.number.replace(" ", ".")

    async def _create_crowd(self, key: CounterKey, step: ClientStep) -> None:
        """Create many entries at once, by one process, so that flushes and calls are full."""
        process = self._pick()
        self._world.coverage.count("creates together")
        patient = msgspec.structs.replace(step, patience_s=_PATIENCE_S)
        ids = [f"{step.number}.{number}".replace(" ", ".") for number in range(self._world.options.crowd)]
        await _all_of([self._create_once(key, id_ if step.has_own_id else None, patient, process) for id_ in ids])

    async def _create_together(self, key: CounterKey, step: ClientStep) -> None:
        """Ask two processes for the same create at once, as a hedging client does, and perhaps delete it after."""
        entry_id = self._pick_id(key, step)
        self._world.coverage.count("creates of one id together")
        processes = [self._pick() for _ in range(2)]
        answered = await _all_of([self._create_once(key, entry_id, step, process) for process in processes])
        if all(answered) and self._random.random() < 2 * _DELETE_AGAIN:
            await asyncio.sleep(self._random.uniform(0.0, 1.0))
            await self._delete(key, entry_id, step)
        elif len(set(answered)) > 1:
            # The other process may still be at it, and learn late what became of its entry.
            await self._delete(key, entry_id, step)
            silent = processes[answered.index(False)]
            if self._world.oracle.fate(key, entry_id).may_be_reused and silent in self._world.fleet.processes:
                self._world.oracle.reuse(key, entry_id)
                await self._create_once(key, entry_id, step, silent)

    async def _create_again(self, key: CounterKey, entry_id: str, step: ClientStep) -> None:
        """Repeat a create, and now and then delete the entry right after: the repeat's own insert may still come."""
        is_answered = await self._create_once(key, entry_id, step, self._pick())
        if is_answered and self._random.random() < _DELETE_AGAIN:
            await self._delete(key, entry_id, step)

    async def _create_once(self, key: CounterKey, entry_id: str | None, step: ClientStep, process: Process) -> bool:
        """Create; tell whether there was an answer."""
        world = self._world
        fate = world.oracle.fate(key, entry_id) if entry_id else None
        if fate and fate.is_delete_asked:
            # An id whose delete is under way is not used again.
            return True
        started_s, is_repeat = world.loop.time(), fate is not None and fate.is_acknowledged
        world.decisions.started(key, process, step.amount)
        if fate:
            fate.pending += 1
        try:
            created = await self._ask_to_create(key, entry_id, step, process)
        except InDoubtError:
            if fate:
                fate.doubtful += 1
            return False
        except LimitReachedError as error:
            if fate and entry_id:
                fate.pending -= 1
                world.oracle.refused(key, entry_id, is_repeat=is_repeat)
                fate.pending += 1
            world.decisions.refused(key, process, started_s, step.amount, error)
            world.limits.refused(key, process, started_s, error)
            world.deaths.refused(key, started_s, error)
            return True
        finally:
            if fate:
                fate.pending -= 1
        if entry_id not in {None, created.entry.id}:
            raise Violation("a create answered with another entry", created)
        self._check_created(key, created, process, started_s, step)
        return True

    def _check_created(
        self, key: CounterKey, created: Created, process: Process, started_s: float, step: ClientStep
    ) -> None:
        world = self._world
        if created.replayed:
            world.coverage.count("replay answered")
        else:
            world.decisions.admitted(key, started_s, step.amount)
            if not world.options.enforcement_changes:
                world.limits.admitted(key, process, started_s)
        world.oracle.created(key, created)
        world.deaths.created(key, started_s)

    async def _ask_to_create(
        self, key: CounterKey, entry_id: str | None, step: ClientStep, process: Process
    ) -> Created:
        world = self._world
        if step.amount > 1:
            world.coverage.count("create of an amount above one")
        return await world.ask(
            self._name,
            process,
            f"create {entry_id or ''} in {key.account_id}",
            lambda engine: engine.entries.create(key, "any", entry_id),
            why=self._why(step),
            patience_s=step.patience_s,
            amount=step.amount,
        )

    async def _rename(self, key: CounterKey, entry_id: str, step: ClientStep) -> None:
        world, process, why = self._world, self._pick(), self._why(step)
        expected = world.oracle.expected(key, entry_id)
        setting = world.changes.started(why, ("name", key, entry_id), why, process)
        try:
            await world.ask(
                self._name,
                process,
                f"rename {entry_id}",
                lambda engine: engine.entries.rename(key, entry_id, why),
                why=why,
                patience_s=step.patience_s,
                on_end=setting.end,
            )
        except InDoubtError:
            return
        except EntryNotFoundError:
            world.oracle.not_found(key, entry_id, expected)
        else:
            world.coverage.count("entry renamed")
            world.changes.answered(setting)

    async def _get(self, key: CounterKey, entry_id: str, step: ClientStep) -> None:
        oracle = self._world.oracle
        expected = oracle.expected(key, entry_id)
        try:
            await self._ask(step, f"get {entry_id}", lambda engine: engine.entries.get(key, entry_id))
        except InDoubtError:
            return
        except EntryNotFoundError:
            oracle.not_found(key, entry_id, expected)

    async def _delete(self, key: CounterKey, entry_id: str, step: ClientStep) -> None:
        oracle = self._world.oracle
        fate = oracle.fate(key, entry_id)
        if fate.pending:
            # Whether it is created again before or after the delete would be anybody's guess.
            return
        oracle.asked_to_delete(key, entry_id)
        fate.deleting += 1
        try:
            await self._try_to_delete(key, entry_id, fate, step)
        finally:
            fate.deleting -= 1

    async def _try_to_delete(self, key: CounterKey, entry_id: str, fate: Fate, step: ClientStep) -> None:
        oracle, in_doubt = self._world.oracle, False
        for _ in range(_TRIES):
            try:
                await self._ask_to_delete(key, entry_id, fate, step)
            except InDoubtError:
                in_doubt = True
                await asyncio.sleep(self._random.uniform(0.0, 1.0))
            except EntryNotFoundError:
                oracle.not_found_by_deleter(key, entry_id, in_doubt=in_doubt)
                return
            else:
                oracle.deleted(key, entry_id)
                return

    async def _ask_to_delete(self, key: CounterKey, entry_id: str, fate: Fate, step: ClientStep) -> None:
        # Each try of a hybrid delete makes its room before it is flushed.
        self._world.decisions.deleting(key, max(self._world.options.amounts))
        fate.deleting += 1

        def ended() -> None:
            fate.deleting -= 1

        await self._ask(step, f"delete {entry_id}", lambda engine: engine.entries.delete(key, entry_id), ended)

    def _pick_doomed(self, key: CounterKey, alive: list[str]) -> str:
        """Return an entry to delete: sometimes one that another caller is deleting or has deleted."""
        doomed = self._world.oracle.doomed(key)
        return self._random.choice(doomed if doomed and self._random.random() < 0.2 else alive)

    async def _delete_listed(self, key: CounterKey, step: ClientStep) -> None:
        try:
            page = await self._ask(step, "list", lambda engine: engine.entries.page(key, 3, None))
        except InDoubtError:
            return
        if page.items:
            await self._delete(key, page.items[-1].id, step)

    async def _delete_all(self, key: CounterKey, step: ClientStep) -> None:
        self._world.decisions.deleting(key, math.inf)
        # However long a process stands still, it may go on with it afterwards.
        self._world.oracle.sweeping(key, 10 * DEADLINE_S + REQUEST_LIFE_S + _LONGEST_PAUSE_S)
        with_patience = msgspec.structs.replace(step, patience_s=4 * DEADLINE_S)
        try:
            await self._ask(with_patience, "delete_all", lambda engine: engine.entries.delete_all(key))
        except InDoubtError:
            return

    async def _ask(
        self,
        step: ClientStep,
        what: str,
        operation: Callable[[Engine], Coroutine[Any, Any, T]],
        on_end: Callable[[], None] | None = None,
    ) -> T:
        return await self._world.ask(
            self._name,
            self._pick(),
            what,
            operation,
            why=self._why(step),
            patience_s=step.patience_s,
            on_end=on_end,
        )

    def _pick(self) -> Process:
        return self._world.fleet.pick(self._random)

    def _why(self, step: ClientStep) -> str:
        """Return a name for one more ask of an operation."""
        self._asks += 1
        return step.number if self._asks == 1 else f"{step.number} again {self._asks}"


async def _all_of(works: list[Coroutine[Any, Any, bool]]) -> list[bool]:
    """Do several things at once; an error of one is raised when all are done."""
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]
