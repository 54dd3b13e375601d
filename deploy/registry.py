"""The API's image: its tag, and its way into a registry."""

import platform
import subprocess
from collections.abc import Mapping
from typing import Final

from stack.errors import StackError
from stack.paths import ROOT

_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
_PLATFORMS: Final = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


def machine_type() -> str:
    """Return this machine's type in Terraform's words: ``arm64`` or ``x86_64``.

    Raises:
        StackError: It is neither.
    """
    machine = platform.machine().lower()
    if machine not in _MACHINES:
        raise StackError(f"This machine is of type {machine}; images are for arm64 and x86_64.")
    return _MACHINES[machine]


def choose_tag(environment: Mapping[str, str]) -> str:
    """Return ``TAG``, or else the commit: what runs can then be told from its tag.

    Raises:
        StackError: No commit says what the image would be made of.
    """
    if tag := environment.get("TAG"):
        return tag
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise StackError("Choose a tag with TAG=...: git knows of no commit here.") from exc
    commit = answer.stdout.strip()
    if commit.endswith("-dirty"):
        raise StackError("There are uncommitted changes: commit them, or choose a tag with TAG=...")
    return commit


def tag_for(tag: str, architecture: str) -> str:
    """Return the tag with the machine type at its end, so that no image hides one for another type of machine."""
    suffix = f"-{architecture}"
    return tag if tag.endswith(suffix) else tag + suffix


def build(image: str, architecture: str) -> None:
    """Build the API's image for a machine type.

    Raises:
        StackError: The engine could not.
    """
    # A builder may want an extension for this option, so it is left out where it says nothing.
    foreign = [] if architecture == machine_type() else ["--platform", _PLATFORMS[architecture]]
    _docker("build", "--file", "docker/api.Dockerfile", "--tag", image, *foreign, ".")


def push(image: str) -> None:
    """Push an image to the registry that its name begins with.

    Raises:
        StackError: The registry did not take it.
    """
    _docker("push", image)


def log_in(registry: str, user: str, password: str) -> None:
    """Let the engine's client log in to a registry; the password is on no command line.

    Raises:
        StackError: The registry refused.
    """
    _docker("login", "--username", user, "--password-stdin", registry, text=password)


def _docker(*arguments: str, text: str | None = None) -> None:
    """Run the engine's client, which tells the person at the terminal what happens."""
    command = ["docker", *arguments]
    if subprocess.run(command, cwd=ROOT, input=text, text=True, check=False).returncode != 0:
        raise StackError(f"docker {arguments[0]} failed; the reason is above.")
