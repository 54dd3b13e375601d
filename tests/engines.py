"""Engines over a store in memory: each is what one API process runs."""

from random import Random

from counters.engine import Engine, EngineSettings
from counters.keys import SERVICES, CounterKey
from counters.lanes import LaneSettings
from counters.store import Store
from tests import factories

DEADLINE_S = 5.0


def make_engine(store: Store, *, seed: int = 0, lanes: LaneSettings | None = None, slots: int = 1) -> Engine:
    """Return an engine whose randomness comes from a seed."""
    settings = EngineSettings(deadline_s=DEADLINE_S, services_slots=slots, lanes=lanes or LaneSettings())
    return Engine(store, clock=lambda: factories.NOW_MS, random=Random(seed), settings=settings)


async def make_account(engine: Engine, *, limit: int = 10) -> CounterKey:
    """Make an account and return the key of its services."""
    view = await engine.accounts.create("ada", limit)
    return CounterKey(view.account.id, SERVICES)
