"""Engines over a store in memory: each is what one API process runs."""

import asyncio
from random import Random

from counters.engine import Engine, EngineSettings
from counters.keys import SERVICES, CounterKey
from counters.lanes.settings import LaneSettings
from counters.model import Enforcement
from counters.stores.port import Store
from counters.values.ids import Clock
from tests.support import factories

DEADLINE_S = 5.0

ENFORCEMENTS = (Enforcement.STRICT, Enforcement.HYBRID)
"""How an account can ask its limit to be kept."""


def standing_clock() -> int:
    """Tell always the same time, so that ids and timestamps can be foretold."""
    return factories.NOW_MS


def virtual_clock() -> int:
    """Tell a time that moves on with the event loop's, as healing and sweeps need it."""
    return factories.NOW_MS + round(asyncio.get_running_loop().time() * 1000)


def make_engine(
    store: Store,
    *,
    seed: int = 0,
    clock: Clock = standing_clock,
    lanes: LaneSettings | None = None,
    slots: int = 1,
) -> Engine:
    """Return an engine whose randomness comes from a seed."""
    settings = EngineSettings(deadline_s=DEADLINE_S, services_slots=slots, lanes=lanes or LaneSettings())
    return Engine(store, clock=clock, random=Random(seed), settings=settings)


async def make_account(engine: Engine, *, limit: int = 10, enforcement: Enforcement = Enforcement.STRICT) -> CounterKey:
    """Make an account and return the key of its services."""
    view = await engine.accounts.create("ada", limit, enforcement)
    return CounterKey(view.account.id, SERVICES)
