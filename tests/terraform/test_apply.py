"""The whole root on an emulator: it makes a working system, equal to that of ``up``, and takes it away again.

The tests share one application and run in this order; the last one destroys it.
"""

import json
import time
from http import HTTPStatus
from typing import Any

import boto3
import httpx
import pytest

from deploy.cloud import Cloud
from deploy.deploy import Deployment, DeployPlace
from deploy.infra import Outputs, keep_image
from stack import aws
from stack.network import free_port, url_of
from stack.processes import running
from stack.provision import provision
from stack.system import api_program, wait_for_api
from tests.support.applied import Applied

pytestmark = pytest.mark.long

_SETTLE_S = 30

# Where what Terraform makes differs from what `up` makes on the same emulator: (up, Terraform), and why.
_DIFFERENCES: dict[str, tuple[object, object]] = {
    # Only a person in AWS's console reads it.
    "function.Description": ("", "Settles the counters of TABLE from its stream, exactly once"),
    # Emulators never ask a role anything, so `up` makes none.
    "function.Role": ("arn:aws:iam::000000000000:role/settle", "arn:aws:iam::000000000000:role/TABLE-settle-us-east-1"),
    # The provider always sets the size that was the largest for long; stream_lambda/dead_letters.py stays below it.
    "queue.MaximumMessageSize": ("1048576", "262144"),
    # Encryption with AWS's key in the account, instead of its own: an emulator encrypts nothing.
    "table.SSEDescription.KMSMasterKeyArn": (None, "arn:aws:kms:us-east-1:000000000000:alias/aws/dynamodb"),
    "table.SSEDescription.SSEType": (None, "KMS"),
    "table.SSEDescription.Status": (None, "ENABLED"),
}

# Ids, times and amounts that every item of its kind has of its own.
_INDIVIDUAL = frozenset(
    {
        "backups.PointInTimeRecoveryDescription.EarliestRestorableDateTime",
        "backups.PointInTimeRecoveryDescription.LatestRestorableDateTime",
        "function.LastModified",
        "function.RevisionId",
        "mapping.EventSourceArn",
        "mapping.EventSourceMappingArn",
        "mapping.LastModified",
        "mapping.LastProcessingResult",
        "mapping.UUID",
        "queue.CreatedTimestamp",
        "queue.LastModifiedTimestamp",
        "table.CreationDateTime",
        "table.ItemCount",
        "table.LatestStreamArn",
        "table.LatestStreamLabel",
        "table.TableId",
        "table.TableSizeBytes",
    }
)


def test_creates_are_settled(applied: Applied) -> None:
    """Creates go through an API process to the applied table, and the applied Lambda counts them."""
    creates = 40
    port = free_port()
    program = api_program(["api"], port, applied.endpoint, applied.table, applied.logs)
    with running(program) as api, httpx.Client(base_url=url_of(port)) as client:
        wait_for_api(api, port)
        account = client.post("/accounts", json={"username": "ada", "max_number_of_services": creates}).json()["id"]
        answers = [
            client.post("/services", json={"account_id": account, "name": f"service {n}"}) for n in range(creates + 1)
        ]
        assert [answer.status_code for answer in answers] == [HTTPStatus.CREATED] * creates + [HTTPStatus.CONFLICT]

        deadline = time.monotonic() + _SETTLE_S
        while (count := client.get(f"/counts/{account}").json()["items"][0])["eventual"] != creates:
            assert time.monotonic() < deadline, f"not settled: {count}"
            time.sleep(0.2)
        assert count["best_effort"] == creates
        assert count["drift"] == 0


def test_a_second_plan_is_empty(applied: Applied) -> None:
    answer = applied.terraform.call("plan", "-detailed-exitcode", *applied.variables)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_it_makes_what_up_makes(applied: Applied) -> None:
    """Table, stream, queue, Lambda and mapping are equal but for what is listed with its reason."""
    made_by_up = provision(applied.endpoint, "made-by-up")
    up = _describe(applied.endpoint, made_by_up.table, made_by_up.function)
    terraform = _describe(applied.endpoint, applied.table, applied.function)
    differences = {path: (up.get(path), terraform.get(path)) for path in up.keys() | terraform.keys()}
    assert {path: pair for path, pair in differences.items() if pair[0] != pair[1]} == _DIFFERENCES


def test_sweeps_and_later_applies_get_an_image_only_once_it_served(applied: Applied) -> None:
    """As long as the new image is tried, and for good when it fails, they stay with the one before."""
    place = DeployPlace(applied.endpoint, "tried", "x86_64")
    steps = Deployment(place, applied.terraform, Cloud(applied.endpoint), [*applied.variables, "-auto-approve"])

    steps.apply("distributed-counter:tried", "distributed-counter:test")
    outputs = applied.terraform.outputs()
    assert outputs is not None
    assert outputs.task_definition is not None
    assert _image_of(applied.endpoint, outputs.task_definition) == "distributed-counter:tried"
    assert _swept_image(applied.endpoint, outputs) == "distributed-counter:test"
    assert keep_image(outputs) == [
        "-var=api_image=distributed-counter:test",
        "-var=served_image=distributed-counter:test",
    ]

    steps.record("distributed-counter:tried")
    outputs = applied.terraform.outputs()
    assert outputs is not None
    assert _swept_image(applied.endpoint, outputs) == "distributed-counter:tried"
    assert keep_image(outputs) == [f"-var={name}=distributed-counter:tried" for name in ("api_image", "served_image")]


def _swept_image(endpoint: str, outputs: Outputs) -> str:
    """Return the image that the schedule runs."""
    scheduler = boto3.client("scheduler", region_name=outputs.region, endpoint_url=endpoint)
    target = scheduler.get_schedule(Name=f"{outputs.cluster_name}-sweep")["Target"]
    return _image_of(endpoint, target["EcsParameters"]["TaskDefinitionArn"])


def _image_of(endpoint: str, task_definition: str) -> str:
    ecs = Cloud(endpoint).ecs(task_definition.split(":")[3])
    (container,) = ecs.describe_task_definition(taskDefinition=task_definition)["taskDefinition"][
        "containerDefinitions"
    ]
    return container["image"]


def test_destroy_leaves_nothing(applied: Applied) -> None:
    answer = applied.terraform.call("destroy", "-auto-approve", *applied.variables)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert applied.terraform.call("state", "list").stdout == ""

    tables = aws.dynamodb_client(applied.endpoint).list_tables()["TableNames"]
    functions = aws.lambda_client(applied.endpoint)
    queues = aws.sqs_client(applied.endpoint).list_queues().get("QueueUrls", [])
    groups = aws.logs_client(applied.endpoint).describe_log_groups()["logGroups"]
    names = [
        *tables,
        *(function["FunctionName"] for function in functions.list_functions()["Functions"]),
        *(mapping["FunctionArn"] for mapping in functions.list_event_source_mappings()["EventSourceMappings"]),
        *queues,
        *(group["logGroupName"] for group in groups),
    ]
    assert [name for name in names if applied.table in name] == []


def _describe(endpoint: str, table: str, function: str) -> dict[str, object]:
    """Return what the emulator says of a system's parts, flat, and without names and times of its own."""
    dynamodb = aws.dynamodb_client(endpoint)
    functions = aws.lambda_client(endpoint)
    sqs = aws.sqs_client(endpoint)
    queue = sqs.get_queue_url(QueueName=f"{table}-dead-letters")["QueueUrl"]
    mappings = functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    assert len(mappings) == 1
    parts: dict[str, Any] = {
        "table": dynamodb.describe_table(TableName=table)["Table"],
        "ttl": dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"],
        "backups": dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"],
        "queue": sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"],
        "function": functions.get_function_configuration(FunctionName=function),
        "mapping": mappings[0],
    }
    del parts["function"]["ResponseMetadata"]
    assert parts["mapping"]["EventSourceArn"] == parts["table"]["LatestStreamArn"]
    # What is written as JSON is compared as what it says.
    for one in parts["mapping"]["FilterCriteria"]["Filters"]:
        one["Pattern"] = json.dumps(json.loads(one["Pattern"]), sort_keys=True)
    text = json.dumps(parts, default=str).replace(table, "TABLE")
    return {path: value for path, value in _flat("", json.loads(text)) if path not in _INDIVIDUAL}


def _flat(path: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(f"{path}.{key}".removeprefix("."), inner)]
    return [(path, value)]
