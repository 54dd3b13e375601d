"""The core put together: one engine for each process, over any store."""

import asyncio
import logging
from random import Random
from typing import Final

import msgspec

from counters.accounts import Accounts
from counters.entries import Entries
from counters.errors import StoreError
from counters.healing.healer import Healer
from counters.healing.settings import HealingSettings
from counters.healing.sweep import Sweeper, SweepSettings
from counters.healing.turn import Turn
from counters.lanes.registry import Lanes
from counters.lanes.settings import LaneSettings
from counters.stores.port import Store
from counters.values.ids import Clock

_READY_FOR_S: Final = 2.0
_PING_TIMEOUT_S: Final = 1.0

logger = logging.getLogger(__name__)


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may choose.

    Attributes:
        deadline_s: Longest time from an operation's arrival to its answer, in seconds.
        services_slots: Partitions of each new account's ledger, 1 to 64. One takes 1,000 pages a second.
        lanes: Bounds of the lanes.
        healing: When healing is safe.
        sweep: Bounds of one sweep.
    """

    deadline_s: float = 5.0
    services_slots: int = 1
    lanes: LaneSettings = LaneSettings()
    healing: HealingSettings = HealingSettings()
    sweep: SweepSettings = SweepSettings()


class Engine:
    """Accounts and entries over one store, and the lanes they share.

    Attributes:
        accounts: Operations on accounts.
        entries: Operations on the entries of counters.
        healer: Recounts and heals counters.
        sweeper: Finds the counters that need healing.
        sweep_turn: Whose turn it is to do so.
    """

    def __init__(self, store: Store, *, clock: Clock, random: Random, settings: EngineSettings) -> None:
        self._store = store
        self.healer = Healer(
            store, clock=clock, random=random, deadline_s=settings.deadline_s, settings=settings.healing
        )
        self._lanes = Lanes(store, self.healer, clock=clock, random=random, settings=settings.lanes)
        self._ready_until = 0.0
        self.entries = Entries(store, self._lanes, clock=clock, random=random, deadline_s=settings.deadline_s)
        self.accounts = Accounts(
            store,
            self.entries,
            self._lanes,
            self.healer,
            clock=clock,
            random=random,
            deadline_s=settings.deadline_s,
            slots=settings.services_slots,
        )
        self.sweeper = Sweeper(
            store,
            self.healer,
            self.accounts.delete,
            random=random,
            deadline_s=settings.deadline_s,
            settings=settings.sweep,
        )
        self.sweep_turn = Turn(store, "sweep", clock=clock, random=random, deadline_s=settings.deadline_s)

    async def ready(self) -> bool:
        """Tell whether the table can be reached; a yes is remembered for two seconds."""
        now = asyncio.get_running_loop().time()
        if now < self._ready_until:
            return True
        try:
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self._store.ping()
        except (StoreError, TimeoutError) as error:
            logger.warning("store.unreachable", extra={"fields": {"reason": repr(error)}})
            return False
        self._ready_until = now + _READY_FOR_S
        return True

    @property
    def lanes_in_use(self) -> int:
        """Number of counters that this process keeps a lane for."""
        return len(self._lanes)

    async def drain(self) -> None:
        """Let no new operation in; flush every lane and finish every write that was admitted."""
        await self._lanes.drain()
