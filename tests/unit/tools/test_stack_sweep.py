"""``./taskw sweep`` finds what runs here, and never reaches for AWS by accident."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.sweep import environment_of
from stack import runs
from stack.errors import StackError
from stack.paths import ROOT
from stack.runs import Run

OF_A_USER = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "real",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL_DYNAMODB": "https://dynamodb.eu-west-1.amazonaws.com",
    "LOG_LEVEL": "DEBUG",
}
"""What may be set in a shell whose owner works with a real account, and a setting of the API."""
RUN = Run("http://127.0.0.1:8123", "http://127.0.0.1:4599", "counters", "us-west-2")


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the notes of runs elsewhere."""
    monkeypatch.setattr(runs, "LOGS", tmp_path)


def aws_of(environment: dict[str, str]) -> dict[str, str]:
    """Return what leads an AWS client somewhere."""
    return {name: value for name, value in environment.items() if name.startswith("AWS_")}


def test_what_runs_is_swept() -> None:
    with runs.locked(8123):
        runs.record(8123, RUN)
        found = environment_of({**OF_A_USER, "PORT": "8123"})
    assert aws_of(found) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4599",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    assert (found["TABLE_NAME"], found["LOG_LEVEL"]) == ("counters", "DEBUG")


def test_an_emulator_that_is_named_goes_first() -> None:
    named = {**OF_A_USER, "PORT": "8123", "AWS_ENDPOINT_URL": "http://localhost:4566", "TABLE_NAME": "mine"}
    with runs.locked(8123):
        runs.record(8123, RUN)
        found = environment_of(named)
    assert (found["AWS_ENDPOINT_URL"], found["TABLE_NAME"]) == ("http://localhost:4566", "mine")
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_REGION"]) == ("test", "us-east-1")
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_DYNAMODB"} & found.keys()


@pytest.mark.parametrize("endpoint", [RUN.endpoint, f"{RUN.endpoint}/", "http://localhost:4599"])
def test_the_table_of_what_runs_on_the_emulator_that_is_named_is_swept(endpoint: str) -> None:
    with runs.locked(8123):
        runs.record(8123, RUN)
        found = environment_of({"PORT": "8123", "AWS_ENDPOINT_URL": endpoint})
    assert (found["TABLE_NAME"], found["AWS_REGION"]) == ("counters", "us-west-2")


@pytest.mark.parametrize("endpoint", ["http://localhost:4598", "http://192.0.2.1:4599", "http://localhost:none"])
def test_another_emulator_than_that_of_what_runs_is_none_of_its(endpoint: str) -> None:
    with runs.locked(8123):
        runs.record(8123, RUN)
        found = environment_of({"PORT": "8123", "AWS_ENDPOINT_URL": endpoint})
    assert (found["AWS_ENDPOINT_URL"], found.get("TABLE_NAME")) == (endpoint, None)


def test_aws_is_swept_when_it_is_asked_for() -> None:
    wish = {**OF_A_USER, "ENV": "aws", "TABLE_NAME": "counters"}
    with runs.locked(8000):
        runs.record(8000, RUN)
        assert environment_of(wish) == wish


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (OF_A_USER, "Nothing runs with PORT=8000. Start it with ./taskw up. Or name an emulator"),
        ({"PORT": "http"}, "PORT must be a port number"),
        ({"ENV": "prod"}, "ENV must be local or aws"),
        ({"ENV": "aws", "AWS_ENDPOINT_URL": "http://localhost:4566"}, "which is not AWS"),
    ],
)
def test_nothing_is_swept_otherwise(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        environment_of(environment)


def test_what_is_not_ready_yet_is_not_swept() -> None:
    with runs.locked(8000), pytest.raises(StackError, match="What runs with PORT=8000 is not ready yet"):
        environment_of({})


def test_what_ran_before_is_forgotten() -> None:
    with runs.locked(8000):
        runs.record(8000, RUN)
    with pytest.raises(StackError, match="Nothing runs"):
        runs.find(8000)
    with runs.locked(8000), pytest.raises(StackError, match="not ready yet"):
        runs.find(8000)


def test_no_place_is_one_line_and_an_exit_code() -> None:
    command = [sys.executable, "-m", "deploy.sweep"]
    environment = {**OF_A_USER, "PORT": "9"}
    answer = subprocess.run(  # noqa: S603  # ours
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
    assert "ENV=aws" in answer.stderr
