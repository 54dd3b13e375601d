"""``./taskw up`` says what it does to whoever reads it, and needs nobody who does."""

import os
import subprocess
import sys

import pytest

from stack.paths import ROOT

_INTERRUPTED = """
import signal, sys
from stack import up

def run():
    up._say("Ready")
    signal.raise_signal(signal.SIGINT)

up._run = run
sys.exit(up.main())
"""


@pytest.mark.parametrize("closed", [False, True])
def test_ctrl_c_ends_in_order_when_nobody_reads(closed: bool) -> None:  # noqa: FBT001  # a case
    """The output is closed from the beginning, or it is a pipe whose reader has gone."""
    # given
    reader, writer = os.pipe()
    os.close(reader)
    shell = 'exec "$@" >&-' if closed else 'exec "$@"'

    # when
    up = subprocess.run(  # noqa: S603  # our own program
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", _INTERRUPTED],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)

    # then
    assert (up.returncode, up.stderr) == (0, "")
