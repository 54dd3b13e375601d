"""``./taskw load:locust``, for a few seconds and at a small rate."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from stack.paths import ROOT
from stack.system import System

pytestmark = pytest.mark.long

_TIMEOUT_S = 120
_SMALL = ("-t", "3", "-u", "20", "--rate", "20", "--accounts", "5")
# What is slow on a busy machine is not the point here.
_PATIENT = ("--check-p99-ms", "10000", "--check-rate-share", "0")


def run_locust(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own load test
        [sys.executable, "-m", "load.locust.run", "--headless", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("scenario", ["ClassicUser", "ZipfUser"])
def test_a_constant_rate_passes_and_leaves_nothing_behind(stack: System, scenario: str) -> None:
    before = count_accounts(stack)
    done = run_locust("--host", stack.api_urls[0], *_SMALL, *_PATIENT, scenario)
    assert done.returncode == 0, done.stderr
    assert f"PASSED: {scenario}" in done.stderr
    requests = {name: int(number) for name, number in re.findall(r"(create|delete) +(\d+) +0\(0.00%\)", done.stderr)}
    assert requests["create"] == requests["delete"] > 20
    assert count_accounts(stack) == before


def test_a_burst_is_stopped_exactly_at_the_limit(stack: System) -> None:
    done = run_locust(
        "--host", stack.api_urls[0], "--burst", "500", "--limit", "100", "-u", "50", *_PATIENT, "BurstUser"
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"create +100 +0\(0.00%\)", done.stderr)
    assert re.search(r"create at the limit +400 +0\(0.00%\)", done.stderr)


def test_a_threshold_that_nobody_can_keep_fails_on_a_system_of_its_own(tmp_path: Path) -> None:
    """Without ``--host`` everything is started for the run; its logs are kept when it fails."""
    done = run_locust(*_SMALL, *_PATIENT, "--check-p99-ms", "0.001", TMPDIR=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert len(re.findall(r"FAILED: p99 of (?:create|delete) is [0-9]+ ms, over 0.001 ms", done.stderr)) == 2
    assert done.stderr.count("FAILED") == 2
    assert {path.name.partition("-")[0] for path in tmp_path.glob("locust-*/*.log")} == {"api", "ministack.log"}


def count_accounts(stack: System) -> int:
    """Return how many accounts there are."""
    answer = httpx.get(f"{stack.api_urls[0]}/accounts", params={"limit": 1000}).raise_for_status().json()
    assert answer["next_cursor"] is None
    return len(answer["items"])
