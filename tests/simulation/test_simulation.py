"""The whole system under faults: ``docs/design/simulation.md`` says what a run is, and how to read one that fails.

Each run of ``./taskw test:all`` plays seeds that nobody has played before. It prints the first; ``FIRST`` asks for it.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.coverage import MET
from tests.simulation.faults import NetworkFault
from tests.simulation.options import draw_options
from tests.simulation.run import explain, play
from tests.simulation.simulation import run

_SEEDS: Final = 500
_LONG_SEEDS: Final = 5_000
_FIRST_FRESH_BELOW: Final = 10**12
_WRITES: Final = ("change_counter", "delete_entries", "insert_page", "set_terms", "insert_page")
_WRITE_FAULTS: Final = (
    NetworkFault.ANSWER_LOST,
    NetworkFault.DELAYED,
    NetworkFault.REQUEST_LOST,
    NetworkFault.SLOW,
    NetworkFault.THROTTLED,
    NetworkFault.WAITS,
)
_REPOSITORY: Final = Path(__file__).parents[2]


def test_every_promise_is_kept_under_every_fault() -> None:
    assert_every_promise_is_kept(range(_SEEDS))


@pytest.mark.long
def test_every_promise_is_kept_for_many_seeds() -> None:
    assert_every_promise_is_kept(range(_SEEDS, _SEEDS + _LONG_SEEDS))


@pytest.mark.long
def test_every_promise_is_kept_for_seeds_that_nobody_has_played(capsys: pytest.CaptureFixture[str]) -> None:
    first = int(os.environ.get("FIRST") or secrets.randbelow(_FIRST_FRESH_BELOW))
    with capsys.disabled():
        print(f"\nFresh seeds: {first} to {first + _LONG_SEEDS - 1}. FIRST={first} plays them again.")  # noqa: T201
    assert_every_promise_is_kept(range(first, first + _LONG_SEEDS))


def assert_every_promise_is_kept(seeds: range) -> None:
    """Play these seeds on all processors, and check that what can happen did happen."""
    total = play(seeds, os.cpu_count() or 1)
    print(total)  # noqa: T201 - the figures of a run; pytest shows them when asked or when it fails
    assert not total.failures, explain(min(total.failures))
    # Nothing below is worth anything if it never happened.
    assert total.seeds == len(seeds)
    assert set(total.faults) == set(NetworkFault)
    missing = set(MET) - set(total.met)
    assert not missing, f"never met: {sorted(missing)}"
    unstruck = {f"{fault} {method}" for method in _WRITES for fault in _WRITE_FAULTS} - set(total.met)
    assert not unstruck, f"faults that never struck a call: {sorted(unstruck)}"
    assert total.healed > len(seeds) / 4
    assert {"create done", "create LimitReachedError", "create OverloadedError"} <= set(total.operations)
    assert {"delete done", "delete EntryNotFoundError", "delete_all done", "get done"} <= set(total.operations)
    assert {"delete_account done", "create AccountNotFoundError", "rename done"} <= set(total.operations)


def test_a_seed_is_one_history_in_every_process() -> None:
    """The histories of two processes that hash differently are equal, or no failure could be repeated."""
    program = (
        "from tests.simulation.options import draw_options\n"
        "from tests.simulation.simulation import run\n"
        "for seed in range(8):\n"
        "    print(*run(draw_options(seed), is_read=True).lines, sep='\\n')\n"
    )
    histories = [
        subprocess.run(  # noqa: S603 - this interpreter, our own program
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=_REPOSITORY,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert histories[0]
    assert histories[0] == histories[1]


def test_taking_a_history_down_changes_nothing() -> None:
    options = draw_options(3)
    silent, read = run(options), run(options, is_read=True)
    assert read.lines
    assert not silent.lines
    assert (silent.virtual_s, silent.callbacks, silent.faults) == (read.virtual_s, read.callbacks, read.faults)
