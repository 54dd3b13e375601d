"""Deploy the API of this checkout: ``python -m deploy.deploy [ARGUMENT...]``; arguments are for ``terraform apply``.

Environment variables: ``ENV``, ``local`` (the default, an emulator that runs) or ``aws``, as for ``deploy.infra``;
``TAG`` of the image (the commit), to which the machine type is added; ``API_URL``, where the API is to be tried, when
that is not Terraform's ``api_url``.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from deploy import registry
from deploy.cloud import Cloud
from deploy.infra import Outputs, Terraform, endpoint_of, image_arguments, open_terraform, variables_of
from deploy.rollout import EcsService, wait_for_rollout
from deploy.smoke import Address, smoke_test
from stack.docker_engine import require_engine
from stack.errors import StackError

_AWS_LOAD_BALANCER: Final = ".elb.amazonaws.com"
_AWS_REGISTRY: Final = ".amazonaws.com"

_OF_SWEEPS: Final = frozenset(
    {
        "module.api[0].aws_ecs_task_definition.sweep[0]",
        "module.api[0].aws_scheduler_schedule.sweep[0]",
        "module.observability.aws_cloudwatch_metric_alarm.drift[0]",
    }
)
"""Terraform's addresses of what depends on the image that served last."""


class Steps(Protocol):
    """What a deployment does, each step for itself; all raise ``StackError``, with what to do."""

    def outputs(self) -> Outputs | None:
        """Return what Terraform has made; None when it has not made everything yet."""

    def has_repository(self, outputs: Outputs) -> bool:
        """Tell whether there is somewhere to push the image to."""

    def apply(self, image: str | None, served: str | None) -> None:
        """Apply Terraform.

        Args:
            image: What the service is to run; None makes everything but the service.
            served: The image that served last, which sweeps run; None makes no sweeps.
        """

    def publish(self, outputs: Outputs) -> str:
        """Build the image and push it, unless it is there already; return its name."""

    def wait(self, outputs: Outputs) -> None:
        """Wait until the service runs nothing but the new version, and that is healthy."""

    def try_out(self, outputs: Outputs) -> None:
        """Count something through it."""

    def record(self, image: str) -> None:
        """Note that an image served: sweeps run it from now on, and later applies keep it."""


def deploy(steps: Steps) -> None:
    """Take the steps of a deployment in order.

    The first time there is no repository yet, so that everything but the service has to be made before the image. The
    image is recorded last: one that did not serve is not deployed again by the next apply, and heals no counter.

    Raises:
        StackError: A step failed; those after it were not taken.
    """
    outputs = steps.outputs()
    if outputs is None or not steps.has_repository(outputs):
        steps.apply(None, None)
        outputs = _made(steps)
    image = steps.publish(outputs)
    steps.apply(image, outputs.served_image)
    outputs = _made(steps)
    steps.wait(outputs)
    steps.try_out(outputs)
    steps.record(image)


def _made(steps: Steps) -> Outputs:
    outputs = steps.outputs()
    if outputs is None:
        raise StackError("Terraform has made no API: see what it said above, and whether the variable api is true.")
    return outputs


class DeployPlace(NamedTuple):
    """Where to deploy to, and what.

    Attributes:
        endpoint: Address of the emulator; None is AWS.
        tag: Tag of the image.
        architecture: Machine type that it is built for: ``arm64`` or ``x86_64``.
        api_url: Where to try the API; None is where Terraform says.
    """

    endpoint: str | None
    tag: str
    architecture: str
    api_url: str | None = None


class Deployment:
    """The steps, taken for real.

    Args:
        place: Where to deploy to, and what.
        terraform: Makes everything but the image.
        cloud: Is asked.
        arguments: What to tell Terraform each time.
    """

    def __init__(self, place: DeployPlace, terraform: Terraform, cloud: Cloud, arguments: Sequence[str]) -> None:
        self._place = place
        self._terraform = terraform
        self._cloud = cloud
        self._arguments = arguments

    def outputs(self) -> Outputs | None:
        """See ``Steps``."""
        return self._terraform.outputs()

    def has_repository(self, outputs: Outputs) -> bool:
        """See ``Steps``."""
        return self._cloud.has_repository(_repository_name(outputs), outputs.region)

    def apply(self, image: str | None, served: str | None) -> None:
        """See ``Steps``."""
        _say(f"Applying Terraform with {image} ..." if image else "Applying Terraform, all but the service ...")
        self._terraform.apply(*self._arguments, *image_arguments(image, served))

    def publish(self, outputs: Outputs) -> str:
        """See ``Steps``."""
        address = image_address(outputs.repository_url, self._place)
        if self._cloud.has_image(_repository_name(outputs), self._place.tag, outputs.region):
            _say(f"{address} is there already, and stays as it is.")
            return address
        _say(f"Building {address} ...")
        registry.build(address, self._place.architecture)
        if self._place.endpoint is None:
            registry.log_in(address.partition("/")[0], *self._cloud.login(outputs.region))
        registry.push(address)
        return address

    def wait(self, outputs: Outputs) -> None:
        """See ``Steps``."""
        if outputs.service_name is None or outputs.task_definition is None:
            raise StackError("Terraform has made no service.")
        _say("Waiting for the service ...")
        service = EcsService(outputs.cluster_name, outputs.service_name)
        wait_for_rollout(
            self._cloud.ecs(outputs.region), service, outputs.task_definition, lambda text: _say(f"  {text}")
        )

    def try_out(self, outputs: Outputs) -> None:
        """See ``Steps``."""
        address = api_address(outputs.api_url, self._place)
        if address is None:
            _say(
                f"Deployed, and the load balancer finds it healthy; not tried from here: {outputs.api_url} is for the "
                "VPC or goes by another name. Where it can be reached: API_URL=https://... ./taskw smoke"
            )
            return
        settled_s = smoke_test(address)
        where = f"{address.url} (Host: {address.host})" if address.host else address.url
        _say(f"Deployed. It counts at {where}: eventual followed {settled_s:.1f} s after the create.")

    def record(self, image: str) -> None:
        """See ``Steps``.

        Nobody is asked about the sweeps: the person who let the image be deployed may have left by now. Terraform asks
        when it would change more than them.
        """
        _say("Letting sweeps run it, too ...")
        images = image_arguments(image, image)
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "plan"
            if self._terraform.plan(plan, *self._arguments, *images) <= _OF_SWEEPS:
                self._terraform.apply(str(plan))
            else:
                self._terraform.apply(*self._arguments, *images)


def image_address(repository_url: str, place: DeployPlace) -> str:
    """Return the image's name, which begins with the registry to push it to.

    MiniStack calls its registry as AWS does, where nobody would find it: it is where the emulator is.
    """
    host, _, name = repository_url.partition("/")
    if place.endpoint is not None and host.endswith(_AWS_REGISTRY):
        host = urlsplit(place.endpoint).netloc
    return f"{host}/{name}:{place.tag}"


def api_address(api_url: str, place: DeployPlace) -> Address | None:
    """Return where to try the API; None when it cannot be reached from here under the address that Terraform knows.

    MiniStack's load balancer answers where the emulator is, to whoever asks for its name.
    """
    if place.api_url:
        return Address(place.api_url.rstrip("/"))
    parts = urlsplit(api_url)
    if place.endpoint is not None:
        return (
            Address(place.endpoint, parts.hostname) if parts.netloc.endswith(_AWS_LOAD_BALANCER) else Address(api_url)
        )
    # A certificate is for the owner's name; and an internal load balancer is for the VPC.
    return None if parts.scheme == "https" or parts.netloc.startswith("internal-") else Address(api_url)


def _repository_name(outputs: Outputs) -> str:
    return outputs.repository_url.partition("/")[2]


def _say(text: str) -> None:
    """Print without a buffer, so that our lines and those of child programs stay in order."""
    print(text, flush=True)


def prepare(environment: Mapping[str, str], arguments: Sequence[str]) -> Deployment:
    """Return a deployment once all that it needs before its first step is known to be there.

    Raises:
        StackError: Something is missing.
    """
    variables = [*variables_of(environment), *arguments]
    require_engine()
    tag, endpoint = registry.choose_tag(environment), endpoint_of(environment)
    cloud = Cloud(endpoint)
    terraform = open_terraform(environment)
    # What runs may be of another type: the one that is asked for counts.
    architecture = terraform.variable("architecture", variables)
    place = DeployPlace(endpoint, registry.tag_for(tag, architecture), architecture, environment.get("API_URL"))
    return Deployment(place, terraform, cloud, variables)


def main(arguments: Sequence[str]) -> int:
    """Deploy and return the exit status."""
    try:
        deploy(prepare(os.environ, arguments))
    except StackError as exc:
        print(f"deploy: {exc}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as exc:
        print(f"deploy: AWS does not answer as it should: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
