"""One run: a safety phase with faults, then a liveness phase without any, in which everything has to converge."""

import asyncio
import gc
import logging
import math
from collections import Counter as Tally
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, Final
from unittest.mock import patch

import msgspec

import counters.entries
from counters.engine import Engine, EngineSettings
from counters.errors import AccountNotFoundError, CounterError, LimitReachedError
from counters.keys import SERVICES, CounterKey
from counters.lanes.settings import LaneSettings
from counters.model import Account, Counter, CutHealing, Healing
from tests.simulation.changes import AnsweredLimitHolds, LastWordStands
from tests.simulation.checkers import ExactlyOnce, LimitKept, OneSided
from tests.simulation.clients import Client
from tests.simulation.coverage import Coverage
from tests.simulation.deaths import DeletedStaysDeleted
from tests.simulation.decisions import FairDecisions
from tests.simulation.dice import Dice
from tests.simulation.faults import Injector, NetworkFault
from tests.simulation.history import HistoryLine, RunHistory
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.operators import Operator
from tests.simulation.options import Options
from tests.simulation.oracle import Oracle
from tests.simulation.probes import probed
from tests.simulation.processes import Fleet, lanes_of
from tests.simulation.store import Violation, WatchedMemory, Watcher
from tests.simulation.stream import SimulatedStream
from tests.simulation.world import AmountedEntry, World, with_amount
from tests.support import factories
from tests.support.engines import DEADLINE_S

TASK_FAILED: Final = "a task of the engine failed"
_PATIENCE_S: Final = 4 * DEADLINE_S
_QUIET_S: Final = 30.0
_SETTLED_S: Final = 1000.0
_SINGLE: Final = 3
"""How many entries of one are made at the end of the room."""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was.

    Attributes:
        failure: The promise that was broken, and how; None when all were kept.
        rule: The promise alone.
        operations: How many of each kind, with their ends.
        faults: How many of each kind.
        healed: How many healings were applied.
        met: How often states that matter were met.
        places: Where faults happened.
        steps: Operations that callers started.
        lines: The history, if it was to be taken down.
        virtual_s: How long it took in virtual time, in seconds.
        callbacks: How many steps the loop made.
    """

    failure: str | None
    rule: str | None
    operations: Tally[str]
    faults: Tally[NetworkFault]
    healed: int
    met: Tally[str]
    places: list[str]
    steps: list[str]
    lines: list[HistoryLine]
    virtual_s: float
    callbacks: int


class HealCount(Watcher):
    """Counts healings."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self.healed_count = 0

    def healed(self, before: Counter, after: Counter, healing: Healing | CutHealing) -> None:
        self.healed_count += 1
        if isinstance(healing, CutHealing):
            self._coverage.count("counter in use healed")
        if before.enforcement is not after.enforcement:
            self._coverage.count("tightening ended")
        if after.best_effort != before.best_effort:
            self._coverage.count(
                f"healing {'lowered' if after.best_effort < before.best_effort else 'raised'} best_effort"
            )


class Simulation:
    """All parts of one run."""

    def __init__(self, options: Options, *, is_read: bool) -> None:
        seed = options.seed
        self.options = options
        self.loop = SimulatedLoop()  # type: ignore[abstract] # sockets and the like are not there
        self.coverage = Coverage()
        self.store = WatchedMemory(self.coverage)
        self.history = RunHistory(self.loop, self.store, is_read=is_read)
        self.injector = Injector(Dice(4 * seed), options.rates, options.faults_left_out)
        dice = Dice(4 * seed + 1)
        self.network = Network(self.loop, self.store, self.injector, dice, self.history, self.coverage)
        self.network.latency_s = options.latency_s
        self.network.storms_s = options.storms_s
        self.records = ExactlyOnce(self.coverage)
        dice = Dice(4 * seed + 2)
        self.stream = SimulatedStream(self.loop, self.network, self.injector, dice, self.records, self.history)
        changes = LastWordStands(self.loop, self.store)
        limits = AnsweredLimitHolds(self.loop, self.store, changes)
        self.deaths = DeletedStaysDeleted(self.loop, self.store, changes, options.lease.lasts_s)
        self.oracle = Oracle(self.loop, self.store, self.deaths)
        decisions = FairDecisions(self.loop, self.store, options)
        self.heals = HealCount(self.coverage)
        # The stream first: a checker that looks at records has to find this step's.
        self.store.watchers += [self.stream, self.records, LimitKept(), OneSided(self.store)]
        self.store.watchers += [self.oracle, changes, limits, self.deaths, decisions, self.heals]
        lanes = LaneSettings(
            batch_max=options.batch_max,
            queue_max=options.queue_max,
            sight_lasts_s=options.sight_lasts_s,
            lease=options.lease,
        )
        settings = EngineSettings(services_slots=options.slots, lanes=lanes)
        dice = Dice(4 * seed + 3)
        self.fleet = Fleet(self.loop, self.network, self.injector, dice, self.history, self.coverage, settings, options)
        if len({process.deadline_s for process in self.fleet.processes}) > 1:
            self.coverage.count("processes with several deadlines")
        self.keys = [CounterKey(f"account-{number}", SERVICES) for number in range(options.counters)]
        self.random = Random("/".join((str(seed), "workload")))
        world = World(
            loop=self.loop,
            options=options,
            keys=self.keys,
            fleet=self.fleet,
            oracle=self.oracle,
            decisions=decisions,
            changes=changes,
            limits=limits,
            deaths=self.deaths,
            history=self.history,
            coverage=self.coverage,
        )
        self.clients = [Client(f"client-{number}", world) for number in range(options.clients)]
        self.operators = [Operator(f"operator-{number}", world) for number in range(options.operators)]

    async def play(self) -> None:
        """Play the whole run; raises ``Violation`` when a promise is broken."""
        self._make_counters()
        acts: list[asyncio.Task[None]] = []
        for burst, lull_s in enumerate(self.options.lulls_s):
            acts += [asyncio.create_task(operator.run()) for operator in self.operators]
            patrol = asyncio.create_task(self._patrol(burst))
            if burst > 0:
                acts.append(asyncio.create_task(self._look_into_burst(burst)))
            await asyncio.gather(*(client.run(burst) for client in self.clients))
            patrol.cancel()
            await self._lull(lull_s)
        for act in acts:
            # One that is over had an error if a promise was broken.
            if act.done():
                act.result()
            act.cancel()
        await self._converge()

    def check_tasks(self) -> None:
        """Check that no task of the engine ended with an error that nobody foresaw."""
        if self.loop.failures:
            raise Violation(TASK_FAILED, repr(self.loop.failures[0]))

    def _make_counters(self) -> None:
        options = self.options
        for key in self.keys:
            account = Account(id=key.account_id, username="ada", created_at_ms=factories.NOW_MS)
            counter = Counter(
                key=key,
                limit=options.limit,
                enforcement=options.enforcement,
                slots=options.slots,
                touched_at_ms=factories.NOW_MS,
            )
            self.store.apply("create_account", (account, counter), "")

    async def _lull(self, lull_s: float) -> None:
        """Let nobody call for a while; sweeps look for counters to heal, and an operator may force it."""
        random, started_s = self.random, self.loop.time()
        # One look at least about when healing becomes possible, where mistakes about it would show.
        looks = [random.uniform(0.0, lull_s) for _ in range(2)]
        looks += [random.uniform(*self.options.looks_s) for _ in range(self.options.looks - 1)]
        for at_s in sorted(looks):
            await asyncio.sleep(max(0.0, started_s + min(at_s, lull_s) - self.loop.time()))
            await self._sweep(random)
            if random.random() < self.options.reconcile_share:
                await self._reconcile(random.choice(self.keys))
        await asyncio.sleep(max(0.0, started_s + lull_s - self.loop.time()))

    async def _look_into_burst(self, burst: int) -> None:
        """Let sweeps look while a counter that was quiet is used again: what it was used for may be under way."""
        random = Random(f"{self.options.seed} look {burst}")
        for _ in range(2):
            await asyncio.sleep(random.uniform(0.0, 2.0))
            await self._sweep(random)
            if random.random() < self.options.reconcile_share:
                await self._reconcile(random.choice(self.keys))

    async def _patrol(self, burst: int) -> None:
        """Let sweeps look all the time that callers call, and somebody ask for a healing that nothing calls for."""
        random = Random(f"{self.options.seed} patrol {burst}")
        while self.options.patrol_s < math.inf:
            await asyncio.sleep(random.uniform(0.0, 2 * self.options.patrol_s))
            if random.random() < 0.5:
                await self._ask(random, partial(_heal, random.choice(self.keys)))
            else:
                await self._sweep(random)

    async def _reconcile(self, key: CounterKey) -> None:
        self.history.note("operator", f"reconciles {key.account_id}")
        await self._ask(self.random, lambda engine: engine.healer.reconcile(key, recount_eventual=True))

    async def _sweep(self, random: Random) -> None:
        await self._ask(random, lambda engine: engine.sweeper.sweep())

    async def _ask(self, random: Random, operation: Callable[[Engine], Coroutine[Any, Any, object]]) -> None:
        try:
            await self.fleet.pick_running(random).ask(operation, _PATIENCE_S, "operator")
        except (CounterError, ConnectionError, TimeoutError) as error:
            self.history.note("operator", f"is told: {error!r}")

    async def _converge(self) -> None:
        """End all trouble and wait: every counter has to become what its ledger is."""
        self.history.note("world", "faults end")
        self.injector.is_active = False
        await self.fleet.settle_down()
        self._check_lanes()
        for key in self.deaths.deaths:
            await self.operators[0].delete(key)
        await asyncio.sleep(_QUIET_S)
        await self.stream.drain()
        self._check_settled()
        # The first sets best_effort, the second gives up a census that was lost, and the others take one of a counter
        # that is not strict.
        for wait_s in (0.0, _SETTLED_S, _SETTLED_S, _QUIET_S, _QUIET_S):
            await asyncio.sleep(wait_s)
            await self._sweep(self.random)
            await self.stream.drain()
        for _ in range(3):
            await self._reconcile_lost()
            await self.stream.drain()
            await asyncio.sleep(_QUIET_S)
        self.deaths.check_end()
        for key in self.store.keys:
            self._check_converged(key)
            await self._check_room(key)
        for key in self.deaths.deaths:
            await self._check_gone(key)

    async def _reconcile_lost(self) -> None:
        """Do what an operator does when a batch came to the dead-letter queue."""
        for key in self.store.keys:
            if self.records.has_lost(key):
                await self._reconcile(key)

    def _check_lanes(self) -> None:
        """Check that lanes that have nothing to do keep no sum."""
        for process in self.fleet.processes:
            for lane in lanes_of(process):
                if lane._flusher._planner.in_flight or lane._writes.size or lane._queue:
                    raise Violation(
                        "an idle lane keeps a sum",
                        f"{lane._flusher._planner.in_flight} in flight, {lane._writes.size} written",
                    )

    def _check_settled(self) -> None:
        """Check what must hold once all records are settled, before anything is healed in the liveness phase."""
        for key in self.store.keys:
            counter = self.store.counter(key)
            # A healing that meets a delete may leave its release out, which the next healing repairs.
            is_exact = self.options.is_calm and not self.coverage.released_too_late
            if is_exact and counter.best_effort != self.store.total(key):
                raise Violation("room was lost although nothing went wrong", counter)
            self.records.check_end(key)

    def _check_converged(self, key: CounterKey) -> None:
        counter, total = self.store.counter(key), self.store.total(key)
        if not counter.best_effort == counter.eventual == total:
            raise Violation("the counters did not converge", f"ledger {total}, {counter}")
        for entry_id in self.oracle.alive(key):
            if self.store.find(key, entry_id) is None:
                raise Violation("an acknowledged create is not in the ledger", entry_id)

    async def _check_room(self, key: CounterKey) -> None:
        """Check that callers get all the room there is, and no more."""
        limit, total = self.store.counter(key).limit or 0, self.store.total(key)
        process = self.fleet.pick(self.random)
        room, filled = max(0, limit - total), 0
        # All but a little of it at once, and one more than there is.
        amounts = [room - _SINGLE, *[1] * _SINGLE] if room > 2 * _SINGLE else [1] * room
        for amount in [*amounts, 1]:
            try:
                await process.ask(
                    partial(with_amount, amount, lambda engine: engine.entries.create(key, "one more")),
                    _PATIENCE_S,
                    "room",
                )
            except LimitReachedError:
                break
            filled += amount
        if filled != room:
            raise Violation("callers did not get the room there was", f"{filled}, ledger {total}, limit {limit}")

    async def _check_gone(self, key: CounterKey) -> None:
        """Check that nobody finds a deleted account."""
        try:
            await self.fleet.pick(self.random).ask(
                lambda engine: engine.accounts.get(key.account_id), _PATIENCE_S, "gone"
            )
        except AccountNotFoundError:
            return
        raise Violation("an account whose deletion was answered is found", key)


async def _heal(key: CounterKey, engine: Engine) -> None:
    await engine.healer.reconcile(key)


class _Unforeseen(logging.Handler):
    """Notes what the engine logs as an error: it answers its callers, but it should never have to."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__(logging.ERROR)
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._loop.failures.append(error or AssertionError(record.getMessage()))


def run(options: Options, *, is_read: bool = False) -> RunReport:
    """Play one run and report."""
    logging.disable(logging.WARNING)
    simulation = Simulation(options, is_read=is_read)
    logging.getLogger("counters").addHandler(unforeseen := _Unforeseen(simulation.loop))
    failure = rule = None
    # What waits in a circle of references would end when a collection comes, which is at another time in each process.
    gc.disable()
    try:
        with patch.object(counters.entries, "Entry", AmountedEntry), probed(simulation.coverage):
            simulation.loop.run(simulation.play())
        simulation.check_tasks()
    except AssertionError as error:
        failure = str(error)
        rule = error.rule if isinstance(error, Violation) else type(error).__name__
    finally:
        gc.enable()
        logging.getLogger("counters").removeHandler(unforeseen)
        logging.disable(logging.NOTSET)
    return RunReport(
        failure=failure,
        rule=rule,
        operations=simulation.history.operations,
        faults=simulation.injector.injected,
        healed=simulation.heals.healed_count,
        met=simulation.coverage.met,
        places=simulation.injector.places,
        steps=simulation.history.steps,
        lines=simulation.history.lines,
        virtual_s=simulation.loop.time(),
        callbacks=simulation.loop.callbacks,
    )
