"""A deployment's steps, one by one and in their order."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import boto3
import msgspec
import pytest
from moto import mock_aws

from deploy import registry
from deploy.cloud import Cloud
from deploy.deploy import Deployment, DeployPlace, api_address, deploy, image_address, prepare
from deploy.infra import Outputs, keep_image
from deploy.smoke import Address
from stack.errors import StackError
from stack.paths import ROOT

if TYPE_CHECKING:
    from deploy.infra import Terraform

REPOSITORY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/counting"
BEFORE = Outputs(
    api_url="http://counting.us-east-1.elb.amazonaws.com",
    repository_url=REPOSITORY,
    region="us-east-1",
    cluster_name="counting",
)
AFTER = msgspec.structs.replace(
    BEFORE, service_name="counting-api", task_definition="counting:2", api_image="image:v2", served_image="image:v1"
)
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}'
ON_AWS = DeployPlace(endpoint=None, tag="v1", architecture="arm64")
ON_MINISTACK = DeployPlace(endpoint="http://127.0.0.1:4566", tag="v1", architecture="x86_64")


class FakeSteps:
    """Notes the steps that are taken; one of them may fail."""

    def __init__(self, made: Outputs | None, *, repository: bool = True, failing: str = "") -> None:
        self.made = made
        self.repository = repository
        self.failing = failing
        self.taken: list[str] = []

    def outputs(self) -> Outputs | None:
        """See ``Steps``."""
        return self.made

    def has_repository(self, outputs: Outputs) -> bool:
        """See ``Steps``."""
        assert outputs is self.made
        return self.repository

    def apply(self, image: str | None, served: str | None) -> None:
        """See ``Steps``."""
        self._take(f"apply {image}, served {served}")
        self.made = BEFORE if image is None else AFTER

    def publish(self, outputs: Outputs) -> str:
        """See ``Steps``."""
        assert outputs is self.made
        self._take("publish")
        return "image:v2"

    def wait(self, outputs: Outputs) -> None:
        """See ``Steps``."""
        assert outputs is AFTER
        self._take("wait")

    def try_out(self, outputs: Outputs) -> None:
        """See ``Steps``."""
        assert outputs is AFTER
        self._take("try out")

    def record(self, image: str) -> None:
        """See ``Steps``."""
        self._take(f"record {image}")

    def _take(self, step: str) -> None:
        self.taken.append(step)
        if step == self.failing:
            raise StackError(step)


ROLLED_OUT = ["wait", "try out", "record image:v2"]


def test_the_first_time_the_repository_is_made_before_the_image() -> None:
    steps = FakeSteps(None)
    deploy(steps)
    assert steps.taken == ["apply None, served None", "publish", "apply image:v2, served None", *ROLLED_OUT]


def test_a_repository_that_is_gone_is_made_anew() -> None:
    steps = FakeSteps(AFTER, repository=False)
    deploy(steps)
    assert steps.taken == ["apply None, served None", "publish", "apply image:v2, served None", *ROLLED_OUT]


def test_later_the_service_is_never_taken_away_and_sweeps_stay_with_what_served() -> None:
    steps = FakeSteps(AFTER)
    deploy(steps)
    assert steps.taken == ["publish", "apply image:v2, served image:v1", *ROLLED_OUT]


@pytest.mark.parametrize(
    "failing", ["publish", "apply image:v2, served image:v1", "wait", "try out", "record image:v2"]
)
def test_after_a_step_that_fails_no_other_is_taken(failing: str) -> None:
    """So an image that ECS took back, or that does not count, is not recorded."""
    steps = FakeSteps(AFTER, failing=failing)
    with pytest.raises(StackError, match=failing):
        deploy(steps)
    assert steps.taken[-1] == failing


@pytest.mark.parametrize(
    ("place", "repository", "image"),
    [
        (ON_AWS, REPOSITORY, f"{REPOSITORY}:v1"),
        (ON_MINISTACK, REPOSITORY, "127.0.0.1:4566/counting:v1"),
        (
            ON_MINISTACK,
            "000000000000.dkr.ecr.localhost:4566/counting",
            "000000000000.dkr.ecr.localhost:4566/counting:v1",
        ),
    ],
)
def test_the_image_goes_where_the_registry_is(place: DeployPlace, repository: str, image: str) -> None:
    assert image_address(repository, place) == image


@pytest.mark.parametrize(
    ("place", "api_url", "address"),
    [
        (ON_AWS, "http://c-1.elb.amazonaws.com", Address("http://c-1.elb.amazonaws.com")),
        (ON_AWS, "http://internal-c-1.elb.amazonaws.com", None),
        (ON_AWS, "https://c-1.elb.amazonaws.com", None),
        (
            ON_AWS._replace(api_url="https://api.example.com/"),
            "https://c-1.elb.amazonaws.com",
            Address("https://api.example.com"),
        ),
        (ON_MINISTACK, "http://c-1.elb.amazonaws.com", Address("http://127.0.0.1:4566", "c-1.elb.amazonaws.com")),
        (ON_MINISTACK, "http://c-1.elb.localhost:4566", Address("http://c-1.elb.localhost:4566")),
    ],
)
def test_the_api_is_tried_where_it_can_be_reached(place: DeployPlace, api_url: str, address: Address | None) -> None:
    assert api_address(api_url, place) == address


def test_the_image_that_served_stays_not_one_that_was_taken_back_since() -> None:
    assert keep_image(AFTER) == ["-var=api_image=image:v1", "-var=served_image=image:v1"]


def test_before_any_image_served_the_one_that_was_tried_stays_and_sweeps_nothing() -> None:
    assert keep_image(msgspec.structs.replace(AFTER, served_image=None)) == ["-var=api_image=image:v2"]
    assert keep_image(BEFORE) == keep_image(None) == []


class FakeRegistry:
    """Has images under tags, and notes what is built for which machines, and pushed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *tags: str) -> None:
        self.tags = set(tags)
        self.built: list[tuple[str, str]] = []
        self.pushed: list[str] = []
        monkeypatch.setattr(registry, "build", lambda image, architecture: self.built.append((image, architecture)))
        monkeypatch.setattr(registry, "push", self.pushed.append)

    def has_image(self, repository: str, tag: str, region: str) -> bool:
        """Answer as ``Cloud`` does."""
        assert (repository, region) == ("counting", "us-east-1")
        return tag in self.tags


class FakeTerraform:
    """Notes what it is told to apply."""

    def __init__(self, *changes: str) -> None:
        self.changes = set(changes)
        self.planned: list[tuple[str, ...]] = []
        self.applied: list[tuple[str, ...]] = []

    def plan(self, file: Path, *arguments: str) -> set[str]:
        """Do as ``Terraform`` does."""
        self.planned.append((file.name, *arguments))
        return self.changes

    def apply(self, *arguments: str) -> None:
        """Do as ``Terraform`` does."""
        self.applied.append(arguments)


def deployment(
    fake_registry: FakeRegistry, terraform: FakeTerraform | None = None, *, architecture: str = "x86_64"
) -> Deployment:
    place = DeployPlace("http://127.0.0.1:4566", registry.tag_for("v1", architecture), architecture)
    tools = (cast("Terraform", terraform or FakeTerraform()), cast("Cloud", fake_registry))
    return Deployment(place, *tools, ["-var-file=local.tfvars"])


def test_an_image_for_other_machines_hides_none_of_the_same_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    images = FakeRegistry(monkeypatch, "v1", "v1-arm64")
    published = deployment(images).publish(BEFORE)
    assert published == "127.0.0.1:4566/counting:v1-x86_64"
    assert images.built == [(published, "x86_64")]
    assert images.pushed == [published]


def test_an_image_that_is_there_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    images = FakeRegistry(monkeypatch, "v1-arm64")
    assert deployment(images, architecture="arm64").publish(BEFORE) == "127.0.0.1:4566/counting:v1-arm64"
    assert not images.built
    assert not images.pushed


def test_a_tag_that_names_its_machine_type_is_taken_as_it_is() -> None:
    assert registry.tag_for("v1-arm64", "arm64") == registry.tag_for("v1", "arm64") == "v1-arm64"


SCHEDULE = "module.api[0].aws_scheduler_schedule.sweep[0]"
RECORDED = ("-var-file=local.tfvars", "-var=api_image=image:v2", "-var=served_image=image:v2")


def test_an_image_is_applied_beside_the_one_that_served(monkeypatch: pytest.MonkeyPatch) -> None:
    terraform = FakeTerraform()
    deployment(FakeRegistry(monkeypatch), terraform).apply("image:v2", "image:v1")
    assert terraform.applied == [("-var-file=local.tfvars", "-var=api_image=image:v2", "-var=served_image=image:v1")]


def test_to_record_an_image_asks_nobody_when_only_sweeps_change(monkeypatch: pytest.MonkeyPatch) -> None:
    terraform = FakeTerraform(SCHEDULE)
    deployment(FakeRegistry(monkeypatch), terraform).record("image:v2")
    assert terraform.planned == [("plan", *RECORDED)]
    ((plan,),) = terraform.applied
    assert Path(plan).name == "plan"


def test_to_record_an_image_asks_when_more_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    terraform = FakeTerraform(SCHEDULE, "module.table.aws_dynamodb_table.this")
    deployment(FakeRegistry(monkeypatch), terraform).record("image:v2")
    assert terraform.applied == [RECORDED]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with one commit, which the tag is chosen in."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "first"]):
        _git(tmp_path, *command)
    return tmp_path


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=ada", "-c", "user.email=ada@example.com", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  # ours


def test_the_tag_is_the_commit_unless_one_is_given(checkout: Path) -> None:
    assert registry.choose_tag({}) == _git(checkout, "rev-parse", "--short", "HEAD")
    assert registry.choose_tag({"TAG": "v1"}) == "v1"


def test_what_is_in_no_commit_needs_a_tag_of_its_own(checkout: Path) -> None:
    (checkout / "file").write_text("new")
    _git(checkout, "add", "file")
    with pytest.raises(StackError, match="uncommitted changes"):
        registry.choose_tag({})
    assert registry.choose_tag({"TAG": "try-1"}) == "try-1"


def test_a_folder_without_commits_needs_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StackError, match=r"Choose a tag with TAG=\.\.\."):
        registry.choose_tag({})


@pytest.fixture
def aws() -> Iterator[None]:
    """Stand in for AWS."""
    with mock_aws():
        yield


@pytest.mark.usefixtures("aws")
def test_the_cloud_knows_what_was_pushed() -> None:
    cloud = Cloud(None)
    assert not cloud.has_repository("counting", "us-east-1")
    client = boto3.client("ecr", region_name="us-east-1")
    client.create_repository(repositoryName="counting")
    assert cloud.has_repository("counting", "us-east-1")
    assert not cloud.has_image("counting", "v1", "us-east-1")
    client.put_image(repositoryName="counting", imageManifest=MANIFEST, imageTag="v1")
    assert cloud.has_image("counting", "v1", "us-east-1")
    assert cloud.login("us-east-1").user == "AWS"


def test_without_credentials_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StackError, match="No AWS credentials that work"):
        Cloud(None)


def test_without_variables_for_aws_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.infra.TERRAFORM_ROOT", tmp_path)
    with pytest.raises(StackError, match=r"Copy terraform/aws.tfvars.example"):
        prepare({"ENV": "aws"}, [])


def test_without_an_engine_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("deploy.deploy.variables_of", lambda _environment: [])
    with pytest.raises(StackError, match="No Docker engine answers"):
        prepare({"ENV": "aws"}, [])


def test_what_is_missing_is_one_line_and_an_exit_code() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "deploy.deploy"],
        cwd=ROOT,
        env={"ENV": "moon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (1, "deploy: ENV must be local or aws, not 'moon'.\n")
