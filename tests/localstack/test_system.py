"""The whole system on LocalStack, whichever of its providers of DynamoDB runs."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from deploy.smoke import Address, smoke_test
from stack import runs
from stack.aws import dynamodb_client, lambda_client
from stack.network import free_port
from stack.paths import ROOT
from stack.provision import provision
from stack.system import System, SystemSettings, running_system

pytestmark = pytest.mark.long

_WITHIN_S = 60


@pytest.fixture(scope="module")
def system(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run the API, over a table of its own."""
    settings = SystemSettings(endpoint, [free_port()], _new_table(), tmp_path_factory.mktemp("logs"))
    with running_system(settings) as system:
        yield system


def _new_table() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def _counts(api: httpx.Client, account: str) -> dict[str, int]:
    (count,) = api.get(f"/counts/{account}").raise_for_status().json()["items"]
    found: dict[str, int] = count
    return found


def _create(api: httpx.Client, account: str, services: int) -> None:
    for _ in range(services):
        api.post("/services", json={"account_id": account, "name": "billing"}).raise_for_status()


def _wait_for_eventual(api: httpx.Client, account: str, expected: int) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while _counts(api, account)["eventual"] != expected:
        assert time.monotonic() < deadline, _counts(api, account)
        time.sleep(0.2)


def test_what_is_created_settles(system: System) -> None:
    smoke_test(Address(system.api_urls[0]))


def test_a_stream_that_is_read_again_from_its_beginning_counts_nothing_twice(system: System) -> None:
    """LocalStack does so after each update of the mapping."""
    # given
    with httpx.Client(base_url=system.api_urls[0]) as api:
        account = api.post("/accounts", json={"username": "ada"}).raise_for_status().json()["id"]
        _create(api, account, 3)
        _wait_for_eventual(api, account, 3)

        # when
        provision(system.endpoint, system.provisioned.table)
        functions = lambda_client(system.endpoint)
        for mapping in functions.list_event_source_mappings(FunctionName=system.provisioned.function)[
            "EventSourceMappings"
        ]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], BatchSize=mapping["BatchSize"])
        _create(api, account, 1)

        # then
        _wait_for_eventual(api, account, 4)
        assert _counts(api, account)["best_effort"] == 4


def test_what_is_created_in_the_minute_of_a_forced_recount_is_counted(system: System) -> None:
    """One of the providers cuts the stream's times to the minute."""
    # given
    with httpx.Client(base_url=system.api_urls[0]) as api:
        account = api.post("/accounts", json={"username": "ada"}).raise_for_status().json()["id"]
        _create(api, account, 5)
        _wait_for_eventual(api, account, 5)
        recount = f"/accounts/{account}/counters/services/reconcile?force=true"
        deadline = time.monotonic() + _WITHIN_S
        while (answer := api.post(recount)).status_code == httpx.codes.CONFLICT:
            assert time.monotonic() < deadline
            time.sleep(float(answer.headers["Retry-After"]))

        # when
        assert answer.raise_for_status().json()["ledger"] == 5
        _create(api, account, 3)

        # then
        _wait_for_eventual(api, account, 8)
        assert _counts(api, account)["best_effort"] == 8


def test_up_ends_when_localstack_loses_the_table(endpoint: str) -> None:
    # given
    port, table = free_port(), _new_table()
    environment = {**os.environ, "PORT": str(port), "AWS_ENDPOINT_URL": endpoint, "TABLE_NAME": table}
    command = [sys.executable, "-m", "stack.up"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as up:  # noqa: S603  # ours
        deadline = time.monotonic() + _WITHIN_S
        note = Path(runs.folder_of(port), "run.json")
        while not note.exists():
            assert up.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)

        # when
        dynamodb_client(endpoint).delete_table(TableName=table)

        # then
        _, errors = up.communicate(timeout=_WITHIN_S)
    rmtree(runs.folder_of(port))
    assert up.returncode == 1
    assert errors.count("\n") == 1
    assert f"has lost the table {table}" in errors
