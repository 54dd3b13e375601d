"""The measured server's command line."""

import subprocess
import sys

import pytest

from stack.paths import ROOT


@pytest.mark.parametrize("arguments", [[], ["plain"], ["engine", "unit"], ["engine", "units", "more"]])
def test_bad_arguments_are_answered_with_the_usage(arguments: list[str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "load.server", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "usage: python -m load.server engine|transactional|read-check|sharded|eventual-only [units]\n"
    )
