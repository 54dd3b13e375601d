"""Terraform's root, and what it makes on an emulator."""

import json
import os
from collections.abc import Iterator

import pytest

from deploy.infra import Terraform
from stack import package
from stack.emulators import ministack
from stack.errors import EmulatorUnavailableError
from stack.network import free_port, url_of
from tests.support.applied import Applied


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform with the root's provider; a machine without it skips, but not CI."""
    try:
        found = Terraform(tmp_path_factory.mktemp("terraform"))
    except EmulatorUnavailableError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))
    found.init()
    return found


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an emulator of our own: on it, what Terraform leaves behind can be told from what others made."""
    port = free_port()
    with ministack(port, tmp_path_factory.mktemp("emulator") / "ministack.log"):
        yield url_of(port)


@pytest.fixture(scope="session")
def variables(emulator: str) -> tuple[str, ...]:
    """What a person with ``ENV=local`` tells Terraform, and an image, so that there is a service.

    It has no tasks: they would need the image and a Docker engine.
    """
    package.build()
    return (
        "-input=false",
        "-no-color",
        "-var-file=local.tfvars",
        f"-var=endpoint_url={emulator}",
        "-var=api_image=distributed-counter:test",
        "-var=served_image=distributed-counter:test",
        "-var=api_tasks_min=0",
    )


@pytest.fixture(scope="session")
def applied(
    terraform: Terraform, emulator: str, variables: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Applied:
    """The whole root, applied once a session."""
    answer = terraform.call("apply", "-auto-approve", *variables)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    outputs = json.loads(terraform.call("output", "-json").stdout)
    table, function = (outputs[name]["value"] for name in ("table_name", "function_name"))
    return Applied(terraform, variables, emulator, table, function, tmp_path_factory.mktemp("logs"))
