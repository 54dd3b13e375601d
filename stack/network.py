"""Servers on this machine: their ports, and whether they answer."""

import errno
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

from stack.errors import StackError

LOOPBACK: Final = "127.0.0.1"
_PORT_MAX: Final = 65_535
_ANSWER_TIMEOUT_S: Final = 2.0


def url_of(port: int) -> str:
    """Return the address of a server on this machine."""
    return f"http://{LOOPBACK}:{port}"


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def read_port(environment: Mapping[str, str], name: str, default: int) -> int:
    """Return the port that an environment variable names, or the default when it is not set or empty.

    Raises:
        StackError: It is not a port number.
    """
    text = environment.get(name) or str(default)
    # int() alone would also take "+1", " 1" and "1_0".
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _PORT_MAX):
        raise StackError(f"{name} must be a port number from 1 to {_PORT_MAX}, not {text!r}.")
    return int(text)


def require_free(port: int, server: str, remedy: str) -> None:
    """Make sure that a server can listen on a port.

    Args:
        port: The port.
        server: Who wants to listen, to begin the message with.
        remedy: What the reader can do when it is taken.

    Raises:
        StackError: Somebody listens on it, or the system does not allow it.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as exc:
            why = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be used ({exc.strerror})"
            raise StackError(f"{server}: port {port} {why}. {remedy}") from exc


def status_of(url: str) -> int | None:
    """Return the status of the answer to a GET; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S) as answer:  # noqa: S310  # only http ever comes in
            status: int = answer.status
            return status
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except OSError:
        return None
