"""When a load test has failed."""

import pytest

from load.locust.arrivals import Timing
from load.locust.thresholds import ArrivalRate, LoadFigures, Thresholds, to_lines

KEPT = Thresholds(p99_ms_max=100.0, error_share_max=0.01, rate_share_min=0.95)
PACE = ArrivalRate(due=100, served=100)


def measure(latencies_ms: list[float], failures: int = 0) -> LoadFigures:
    """Return requests that each waited half of their latency in the client."""
    measured = LoadFigures()
    for number, latency_ms in enumerate(latencies_ms):
        timing = Timing(0.0, latency_ms / 2000, latency_ms / 1000)
        measured.add(timing, failed=number < failures)
    return measured


def test_percentiles_are_the_least_that_so_many_stay_within() -> None:
    measured = measure([float(number) for number in range(100, 0, -1)])
    assert [measured.latency_ms(share) for share in (0.5, 0.99, 1.0)] == pytest.approx([50.0, 99.0, 100.0])
    assert measured.service_ms(0.5) == pytest.approx(25.0)
    assert measured.wait_ms(0.99) == pytest.approx(49.5)


def test_what_keeps_them_all_passes() -> None:
    measured = {"create": measure([100.0] * 99 + [9000.0]), "delete": measure([1.0] * 100, failures=2)}
    assert list(KEPT.check(measured, ArrivalRate(due=100, served=95))) == []


def test_each_that_is_not_kept_is_one_line() -> None:
    measured = {"create": measure([100.5] * 100), "delete": measure([1.0] * 100, failures=3)}
    assert list(KEPT.check(measured, ArrivalRate(due=100, served=94))) == [
        "p99 of create is 100.5 ms, over 100 ms",
        "3 of 200 requests failed (1.50%), over 1.00%",
        "94 of 100 arrivals (94.0%) were served in time, under 95%",
    ]


def test_p99_is_kept_by_each_kind_of_request() -> None:
    """One kind of many fast requests does not hide another of few slow ones."""
    measured = {"create": measure([1.0] * 10_000), "delete": measure([500.0] * 10)}
    assert list(KEPT.check(measured, PACE)) == ["p99 of delete is 500.0 ms, over 100 ms"]


def test_a_load_without_a_rate_has_none_to_keep() -> None:
    assert list(KEPT.check({"create": measure([1.0])}, None)) == []


def test_a_load_that_sent_nothing_has_failed() -> None:
    assert list(KEPT.check({}, PACE)) == ["no request was sent"]


def test_the_service_time_is_shown_apart() -> None:
    header, row = to_lines({"create": measure([10.0] * 10, failures=1)})
    assert header.split() == [
        "requests",
        "failed",
        "p50",
        "p99",
        "max",
        "service",
        "p50",
        "service",
        "p99",
        "wait",
        "p99",
    ]
    assert row.split() == ["create", "10", "1", "10.0", "10.0", "10.0", "5.0", "5.0", "5.0"]
