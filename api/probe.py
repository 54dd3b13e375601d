"""Asks the service on this machine whether it answers: ``python -m api.probe /health``.

This is a container's health check, so that its image needs no other program. Exits with 0 for an answer of 200.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

from api.settings import SettingsError, load_settings

_TIMEOUT_S: Final = 2.0


def main() -> int:
    """Ask once and return the exit status; a failure prints one line."""
    path = sys.argv[1]
    try:
        status = _read_status(load_settings(os.environ).port, path)
    except (OSError, HTTPException, SettingsError) as error:
        sys.stderr.write(f"{path}: {error!r}\n")
        return 1
    if status != HTTPStatus.OK:
        sys.stderr.write(f"{path}: {status}\n")
        return 1
    return 0


def _read_status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
