"""An error that nobody foresaw: callers get an answer at once, it is logged, and the lane goes on."""

import asyncio
import logging

import pytest

from counters.engine import Engine
from counters.errors import LimitReachedError, OverloadedError
from counters.keys import PLACE_MAX, CounterKey
from counters.lanes.lane import Lane
from counters.model import Created, Enforcement
from tests.support.callers import LATENCY_S, creates
from tests.support.engines import ENFORCEMENTS, make_account, make_engine, virtual_clock
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

BOTH = pytest.mark.parametrize("enforcement", ENFORCEMENTS)


async def make_counter(enforcement: Enforcement = Enforcement.STRICT) -> tuple[WatchedStore, Engine, CounterKey]:
    """Return a store, an engine on it, and a counter that has been used."""
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store, clock=virtual_clock)
    key = await make_account(engine, limit=1_000, enforcement=enforcement)
    await engine.entries.create(key, "first", "first")
    # Hybrid counts it after the answer.
    await asyncio.sleep(1)
    return store, engine, key


async def fail_at_once(engine: Engine, key: CounterKey, number: int) -> None:
    """Create side by side and expect that each is answered with a 503 long before its deadline."""
    async with asyncio.timeout(1):
        outcomes = await asyncio.gather(*creates(engine.entries, key, number), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OverloadedError] * number


async def assert_goes_on(store: WatchedStore, engine: Engine, key: CounterKey, made: int) -> None:
    """Expect that the lane still works, and that what is in doubt was counted."""
    await asyncio.gather(*creates(engine.entries, key, 30))
    await engine.entries.delete(key, "first")
    await engine.drain()
    assert store.total(key) == made + 30 - 1
    store.check(key)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the events logged as errors; each tells of which account it is."""
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert all(vars(record)["fields"]["account_id"] for record in errors)
    return [record.getMessage() for record in errors]


@BOTH
@in_virtual_time
async def test_a_flush(enforcement: Enforcement, caplog: pytest.LogCaptureFixture) -> None:
    store, engine, key = await make_counter(enforcement)
    store.fail("change_counter", Fault.UNFORESEEN)
    if enforcement is Enforcement.STRICT:
        await fail_at_once(engine, key, 3)
        await assert_goes_on(store, engine, key, 1)
        assert store.counter(key).best_effort == store.total(key) + 3
    else:
        # Hybrid has answered when it counts.
        await asyncio.gather(*creates(engine.entries, key, 3))
        await assert_goes_on(store, engine, key, 4)
    assert logged(caplog) == ["flush.failed"]


@BOTH
@in_virtual_time
async def test_a_look(enforcement: Enforcement, caplog: pytest.LogCaptureFixture) -> None:
    store, _, key = await make_counter(enforcement)
    engine = make_engine(store, clock=virtual_clock)
    store.fail("read_counter", Fault.UNFORESEEN)
    await fail_at_once(engine, key, 3)
    await assert_goes_on(store, engine, key, 1)
    assert logged(caplog) == ["flush.failed"]


@BOTH
@in_virtual_time
async def test_a_write_of_entries(enforcement: Enforcement, caplog: pytest.LogCaptureFixture) -> None:
    store, engine, key = await make_counter(enforcement)
    store.fail("insert_page", Fault.UNFORESEEN)
    async with asyncio.timeout(1):
        outcomes = await asyncio.gather(*creates(engine.entries, key, 80), return_exceptions=True)
    # One of two pages: the other one is answered by what became of it.
    assert sum(isinstance(outcome, OverloadedError) for outcome in outcomes) == PLACE_MAX
    assert sum(isinstance(outcome, Created) for outcome in outcomes) == 80 - PLACE_MAX
    await assert_goes_on(store, engine, key, 81)
    assert logged(caplog) == ["write.failed"]


@BOTH
@in_virtual_time
async def test_an_insert_under_an_id_of_the_callers_own(
    enforcement: Enforcement, caplog: pytest.LogCaptureFixture
) -> None:
    store, engine, key = await make_counter(enforcement)
    store.fail("insert_page", Fault.UNFORESEEN)
    with pytest.raises(OverloadedError):
        async with asyncio.timeout(1):
            await engine.entries.create(key, "second", "second")
    assert (await engine.entries.create(key, "second", "second")).replayed
    await assert_goes_on(store, engine, key, 2)
    assert logged(caplog) == ["write.failed"]


@in_virtual_time
async def test_a_write_out_of_the_backlog(caplog: pytest.LogCaptureFixture) -> None:
    store, engine, key = await make_counter()
    store.fail("insert_page", Fault.THROTTLED, Fault.UNFORESEEN)
    async with asyncio.timeout(1):
        outcomes = await asyncio.gather(*creates(engine.entries, key, 3), return_exceptions=True)
    assert OverloadedError in [type(outcome) for outcome in outcomes]
    await assert_goes_on(store, engine, key, 4)
    assert logged(caplog) == ["write.failed"]


@in_virtual_time
async def test_anything_else_that_a_lane_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, engine, key = await make_counter()
    with monkeypatch.context() as patched:
        patched.setattr(Lane, "_hold_back", lambda _: 1 / 0)
        await fail_at_once(engine, key, 3)
        await engine.entries.delete(key, "first")
    await engine.entries.create(key, "first", "first")
    await assert_goes_on(store, engine, key, 1)
    assert logged(caplog) == ["lane.failed", "lane.failed"]


@in_virtual_time
async def test_a_healing(caplog: pytest.LogCaptureFixture) -> None:
    store, engine, key = await make_counter()
    await asyncio.gather(*creates(engine.entries, key, 999))
    await asyncio.sleep(20)
    store.fail("heal_counter", Fault.UNFORESEEN)
    # It heals, as nothing is settled here, and finds no room.
    with pytest.raises(LimitReachedError):
        async with asyncio.timeout(1):
            await engine.entries.create(key, "one too many")
    await engine.entries.delete(key, "first")
    await engine.entries.create(key, "fits")
    assert logged(caplog) == ["counter.healing_failed"]
