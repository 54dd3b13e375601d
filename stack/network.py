"""Servers on this machine: their ports, and whether they answer."""

import errno
import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping, MutableMapping
from http.client import HTTPResponse
from typing import Final, cast
from urllib.parse import urlsplit

from stack.errors import StackError

LOOPBACK: Final = "127.0.0.1"
_PORT_MAX: Final = 65_535
_ANSWER_TIMEOUT_S: Final = 2.0

_ON_LOOPBACK: Final = ("localhost", LOOPBACK, "::1", "localhost.localstack.cloud")
"""Names of this machine that nobody but itself can answer to; the last one is how LocalStack calls itself."""

_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Add this machine's addresses to ``NO_PROXY``, for all clients in this process and its children.

    A proxy cannot reach our loopback, and clients ask it all the same where ``HTTP_PROXY`` is set.
    """
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if named != "*":
        named = ",".join(dict.fromkeys([*filter(None, named.split(",")), *_ON_LOOPBACK]))
    # Some clients read only one of them.
    environment["NO_PROXY"] = environment["no_proxy"] = named


def has_proxy(environment: Mapping[str, str]) -> bool:
    """Return whether the environment sends callers of http to a proxy."""
    return any(environment.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"))


def url_of(port: int, host: str = LOOPBACK) -> str:
    """Return where a caller on this machine reaches a server that listens on a port of a host."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if isinstance(address, ipaddress.IPv6Address):
        return f"http://[{'::1' if address.is_unspecified else host}]:{port}"
    return f"http://{LOOPBACK if address.is_unspecified else host}:{port}"


def open_url(request: urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """Send a request, past every proxy when it goes to this machine, and return the answer.

    Raises:
        urllib.error.HTTPError: The answer is an error.
        OSError: There is no answer.
    """
    # urllib finds no IPv6 address in NO_PROXY.
    open_ = _DIRECT.open if is_loopback(urlsplit(request.full_url).hostname or "") else urllib.request.urlopen
    return cast("HTTPResponse", open_(request, timeout=timeout_s))


def is_loopback(host: str) -> bool:
    """Return whether a name or address is one that nobody but this machine can answer to."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _ON_LOOPBACK


def is_same_server(one: str, other: str) -> bool:
    """Return whether two addresses lead to one server, however they spell this machine and a path of nothing."""
    try:
        first, second = urlsplit(one), urlsplit(other)
        ports, hosts = (first.port, second.port), (first.hostname or "", second.hostname or "")
    except ValueError:
        return False
    return ports[0] == ports[1] and (hosts[0] == hosts[1] or all(is_loopback(host) for host in hosts))


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


def require_free(port: int, server: str, remedy: str, host: str = LOOPBACK) -> None:
    """Make sure that a server can listen on a port.

    Args:
        port: The port.
        server: Who wants to listen, to begin the message with.
        remedy: What the reader can do when it is taken.
        host: The address that it wants to listen on.

    Raises:
        StackError: Somebody listens on it, or the system does not allow it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as exc:
            raise StackError(f"{server}: {host!r} is no address of this machine. Set HOST to one that is.") from exc
        except OSError as exc:
            why = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be used ({exc.strerror})"
            raise StackError(f"{server}: port {port} {why}. {remedy}") from exc


def status_of(url: str) -> int | None:
    """Return the status of the answer to a GET; None when nobody answers."""
    try:
        with open_url(urllib.request.Request(url), _ANSWER_TIMEOUT_S) as answer:  # noqa: S310  # only http ever comes in
            return answer.status
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except OSError:
        return None
