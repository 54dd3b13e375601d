"""Become another program that does not outlive its parent: ``child.py PARENT_PID PROGRAM ARGUMENT...`` (Linux only).

A parent that is killed with SIGKILL cannot stop what it started. So the kernel is asked to send SIGTERM when it goes.
This is a program of its own because the request must be made in the new process, and Python's ``preexec_fn``, the
other place for it, is not safe in a process with threads. It runs as a plain file, without the project's packages.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    """Ask for the signal, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # The parent may have gone before the request was made; then nobody would ever send the signal.
    if os.getppid() == parent:
        os.execvp(program[0], program)  # noqa: S606  # becoming another program is its whole purpose


if __name__ == "__main__":
    main()
