"""The table's stream and its reader: shards that split, batches cut anyhow and delivered late, twice, half or never."""

import asyncio
from typing import Final

from counters.keys import CounterKey, Ledger
from counters.settlement import Censuses, PageChange, SettlementReport, settle_batch
from tests.simulation.checkers import ExactlyOnce
from tests.simulation.dice import Dice
from tests.simulation.faults import Injector, NetworkFault
from tests.simulation.history import RunHistory
from tests.simulation.loop import Machine, SimulatedLoop
from tests.simulation.network import Network, remote_store
from tests.simulation.store import Watcher
from tests.support import factories

_INVOCATION_S: Final = 30.0
"""How long an invocation may take."""

_RETENTION_S: Final = 86_400.0
"""How long the stream keeps a record."""

_SILENT_S: Final = 60.0
_SILENT_SHARE: Final = 4.0
"""How much oftener than usual the first delivery after a silence brings old records."""

_LAGS_S: Final = (5.0, 40.0, 1200.0)


class Shard:
    """One shard: records in order, until it is closed."""

    def __init__(self, label: str, parent: "Shard | None") -> None:
        self.label = label
        self.parent = parent
        self.records: list[PageChange] = []
        self.times_s: list[float] = []
        self.is_closed = False
        self.settled = 0
        self.deliveries = 0
        self.delivered_s = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether all that ever was or will be in it, and in those that it came from, is settled."""
        is_read = self.is_closed and self.settled == len(self.records)
        return is_read and (self.parent is None or self.parent.is_finished)


class SimulatedStream(Watcher):
    """Turns changes of ledgers into records, and delivers them to the settler.

    A shard's batches are delivered in order, and its children's only after its own.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - parts of the world, each under its name
        self,
        loop: SimulatedLoop,
        network: Network,
        injector: Injector,
        dice: Dice,
        checker: ExactlyOnce,
        history: RunHistory,
    ) -> None:
        self._loop = loop
        self._network = network
        self._injector = injector
        self._dice = dice
        self._checker = checker
        self._history = history
        self._sequence = 10**20
        self._routes: dict[tuple[CounterKey, int], Shard] = {}
        self._shards = [Shard(f"{number}-a", None) for number in range(dice.at("shards").choice([1, 1, 2, 3]))]
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._known: dict[CounterKey, Censuses] = {}

    def wrote(self, ledger: Ledger, page_id: str, change: PageChange) -> None:
        if not change.delta and change.asked_before >= change.asked_after:
            return
        partition = (ledger.counter, ledger.slot_of(page_id))
        shard = self._routes.get(partition)
        if shard is None:
            open_shards = [one for one in self._shards if not one.is_closed]
            shard = self._routes[partition] = self._dice.at(f"{partition}").choice(open_shards)
        elif self._injector.draw([NetworkFault.SPLIT], f"{shard.label} record {len(shard.records)}"):
            shard = self._split(shard, partition)
        self._sequence += self._dice.at(f"{shard.label} record {len(shard.records)}").choice((1, 7, 1000))
        record = change._replace(sequence=self._sequence)
        shard.records.append(record)
        shard.times_s.append(self._loop.time())
        self._checker.recorded(shard.label, page_id, record)
        self._start(shard)

    def _start(self, shard: Shard) -> None:
        """Read a shard that has something new, if its parent has nothing left."""
        is_due = shard.settled < len(shard.records) and (shard.parent is None or shard.parent.is_finished)
        if is_due and shard.label not in self._readers:
            self._readers[shard.label] = self._loop.create_task(self._read(shard))

    def _split(self, shard: Shard, partition: tuple[CounterKey, int]) -> Shard:
        shard.is_closed = True
        children = [Shard(f"{len(self._shards) + number}-a", shard) for number in range(2)]
        self._shards += children
        for route, owner in self._routes.items():
            if owner is shard:
                self._routes[route] = self._dice.at(f"{shard.label} {route}").choice(children)
        self._history.note("stream", f"shard {shard.label} splits into {children[0].label} and {children[1].label}")
        return self._routes[partition]

    async def drain(self) -> None:
        """Wait until everything is settled."""
        while self._readers:
            await asyncio.wait(list(self._readers.values()))
            for task in [task for task in self._readers.values() if task.done()]:
                task.result()
            self._readers = {label: task for label, task in self._readers.items() if not task.done()}

    async def _read(self, shard: Shard) -> None:
        """Deliver what a shard has; ends when nothing is left for now."""
        while shard.settled < len(shard.records):
            shard.deliveries += 1
            place = f"{shard.label} delivery {shard.deliveries}"
            dice = self._dice.at(place)
            wait_s = dice.uniform(0.0, 0.3)
            if self._injector.draw([NetworkFault.LAG], place):
                wait_s += dice.choice(_LAGS_S)
            await asyncio.sleep(wait_s)
            await self._deliver(shard)
        del self._readers[shard.label]
        self._start_children(shard)

    def _start_children(self, shard: Shard) -> None:
        for child in [child for child in self._shards if child.parent is shard]:
            self._start(child)
            self._start_children(child)

    async def _deliver(self, shard: Shard) -> None:
        """Deliver one batch: it starts at what was not settled or anywhere before, and ends anywhere after."""
        place = f"{shard.label} batch {shard.deliveries}"
        dice = self._dice.at(place)
        end = dice.randint(shard.settled + 1, len(shard.records))
        start, give_up_s = shard.settled, None
        # What a silent shard had is where a mark that was dropped too soon would be missed.
        share = _SILENT_SHARE if self._loop.time() - shard.delivered_s > _SILENT_S else 1.0
        shard.delivered_s = self._loop.time()
        if self._injector.draw([NetworkFault.REDELIVERY], f"{place} again", share=share):
            start = dice.randint(self._oldest(shard), start)
            give_up_s = dice.choice((None, dice.uniform(0.0, 0.05)))
        batch = shard.records[start:end]
        invocation = self._invoke(shard, batch)
        if give_up_s is not None:
            # It goes on, and the batch is delivered again.
            await asyncio.sleep(give_up_s)
            return
        done, _ = await asyncio.wait([invocation], timeout=_INVOCATION_S)
        if done and not invocation.cancelled() and invocation.exception() is None:
            shard.settled = end
        elif self._injector.draw([NetworkFault.BATCH_LOST], f"{place} lost"):
            self._lose(shard, batch, end)

    def _oldest(self, shard: Shard) -> int:
        """Return the position of the oldest record that can be delivered again: nothing is after a day."""
        from_s = self._loop.time() - _RETENTION_S
        return sum(at_s < from_s for at_s in shard.times_s[: shard.settled])

    def _lose(self, shard: Shard, batch: list[PageChange], end: int) -> None:
        self._history.note("stream", f"batch {shard.label}:{batch[0].sequence}-{batch[-1].sequence} is lost for good")
        self._checker.lost.update(record.sequence for record in batch)
        shard.settled = end

    def _invoke(self, shard: Shard, batch: list[PageChange]) -> "asyncio.Task[SettlementReport] | asyncio.Future[None]":
        machine = Machine(self._loop, f"lambda {shard.label} {shard.deliveries}")
        store = remote_store(self._network, machine)
        at_ms = factories.NOW_MS + int(self._loop.time() * 1000)
        task = machine.start(settle_batch(store, shard.label, batch, at_ms, self._known))
        if not self._injector.draw([NetworkFault.SETTLER_CRASH], machine.name):
            return task
        return self._loop.create_task(self._crash(machine, self._dice.at(machine.name).uniform(0.0, 0.01)))

    async def _crash(self, machine: Machine, after_s: float) -> None:
        await asyncio.sleep(after_s)
        machine.kill()
        raise ConnectionError(machine.name)
