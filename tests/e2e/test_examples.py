"""The examples do what they say, on the system that runs."""

import subprocess
import sys

from stack.paths import ROOT
from stack.system import System


def test_a_service_is_created_safely(stack: System) -> None:
    program = ROOT / "examples" / "create_safely.py"
    done = subprocess.run(  # noqa: S603  # our own example
        [sys.executable, str(program), stack.api_urls[0]], capture_output=True, text=True, check=True, timeout=60
    )
    first, second, refused = done.stdout.splitlines()
    assert first == second
    assert "order-17" in first
    assert refused == "The account's limit is reached. The limit of 1 is reached: 1 in use."
