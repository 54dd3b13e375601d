"""Open-loop load on a clock that only the test moves."""

import math
from collections.abc import Callable

import pytest

from load.locust.arrivals import PATIENCE_S, Arrival, Arrivals, Loop, Schedule, Timing

START_S = 1000.0


class Client:
    """One connection, and what each of its requests looked like."""

    def __init__(self, schedule: Schedule, service_s: Callable[[int], float]) -> None:
        self.now_s = START_S
        self.arrivals = Arrivals(schedule, START_S)
        self.timings: list[Timing] = []
        self.given_up: list[int] = []
        self._service_s = service_s
        self._loop = Loop(lambda: self.now_s, self._wait_until, self._serve, self._give_up)

    def run(self) -> None:
        while self._loop.serve_next(self.arrivals):
            pass

    def latencies_ms(self) -> list[float]:
        return [timing.latency_ms for timing in self.timings]

    def _wait_until(self, due_s: float) -> None:
        self.now_s = max(self.now_s, due_s)

    def _serve(self, arrival: Arrival) -> None:
        begun_s = self.now_s
        self.now_s += self._service_s(arrival.number)
        self.timings.append(Timing(arrival.due_s, begun_s, self.now_s))

    def _give_up(self, arrival: Arrival) -> None:
        self.given_up.append(arrival.number)


def test_arrivals_are_evenly_spaced_from_the_start() -> None:
    arrivals = Arrivals(Schedule(200.0), START_S)
    taken = [arrivals.take() for _ in range(401)]
    assert taken[0] == Arrival(0, START_S)
    assert taken[1] == Arrival(1, START_S + 0.005)
    assert taken[400] == Arrival(400, START_S + 2.0)


@pytest.mark.parametrize(("elapsed_s", "due"), [(-0.001, 0), (0.0, 1), (0.9, 10), (1.0, 11), (20.0, 201)])
def test_arrivals_become_due_with_time(elapsed_s: float, due: int) -> None:
    assert Schedule(10.0).count_due(elapsed_s) == due


def test_a_burst_is_due_all_at_once_and_has_an_end() -> None:
    schedule = Schedule(math.inf, 3)
    arrivals = Arrivals(schedule, START_S)
    assert schedule.count_due(0.0) == 3
    assert [arrivals.take() for _ in range(4)] == [*(Arrival(number, START_S) for number in range(3)), None]


def test_a_stalled_server_shows_in_all_that_was_due_meanwhile() -> None:
    """100 a second, and one answer takes 2 s: the 200 arrivals behind it wait 2 s, then ever less (Tene, 2013)."""
    client = Client(Schedule(100.0, 1000), lambda number: 2.0 if number == 100 else 0.001)

    client.run()

    slow = [latency for latency in client.latencies_ms() if latency > 500]
    assert len(slow) == pytest.approx(166, abs=2)  # the backlog shrinks by 9 ms with each answer
    assert max(slow) == pytest.approx(2000)
    # A closed loop would have seen one slow request.
    assert len([timing for timing in client.timings if timing.service_ms > 500]) == 1
    assert all(timing.latency_ms == pytest.approx(timing.wait_ms + timing.service_ms) for timing in client.timings)


def test_a_server_that_keeps_up_makes_nobody_wait() -> None:
    client = Client(Schedule(100.0, 1000), lambda _: 0.009)
    client.run()
    assert client.latencies_ms() == pytest.approx([9.0] * 1000)


def test_who_waits_too_long_is_given_up_and_never_sent() -> None:
    """The first answer takes longer than anybody waits by a second, and so have those that were due in that second."""
    client = Client(Schedule(10.0, 200), lambda number: PATIENCE_S + 1.0 if number == 0 else 0.0)
    client.run()
    assert client.given_up == list(range(1, 10))
    assert client.arrivals.served == len(client.timings) == 191
    assert client.arrivals.is_over


def test_the_end_lets_nothing_begin_that_is_not_due() -> None:
    arrivals = Arrivals(Schedule(10.0), START_S)
    taken = [arrivals.take() for _ in range(4)]
    arrivals.close(START_S + 0.15)
    assert [arrivals.is_closed_to(arrival) for arrival in taken if arrival] == [False, False, True, True]
    assert arrivals.take() is None


def test_nothing_that_was_due_is_dropped_in_silence() -> None:
    """At the end of a schedule each due arrival was served, or it is named: under way, or never begun."""
    arrivals = Arrivals(Schedule(10.0), START_S)
    first, second = arrivals.take(), arrivals.take()
    assert first
    assert second
    arrivals.finish(first, served=True)
    arrivals.close(START_S + 0.35)
    assert arrivals.served == 1
    assert [arrival.number for arrival in arrivals.unfinished()] == [1, 2, 3]
    assert not arrivals.is_over


def test_due_arrivals_are_still_handed_out_after_the_end() -> None:
    arrivals = Arrivals(Schedule(10.0), START_S)
    arrivals.close(START_S + 0.15)
    taken = [arrivals.take() for _ in range(3)]
    assert taken == [Arrival(0, START_S), Arrival(1, START_S + 0.1), None]
    for arrival in taken[:2]:
        assert arrival
        arrivals.finish(arrival, served=True)
    assert arrivals.unfinished() == []
    assert arrivals.is_over
