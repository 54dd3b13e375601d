"""``./taskw deploy`` on an emulator: Terraform's ECS service runs our image in real containers."""

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import boto3
import pytest

from deploy.cloud import Cloud
from deploy.deploy import Deployment, DeployPlace, deploy
from deploy.infra import Outputs, Terraform, keep_image, variables_of
from deploy.registry import machine_type, tag_for
from stack import aws, package
from stack.emulators import ministack
from stack.errors import StackError
from stack.network import free_port, url_of
from tests.support.containers import docker

pytestmark = pytest.mark.long

SWEPT_WITHIN_S = 30.0


class Deployed(NamedTuple):
    """A deployment to an emulator.

    Attributes:
        endpoint: The emulator.
        terraform: What it was made with.
        arguments: What Terraform was told.
        outputs: What it says of what it made.
    """

    endpoint: str
    terraform: Terraform
    arguments: tuple[str, ...]
    outputs: Outputs


@pytest.fixture(scope="module")
def deployed(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:  # noqa: ARG001  # asked for first
    """Deploy to an emulator of our own, as ``ENV=local ./taskw deploy`` does, and take everything away."""
    port, folder = free_port(), tmp_path_factory.mktemp("deploy")
    package.build()
    with ministack(port, folder / "ministack.log"):
        place = DeployPlace(url_of(port), tag_for("tested", machine_type()), machine_type())
        variables = variables_of({"ENV": "local", "AWS_ENDPOINT_URL": url_of(port)})
        arguments = (*variables, "-var=api_tasks_min=1", "-input=false", "-no-color")
        terraform = Terraform(folder / "terraform")
        terraform.init()
        deploy(Deployment(place, terraform, Cloud(place.endpoint), [*arguments, "-auto-approve"]))
        outputs = terraform.outputs()
        assert outputs
        yield Deployed(url_of(port), terraform, (*keep_image(outputs), *arguments), outputs)
        answer = terraform.call("destroy", "-auto-approve", *arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert not containers_of(outputs)
        assert outputs.api_image
        docker("image", "rm", outputs.api_image)


def containers_of(outputs: Outputs) -> list[str]:
    """Return the ids of the containers that the emulator runs for the service."""
    label = f"com.amazonaws.ecs.task-definition-family={outputs.cluster_name}"
    return docker("ps", "--quiet", "--filter", f"label={label}").split()


def test_the_service_s_task_is_a_container_of_the_image_that_was_pushed(deployed: Deployed) -> None:
    """A create through it was settled already: ``deploy`` ends with that."""
    (container,) = containers_of(deployed.outputs)
    assert deployed.outputs.api_image
    tagged = docker("image", "inspect", "--format", "{{.Id}}", deployed.outputs.api_image)
    assert docker("inspect", "--format", "{{.Image}} {{.Config.User}}", container) == f"{tagged} 10001:10001"


def test_the_scheduled_task_sweeps_and_reports(deployed: Deployed) -> None:
    """MiniStack's scheduler starts no tasks, so the test does what the schedule says."""
    outputs = deployed.outputs
    scheduler = boto3.client("scheduler", region_name=outputs.region, endpoint_url=deployed.endpoint)
    target = scheduler.get_schedule(Name=f"{outputs.cluster_name}-sweep")["Target"]
    Cloud(deployed.endpoint).ecs(outputs.region).run_task(
        cluster=target["Arn"],
        taskDefinition=target["EcsParameters"]["TaskDefinitionArn"],
        launchType=target["EcsParameters"]["LaunchType"],
    )
    logs = aws.logs_client(deployed.endpoint)
    deadline = time.monotonic() + SWEPT_WITHIN_S
    while True:
        events = logs.filter_log_events(logGroupName=f"/ecs/{outputs.cluster_name}")["events"]
        reports = [json.loads(event["message"]) for event in events if "sweep.finished" in event["message"]]
        if reports:
            break
        assert time.monotonic() < deadline, events
        time.sleep(0.2)
    # The smoke test has deleted what it made.
    assert [(report["looked_at"], report["drifted"]) for report in reports] == [(0, 0)]


def test_a_plan_after_a_deployment_keeps_the_image_and_is_empty(deployed: Deployed) -> None:
    answer = deployed.terraform.call("plan", "-detailed-exitcode", *deployed.arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_version_that_does_not_run_is_taken_back_and_not_recorded(deployed: Deployed) -> None:
    """The image that served before stays the one of the service, of sweeps and of the next apply."""
    served = deployed.outputs.api_image
    assert served
    tag = tag_for("broken", machine_type())
    broken = f"{served.rpartition(':')[0]}:{tag}"
    container = docker("create", served)
    docker("commit", "--change", 'CMD ["false"]', container, broken)
    docker("rm", container)
    docker("push", broken)
    place = DeployPlace(deployed.endpoint, tag, machine_type())
    arguments = [*deployed.arguments, "-auto-approve"]
    with pytest.raises(StackError, match="new tasks did not get healthy"):
        deploy(Deployment(place, deployed.terraform, Cloud(place.endpoint), arguments))
    outputs = deployed.terraform.outputs()
    assert outputs
    assert (outputs.api_image, outputs.served_image) == (broken, served)
    (container,) = containers_of(outputs)
    tagged = docker("image", "inspect", "--format", "{{.Id}}", served)
    assert docker("inspect", "--format", "{{.Image}}", container) == tagged
    deployed.terraform.apply(*arguments, *keep_image(outputs))
    docker("image", "rm", "--force", broken)
    outputs = deployed.terraform.outputs()
    assert outputs
    assert outputs.api_image == served
