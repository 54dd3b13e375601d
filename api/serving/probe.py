"""Asks the service on this machine whether it answers: ``python -m api.serving.probe /health``.

This is a container's health check, so that its image needs no other program. Exits with 0 for an answer of 200.
"""

import ipaddress
import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

from api.settings import ApiSettingsError, load_settings

_TIMEOUT_S: Final = 2.0


def main() -> int:
    """Ask once and return the exit status; a failure prints one line."""
    path = sys.argv[1]
    try:
        settings = load_settings(os.environ)
        status = _read_status(_caller_address(settings.host), settings.port, path)
    except (OSError, HTTPException, ApiSettingsError) as error:
        sys.stderr.write(f"{path}: {error!r}\n")
        return 1
    if status != HTTPStatus.OK:
        sys.stderr.write(f"{path}: {status}\n")
        return 1
    return 0


def _caller_address(host: str) -> str:
    """Return where a caller on this machine reaches what listens on a host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if isinstance(address, ipaddress.IPv6Address) else "127.0.0.1"


def _read_status(host: str, port: int, path: str) -> int:
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
