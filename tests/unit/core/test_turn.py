"""Turns: one process at a time sweeps, and its turn ends with it."""

import asyncio
from random import Random

import pytest

import api.sweep
from api.settings import ApiSettings
from counters.engine import Engine, EngineSettings
from counters.healing.turn import TURN_S, Turn
from tests.support.engines import DEADLINE_S, virtual_clock
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


def make_turn(store: WatchedStore, seed: int) -> Turn:
    return Turn(store, "work", clock=virtual_clock, random=Random(seed), deadline_s=DEADLINE_S)


@in_virtual_time
async def test_work_that_takes_longer_than_the_turn_is_still_done_by_one() -> None:
    store = WatchedStore()
    async with make_turn(store, 1).take() as is_ours:
        assert is_ours
        for _ in range(10):
            await asyncio.sleep(TURN_S)
            async with make_turn(store, 2).take() as is_others:
                assert not is_others


@in_virtual_time
async def test_the_next_one_has_its_turn_at_once_also_after_a_failure() -> None:
    store = WatchedStore()
    with pytest.raises(RuntimeError):
        async with make_turn(store, 1).take():
            raise RuntimeError
    async with make_turn(store, 2).take() as is_ours:
        assert is_ours


@in_virtual_time
async def test_the_turn_of_a_process_that_died_ends_with_its_time() -> None:
    store = WatchedStore()
    assert await store.take_turn("work", "dead", virtual_clock(), virtual_clock() + round(TURN_S * 1000))
    async with make_turn(store, 2).take() as is_ours:
        assert not is_ours
    await asyncio.sleep(TURN_S)
    async with make_turn(store, 2).take() as is_ours:
        assert is_ours


@in_virtual_time
async def test_a_renewal_that_fails_does_not_end_the_work(caplog: pytest.LogCaptureFixture) -> None:
    store = WatchedStore()
    async with make_turn(store, 1).take():
        store.fail("take_turn", *[Fault.THROTTLED] * 1000)
        await asyncio.sleep(TURN_S / 2)
        store.faults.clear()
        await asyncio.sleep(TURN_S / 2)
        async with make_turn(store, 2).take() as is_others:
            assert not is_others
    assert "turn.not_renewed" in caplog.messages


class SlowStore(WatchedStore):
    """Lists accounts after 20 minutes."""

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        """See ``Store``."""
        await asyncio.sleep(20 * 60)
        return await super().list_account_ids(limit, after)


@in_virtual_time
async def test_a_sweep_that_outlasts_its_interval_is_not_overlapped_by_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["sweep"])
    caplog.set_level("INFO", "api.sweep")
    store = SlowStore()
    settings = EngineSettings(deadline_s=3600.0)
    first, second = (Engine(store, clock=virtual_clock, random=Random(n), settings=settings) for n in (1, 2))

    sweeping = asyncio.create_task(api.sweep._sweep(first, ApiSettings()))
    await asyncio.sleep(15 * 60)
    await api.sweep._sweep(second, ApiSettings())
    assert caplog.messages == ["sweep.skipped"]

    await sweeping
    await api.sweep._sweep(second, ApiSettings())
    assert caplog.messages == ["sweep.skipped", "sweep.finished", "sweep.finished"]
