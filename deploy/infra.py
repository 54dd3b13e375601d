"""Run Terraform on ``terraform/``: ``python -m deploy.infra plan|apply|destroy [ARGUMENT...]``.

``ENV`` says where: ``local`` (the default), an emulator that runs (the one of ``up``, or at ``AWS_ENDPOINT_URL``), or
``aws``. Each has its own variables, ``terraform/ENV.tfvars``, and its own state under ``.cache/terraform``, unless
``terraform/backend_override.tf`` puts that of ``aws`` elsewhere. The image that served last stays.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from deploy.registry import machine_type
from stack.errors import EmulatorUnavailableError, StackError
from stack.network import read_port, status_of, url_of
from stack.paths import CACHE, ROOT

TERRAFORM_ROOT: Final = ROOT / "terraform"

_EMULATOR_PORT: Final = 4566
_COMMANDS: Final = ("plan", "apply", "destroy")


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What Terraform says of what it has made, ``terraform/outputs.tf``; as much as a deployment asks for.

    Attributes:
        api_url: Address of the API.
        repository_url: Where to push the API's image to.
        region: Region that everything is in.
        cluster_name: Name of the ECS cluster.
        service_name: Name of the ECS service; None before the first image.
        task_definition: ARN of what the service is to run; None before the first image.
        api_image: The image that it is to run; None before the first.
        served_image: The image that served last; None before the first.
    """

    api_url: str
    repository_url: str
    region: str
    cluster_name: str
    service_name: str | None = None
    task_definition: str | None = None
    api_image: str | None = None
    served_image: str | None = None


class Terraform:
    """The root in ``terraform/`` with one environment's state.

    Args:
        folder: Where state and providers are kept.
        remote: Whether the state is elsewhere, as ``backend_override.tf`` says.

    Raises:
        EmulatorUnavailableError: There is no Terraform on this machine.
    """

    def __init__(self, folder: Path, *, remote: bool = False) -> None:
        program = shutil.which("terraform")
        if program is None:
            raise EmulatorUnavailableError("Terraform 1.10 or newer is needed and is not on the PATH.")
        self._program = program
        self._folder = folder
        self._remote = remote

    @property
    def environment(self) -> dict[str, str]:
        """The environment that its commands need."""
        return {
            **os.environ,
            "TF_DATA_DIR": str(self._folder / "data"),
            "CHECKPOINT_DISABLE": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        """Return a command line that runs in the root."""
        return [self._program, f"-chdir={TERRAFORM_ROOT}", *arguments]

    def init(self) -> None:
        """Fetch the provider and find the state.

        Raises:
            StackError: Terraform could not; with what it says.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        where = [] if self._remote else [f"-backend-config=path={self._folder / 'terraform.tfstate'}"]
        answer = self.call("init", "-input=false", "-no-color", *where)
        if answer.returncode != 0:
            raise StackError(f"terraform init failed:\n{answer.stdout}{answer.stderr}")

    def outputs(self) -> Outputs | None:
        """Return what it has made; None when it has not made all of it yet.

        Raises:
            StackError: Terraform cannot read its state; with what it says.
        """
        answer = self.call("output", "-json", "-no-color")
        if answer.returncode != 0:
            raise StackError(f"terraform output failed:\n{answer.stderr}")
        values: dict[str, Any] = {name: output["value"] for name, output in json.loads(answer.stdout).items()}
        try:
            return msgspec.convert(values, Outputs)
        except msgspec.ValidationError:
            return None

    def variable(self, name: str, arguments: Sequence[str]) -> str:
        """Return a variable's value, as arguments, files, environment and default make it; the state has no say.

        Args:
            name: Name of a variable whose values are strings.
            arguments: Those of an apply; it is asked with the ones that set variables.

        Raises:
            StackError: Terraform does not accept the variables; with what it says.
        """
        question = f"jsonencode(var.{name})"
        answer = self.call("console", "-no-color", *_setting_variables(arguments), text=question)
        # The console answers all the same when a variable is refused.
        if answer.returncode != 0 or "Error: " in answer.stderr:
            raise StackError(f"Terraform does not accept the variables:\n{answer.stderr}")
        value: str = json.loads(json.loads(answer.stdout.splitlines()[-1]))
        return value

    def plan(self, file: Path, *arguments: str) -> set[str]:
        """Write a plan to a file, which ``apply`` takes without a question; return the addresses of what it changes.

        Args:
            file: Where to write it.
            arguments: Those of an apply; it is planned with the ones that set variables.

        Raises:
            StackError: There is no plan; with what Terraform says.
        """
        planned = self.call("plan", "-input=false", "-no-color", f"-out={file}", *_setting_variables(arguments))
        if planned.returncode != 0:
            raise StackError(f"terraform plan failed:\n{planned.stderr}")
        changes = json.loads(self.call("show", "-json", str(file)).stdout).get("resource_changes", [])
        return {one["address"] for one in changes if one["change"]["actions"] not in (["no-op"], ["read"])}

    def apply(self, *arguments: str) -> None:
        """Apply, while the person at the terminal watches and answers.

        Raises:
            StackError: It was not applied, or not all of it.
        """
        process = subprocess.Popen(self.command("apply", *arguments), env=self.environment)
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # It got the signal, too, and ends in order; to be killed would cost it its state.
                continue
            break
        if code != 0:
            raise StackError("terraform apply did not end well; the reason is above.")

    def call(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with a text to read; return its exit code and what it printed."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )


def variables_of(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments that tell Terraform where ``ENV`` is, once that place is known to be usable.

    Raises:
        StackError: It is not; the message says what to do.
    """
    endpoint = endpoint_of(environment)
    if endpoint is not None:
        if (TERRAFORM_ROOT / "backend_override.tf").exists():
            raise StackError("terraform/backend_override.tf is for ENV=aws: use a checkout without it for ENV=local.")
        if not endpoint.startswith(("http://", "https://")) or status_of(endpoint) is None:
            raise StackError(f"No emulator answers at {endpoint}: start ./taskw up, or name one with AWS_ENDPOINT_URL.")
        # An emulator runs everything on this machine.
        return ["-var-file=local.tfvars", f"-var=endpoint_url={endpoint}", f"-var=architecture={machine_type()}"]
    if not (TERRAFORM_ROOT / "aws.tfvars").exists():
        raise StackError("Copy terraform/aws.tfvars.example to terraform/aws.tfvars and adapt it.")
    return ["-var-file=aws.tfvars"]


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """Return the address of the emulator that ``ENV=local`` means; None for ``ENV=aws``.

    Raises:
        StackError: It means nothing.
    """
    place = environment.get("ENV") or "local"
    endpoint = environment.get("AWS_ENDPOINT_URL")
    if place == "local":
        return endpoint or url_of(read_port(environment, "EMULATOR_PORT", _EMULATOR_PORT))
    if place != "aws":
        raise StackError(f"ENV must be local or aws, not {place!r}.")
    if endpoint:
        raise StackError(f"AWS_ENDPOINT_URL is {endpoint}, which is not AWS: unset it, or use ENV=local.")
    return None


def main(arguments: Sequence[str]) -> None:
    """Become Terraform; exit with 1 when something is wrong before that."""
    if not arguments or arguments[0] not in _COMMANDS:
        sys.exit(f"infra: say what to do: {', '.join(_COMMANDS)}.")
    try:
        variables = variables_of(os.environ)
        terraform = open_terraform(os.environ)
        kept = keep_image(terraform.outputs())
    except StackError as exc:
        sys.exit(f"infra: {exc}")
    _become(terraform.command(arguments[0], *kept, *variables, *arguments[1:]), terraform.environment)


def open_terraform(environment: Mapping[str, str]) -> Terraform:
    """Return Terraform with the state of where ``ENV`` is.

    Raises:
        StackError: It cannot be used; the message says why.
    """
    remote = (TERRAFORM_ROOT / "backend_override.tf").exists()
    terraform = Terraform(CACHE / "terraform" / (environment.get("ENV") or "local"), remote=remote)
    terraform.init()
    return terraform


def keep_image(outputs: Outputs | None) -> list[str]:
    """Return the arguments that keep what serves, without which Terraform would take the service away.

    That is the image that served last, not one that ECS took back since. As long as no image has served, the one that
    was tried stays. They come first, so that a file of variables or a person can say otherwise.
    """
    if outputs is None:
        return []
    return image_arguments(outputs.served_image or outputs.api_image, outputs.served_image)


def image_arguments(image: str | None, served: str | None) -> list[str]:
    """Return Terraform's arguments for the image and the Lambda to run, and for the image that served last."""
    images = {"api_image": image, "served_image": served}
    return [f"-var={name}={value}" for name, value in images.items() if value is not None]


def _setting_variables(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that set variables: ``-var=NAME=VALUE`` or, in two words, ``-var NAME=VALUE``."""
    chosen: list[str] = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        if argument.startswith(("-var", "--var")) or before.lstrip("-") in {"var", "var-file"}:
            chosen.append(argument)
    return chosen


def _become(command: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Let Terraform take our place: it asks, and handles Ctrl-C itself."""
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606  # the command is ours


if __name__ == "__main__":
    main(sys.argv[1:])
