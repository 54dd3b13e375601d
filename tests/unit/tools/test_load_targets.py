"""Targets: what is held and what is not, and how a lag is read from samples of both counters."""

import subprocess
import sys

import pytest

from load.targets.findings import Finding, Measurement, to_markdown
from load.targets.settling import Burst, Sample
from stack.paths import ROOT


def burst_of(*samples: tuple[float, int, int]) -> Burst:
    """Return a burst of 10 creates in 2 seconds with these samples."""
    return Burst(created=10, ended_at_s=2.0, samples=[Sample(*sample) for sample in samples])


class TestBurst:
    """What two counters over time tell."""

    def test_lag_counts_from_when_the_missing_was_first_seen(self) -> None:
        burst = burst_of((0.0, 0, 0), (0.5, 4, 0), (1.0, 8, 0), (1.5, 10, 4), (2.0, 10, 10))
        # At 1.0 s, what was seen at 0.5 s is still missing; at 1.5 s only what came at 1.0 s.
        assert burst.lag_s_max == pytest.approx(0.5)

    def test_a_counter_that_stands_still_lags_ever_more(self) -> None:
        assert burst_of((0.0, 1, 0), (1.0, 1, 0), (3.0, 1, 0)).lag_s_max == pytest.approx(3.0)

    def test_a_counter_that_is_never_behind_has_no_lag(self) -> None:
        assert burst_of((0.0, 0, 0), (1.0, 5, 5), (2.0, 10, 10)).lag_s_max == 0

    def test_exactness_counts_from_the_last_answer(self) -> None:
        assert burst_of((1.0, 10, 5), (2.3, 10, 10)).exact_after_s == pytest.approx(0.3)

    def test_exact_before_the_last_answer_is_at_once(self) -> None:
        assert burst_of((1.9, 10, 10)).exact_after_s == 0


class TestFindings:
    """A bar is held or not."""

    @pytest.mark.parametrize(("measured", "held"), [(9.9, False), (10.0, True), (10.1, True)])
    def test_at_least(self, *, measured: float, held: bool) -> None:
        assert Finding.at_least("speed", measured, 10).held is held

    @pytest.mark.parametrize(("measured", "held"), [(9.9, True), (10.0, True), (10.1, False)])
    def test_at_most(self, *, measured: float, held: bool) -> None:
        assert Finding.at_most("cost", measured, 10).held is held

    def test_the_table_shows_what_is_missed(self) -> None:
        missed = Measurement(target="speed", findings=[Finding.at_least("creates/s", 8.04, 10)], notes=["noisy"])
        row, *notes = to_markdown([missed]).splitlines()[2:]
        assert [cell.strip() for cell in row.strip("|").split("|")] == [
            "speed",
            "creates/s",
            "8.04",
            "at least 10",
            "**no**",
        ]
        assert notes == ["", "- speed: noisy"]


def test_a_target_that_is_none_is_named() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "load.targets", "haste"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert "'haste' is no target; there are speed, cost" in answer.stderr
