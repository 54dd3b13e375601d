"""The pace of flushes: nobody is held up before something was throttled, and then all get their share."""

import asyncio
from random import Random

import pytest

from counters.lanes.pacing import Pace
from stack.harness.bucket import Bucket
from tests.support.callers import LATENCY_S
from tests.support.engines import make_account, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


def after_success_s(pace: Pace) -> float:
    """Return how long after a send that went well the next one may start."""
    pace.begin(0.0)
    pace.succeed()
    return pace.next_at


def after_throttling_s(pace: Pace) -> float:
    """Return how long after a throttled send it may be repeated."""
    pace.begin(0.0)
    pace.slow_down()
    return pace.next_at


def after_silence_s(pace: Pace) -> float:
    """Return how long after a send without an answer it may be repeated."""
    pace.begin(0.0)
    pace.back_off()
    return pace.next_at


class TestPace:
    """One sender among many."""

    def test_nothing_is_held_up_before_something_was_throttled(self) -> None:
        pace = Pace(Random(0))
        assert [after_success_s(pace) for _ in range(10)] == [0.0] * 10

    def test_a_single_failure_is_forgotten_at_the_next_success(self) -> None:
        pace = Pace(Random(0))
        assert after_throttling_s(pace) <= 0.005
        assert after_success_s(pace) == 0.0

    def test_sends_are_apart_after_throttling_and_the_more_so_the_more_there_was(self) -> None:
        seldom, often = Pace(Random(0)), Pace(Random(0))
        for failures, pace in ((3, seldom), (10, often)):
            for _ in range(failures):
                after_throttling_s(pace)
        assert 0.005 < after_success_s(seldom) < after_success_s(often)

    def test_a_send_without_an_answer_is_repeated_later_and_later_but_slows_nothing_after_it(self) -> None:
        pace = Pace(Random(0))
        waits = [after_silence_s(pace) for _ in range(100)]
        assert max(waits[:3]) < max(waits) <= 0.5
        assert after_success_s(pace) == 0.0
        assert after_silence_s(pace) <= 0.005

    def test_waits_are_bounded(self) -> None:
        pace = Pace(Random(0))
        assert max(after_throttling_s(pace) for _ in range(1000)) <= 0.25
        assert after_success_s(pace) <= 0.75

    def test_a_second_after_a_short_trouble_nothing_is_held_up_any_more(self) -> None:
        pace = Pace(Random(0))
        for _ in range(3):
            after_throttling_s(pace)
        waited_s = 0.0
        while wait_s := after_success_s(pace):
            waited_s += wait_s
        assert waited_s < 1.0

    def test_senders_who_share_a_limit_come_to_share_it_evenly(self) -> None:
        random = Random(0)
        paces = [Pace(random) for _ in range(40)]
        due_at = [random.random() for _ in paces]
        sent, throttled = [0] * len(paces), 0
        bucket = Bucket(400.0, 0.0)
        while (now := min(due_at)) < 60.0:
            number = due_at.index(now)
            if bucket.take(1.0, now):
                sent[number] += now >= 30.0
                wait_s = after_success_s(paces[number])
            else:
                throttled += now >= 30.0
                wait_s = after_throttling_s(paces[number])
            due_at[number] = now + max(0.008, wait_s)
        assert sum(sent) > 0.9 * 400 * 30
        assert throttled < sum(sent)
        assert min(sent) > 0.5 * max(sent)


class TestLane:
    """A lane keeps to its pace."""

    @in_virtual_time
    async def test_a_throttled_lane_keeps_its_pace_from_one_create_to_the_next(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("change_counter", *[Fault.THROTTLED] * 20)
        await engine.entries.create(key, "during")
        loop = asyncio.get_running_loop()
        started = loop.time()
        await engine.entries.create(key, "right after")
        assert loop.time() - started > 0.1

    @in_virtual_time
    async def test_flushes_that_were_not_answered_hold_up_no_later_create(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("change_counter", *[Fault.REQUEST_LOST] * 6)
        await engine.entries.create(key, "during")
        loop = asyncio.get_running_loop()
        started = loop.time()
        await engine.entries.create(key, "right after")
        assert loop.time() - started == pytest.approx(2 * LATENCY_S)

    @in_virtual_time
    async def test_a_create_long_after_throttling_waits_for_nothing(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("change_counter", *[Fault.THROTTLED] * 20)
        await engine.entries.create(key, "during")
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await engine.entries.create(key, "later")
        assert loop.time() - started < 2.5 * LATENCY_S
