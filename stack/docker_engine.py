"""The Docker engine of this machine, if there is one; ``DOCKER_HOST`` says where, if not at the usual place."""

import ipaddress
import shutil
import socket
import subprocess
from typing import Final

from stack.errors import StackError

_QUESTION_TIMEOUT_S: Final = 20.0


def require_engine() -> None:
    """Make sure that an engine answers.

    Raises:
        StackError: None does.
    """
    if ask("info") is None:
        raise StackError("No Docker engine answers. Start one, or say with DOCKER_HOST where it is.")


def bridge_address() -> str | None:
    """Return this machine's address in the network that containers are in by default, at which they find us.

    None when there is no engine, or when it runs elsewhere, in a virtual machine, say.
    """
    found = ask("network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}};{{end}}")
    if not found:
        return None
    subnet, _, gateway = found.partition(";")[0].partition(" ")
    # An engine names no gateway before its second start (Docker 20.10); it is the network's first address.
    address = gateway or str(ipaddress.ip_network(subnet)[1])
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return None
    return address


def ask(*arguments: str) -> str | None:
    """Return what the engine's client answers; None when there is no client, no engine or no answer."""
    program = shutil.which("docker")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, timeout=_QUESTION_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
