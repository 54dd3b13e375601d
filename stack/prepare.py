"""Make in an emulator what the system needs, and end: ``python -m stack.prepare``, a container of docker/compose.yml.

Environment variables: ``AWS_ENDPOINT_URL``, the emulator, which is waited for; ``TABLE_NAME`` (distributed-counter).
"""

import os
import sys
import time
from typing import Final

from stack.errors import StackError
from stack.network import status_of
from stack.system import DEFAULT_TABLE, provision_emulator

_EMULATOR_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.2


def main() -> int:
    """Do it and return the exit status."""
    try:
        _prepare()
    except StackError as exc:
        print(f"prepare: {exc}", file=sys.stderr)
        return 1
    return 0


def _prepare() -> None:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise StackError("AWS_ENDPOINT_URL must be the address of an emulator.")
    _wait_for(endpoint)
    made = provision_emulator(endpoint, os.environ.get("TABLE_NAME") or DEFAULT_TABLE, print)
    print(f"Table {made.table}, Lambda {made.function} and its queue are there.")


def _wait_for(endpoint: str) -> None:
    deadline = time.monotonic() + _EMULATOR_TIMEOUT_S
    while status_of(endpoint) is None:
        if time.monotonic() > deadline:
            raise StackError(f"No emulator answered at {endpoint} within {_EMULATOR_TIMEOUT_S:.0f} s.")
        time.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
