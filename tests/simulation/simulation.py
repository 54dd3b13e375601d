"""One run: a safety phase with faults, then a liveness phase without any, in which everything has to converge."""

import asyncio
import logging
from collections import Counter as Tally
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

import msgspec

from counters.engine import Engine, EngineSettings
from counters.errors import CounterError, LimitReachedError
from counters.keys import SERVICES, CounterKey
from counters.lane import LaneSettings
from counters.model import Account, Counter, Healing
from counters.stock import StockSettings
from tests import factories
from tests.engines import DEADLINE_S
from tests.simulation.checkers import ExactlyOnce, LimitKept, OneSided
from tests.simulation.clients import Client, World
from tests.simulation.dice import Dice
from tests.simulation.faults import Fault, Injector
from tests.simulation.history import History, Line
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.options import Options
from tests.simulation.oracle import FairRefusals, Oracle
from tests.simulation.processes import Fleet, lanes_of
from tests.simulation.store import Violation, WatchedMemory, Watcher
from tests.simulation.stream import Stream

_PATIENCE_S: Final = 4 * DEADLINE_S
_QUIET_S: Final = 30.0
_SETTLED_S: Final = 1000.0
_RECONCILE_SHARE: Final = 0.1
_LIMITS: Final = (0, 1, 3, 10, 30)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was.

    Attributes:
        failure: The promise that was broken, and how; None when all were kept.
        rule: The promise alone.
        operations: How many of each kind, with their ends.
        faults: How many of each kind.
        healed: How many healings were applied.
        places: Where faults happened.
        steps: Operations that callers started.
        lines: The history, if it was to be taken down.
        virtual_s: How long it took in virtual time, in seconds.
        callbacks: How many steps the loop made.
    """

    failure: str | None
    rule: str | None
    operations: Tally[str]
    faults: Tally[Fault]
    healed: int
    places: list[str]
    steps: list[str]
    lines: list[Line]
    virtual_s: float
    callbacks: int


class HealCount(Watcher):
    """Counts healings."""

    def __init__(self) -> None:
        self.healed_count = 0

    def healed(self, after: Counter, healing: Healing) -> None:
        del after, healing
        self.healed_count += 1


class Simulation:
    """All parts of one run."""

    def __init__(self, options: Options, *, is_read: bool) -> None:
        seed = options.seed
        self.options = options
        self.loop = SimulatedLoop()  # type: ignore[abstract] # sockets and the like are not there
        self.store = WatchedMemory()
        self.history = History(self.loop, self.store, is_read=is_read)
        self.injector = Injector(Dice(4 * seed), options.rates, options.faults_left_out)
        self.network = Network(self.loop, self.store, self.injector, Dice(4 * seed + 1), self.history)
        self.network.latency_s = options.latency_s
        self.records = ExactlyOnce()
        dice = Dice(4 * seed + 2)
        self.stream = Stream(self.loop, self.network, self.injector, dice, self.records, self.history)
        self.oracle = Oracle(self.loop, self.store)
        self.refusals = FairRefusals(self.loop, self.store)
        self.heals = HealCount()
        # The stream first: a checker that looks at records has to find this step's.
        self.store.watchers += [self.stream, self.records, LimitKept(), OneSided(self.store)]
        self.store.watchers += [self.oracle, self.refusals, self.heals]
        lanes = LaneSettings(
            batch_max=options.batch_max,
            queue_max=options.queue_max,
            full_for_s=options.full_for_s,
            stock=options.stock,
        )
        # A reservation may be as old as in production before its entry is written: healing's quiet allows for that.
        deadline_s = DEADLINE_S + StockSettings().lasts_s - options.stock.lasts_s
        settings = EngineSettings(deadline_s=deadline_s, services_slots=options.slots, lanes=lanes)
        dice = Dice(4 * seed + 3)
        self.fleet = Fleet(self.loop, self.network, self.injector, dice, self.history, settings, options.processes)
        self.keys = [CounterKey(f"account-{number}", SERVICES) for number in range(options.counters)]
        self.random = Random("/".join((str(seed), "workload")))
        world = World(self.loop, options, self.keys, self.fleet, self.oracle, self.refusals, self.history)
        self.clients = [Client(f"client-{number}", world) for number in range(options.clients)]

    async def play(self) -> None:
        """Play the whole run; raises ``Violation`` when a promise is broken."""
        await self._make_counters()
        operator = asyncio.create_task(self._operate())
        for burst, lull_s in enumerate(self.options.lulls_s):
            await asyncio.gather(*(client.run(burst) for client in self.clients))
            await self._lull(lull_s)
        operator.cancel()
        await self._converge()

    def check_tasks(self) -> None:
        """Check that no task of the engine ended with an error that nobody foresaw."""
        if self.loop.failures:
            raise Violation("a task of the engine failed", repr(self.loop.failures[0]))

    async def _make_counters(self) -> None:
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
            await self.store.create_account(account, counter)
            self.refusals.made(counter)

    async def _set_limit(self, random: Random, key: CounterKey, limit: int) -> None:
        self.history.note("operator", f"sets the limit of {key.account_id} to {limit}")
        await self._ask(random, lambda engine: engine.accounts.update(key.account_id, username=None, limit=limit))

    async def _operate(self) -> None:
        """Change limits at random."""
        random = Random(f"{self.options.seed}/operator")
        while self.options.limits_change:
            await asyncio.sleep(random.expovariate(0.5))
            await self._set_limit(random, random.choice(self.keys), random.choice(_LIMITS))

    async def _lull(self, lull_s: float) -> None:
        """Let nobody call for a while; sweeps look for counters to heal, and an operator may force it."""
        random, started_s = self.random, self.loop.time()
        # One look about when healing becomes possible, where mistakes about it would show.
        for at_s in sorted([random.uniform(0.0, lull_s), random.uniform(0.0, lull_s), random.uniform(12.0, 18.0)]):
            await asyncio.sleep(max(0.0, started_s + min(at_s, lull_s) - self.loop.time()))
            await self._sweep(random)
            if random.random() < _RECONCILE_SHARE:
                await self._reconcile(random.choice(self.keys))
        await asyncio.sleep(max(0.0, started_s + lull_s - self.loop.time()))

    async def _reconcile(self, key: CounterKey) -> None:
        self.history.note("operator", f"reconciles {key.account_id}")
        await self._ask(self.random, lambda engine: engine.healer.heal(key, reset_eventual=True))

    async def _sweep(self, random: Random) -> None:
        await self._ask(random, lambda engine: engine.sweeper.sweep())

    async def _ask(self, random: Random, operation: Callable[[Engine], Coroutine[Any, Any, object]]) -> None:
        try:
            await self.fleet.pick(random).ask(operation, _PATIENCE_S, "operator")
        except (CounterError, ConnectionError, TimeoutError) as error:
            self.history.note("operator", f"is told: {error!r}")

    async def _converge(self) -> None:
        """End all trouble and wait: every counter has to become what its ledger is."""
        self.history.note("world", "faults end")
        self.injector.is_active = False
        await self.fleet.settle_down()
        self._check_lanes()
        await asyncio.sleep(_QUIET_S)
        await self.stream.drain()
        self._check_settled()
        # The first sets best_effort, the second finds it verified and sets eventual where records were lost.
        for wait_s in (0.0, _SETTLED_S, _SETTLED_S):
            await asyncio.sleep(wait_s)
            await self._sweep(self.random)
        for _ in range(2):
            await self._reconcile_lost()
            await asyncio.sleep(_QUIET_S)
        for key in self.keys:
            self._check_converged(key)
            await self._check_room(key)

    async def _reconcile_lost(self) -> None:
        """Do what an operator does when a batch came to the dead-letter queue."""
        for key in self.keys:
            if self.records.has_lost(key):
                await self._reconcile(key)

    def _check_lanes(self) -> None:
        """Check that lanes that have nothing to do keep no sum."""
        for process in self.fleet.processes:
            for lane in lanes_of(process):
                if lane._in_flight or lane._writing or lane._queue or lane._adjustments:
                    raise Violation("an idle lane keeps a sum", f"{lane._in_flight} in flight, {lane._writing} written")

    def _check_settled(self) -> None:
        """Check what must hold once all records are settled, before anything is healed in the liveness phase."""
        for key in self.keys:
            counter = self.store.counter(key)
            if self.options.is_calm and counter.best_effort != self.store.total(key):
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
        room = 0
        while room <= limit:
            try:
                await process.ask(lambda engine: engine.entries.create(key, "one more"), _PATIENCE_S, "room")
            except LimitReachedError:
                break
            room += 1
        if room != max(0, limit - total):
            raise Violation("callers did not get the room there was", f"{room}, ledger {total}, limit {limit}")


class _Unforeseen(logging.Handler):
    """Notes what the engine logs as an error: it answers its callers, but it should never have to."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__(logging.ERROR)
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._loop.failures.append(error or AssertionError(record.getMessage()))


def run(options: Options, *, is_read: bool = False) -> Report:
    """Play one run and report."""
    logging.disable(logging.WARNING)
    simulation = Simulation(options, is_read=is_read)
    logging.getLogger("counters").addHandler(unforeseen := _Unforeseen(simulation.loop))
    failure = rule = None
    try:
        simulation.loop.run(simulation.play())
        simulation.check_tasks()
    except AssertionError as error:
        failure = str(error)
        rule = error.rule if isinstance(error, Violation) else type(error).__name__
    finally:
        logging.getLogger("counters").removeHandler(unforeseen)
        logging.disable(logging.NOTSET)
    return Report(
        failure=failure,
        rule=rule,
        operations=simulation.history.operations,
        faults=simulation.injector.injected,
        healed=simulation.heals.healed_count,
        places=simulation.injector.places,
        steps=simulation.history.steps,
        lines=simulation.history.lines,
        virtual_s=simulation.loop.time(),
        callbacks=simulation.loop.callbacks,
    )
