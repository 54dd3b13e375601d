"""Waits for ECS to replace a service's tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from stack.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import DeploymentTypeDef, ServiceTypeDef

_EVENTS: Final = 3


class EcsService(NamedTuple):
    """A service of ECS.

    Attributes:
        cluster: Name of its cluster.
        name: Its name.
    """

    cluster: str
    name: str


class Patience(NamedTuple):
    """How to wait.

    Attributes:
        timeout_s: Longest time to wait, in seconds. ECS itself gives up tasks that never get healthy before that.
        poll_s: Time between two looks, in seconds.
        sleep: Lets time pass.
    """

    timeout_s: float = 900.0
    poll_s: float = 3.0
    sleep: Callable[[float], object] = time.sleep


def wait_for_rollout(
    client: ECSClient,
    service: EcsService,
    task_definition: str,
    say: Callable[[str], None],
    patience: Patience | None = None,
) -> None:
    """Return when all tasks of a service are those that it is to run, and are healthy.

    Args:
        client: Asks ECS.
        service: Which one.
        task_definition: ARN of what it is to run.
        say: Is told of every change.
        patience: How to wait.

    Raises:
        StackError: The tasks did not get healthy, and ECS took them back or the time ran out.
    """
    patience = patience or Patience()
    waited_s, said = 0.0, ""
    while True:
        state = client.describe_services(cluster=service.cluster, services=[service.name])["services"][0]
        primary = next((one for one in state["deployments"] if one["status"] == "PRIMARY"), None)
        if primary is not None:
            if (now := _describe(primary)) != said:
                say(now)
                said = now
            _require_hope(state, primary, task_definition)
            # MiniStack calls a rollout completed with its first task.
            if primary["rolloutState"] == "COMPLETED" and primary["runningCount"] >= primary["desiredCount"]:
                return
        if waited_s >= patience.timeout_s:
            raise StackError(f"The service was not stable within {patience.timeout_s:.0f} s. {_last_events(state)}")
        patience.sleep(patience.poll_s)
        waited_s += patience.poll_s


def _describe(deployment: DeploymentTypeDef) -> str:
    state = deployment["rolloutState"].lower().replace("_", " ")
    return f"{deployment['runningCount']} of {deployment['desiredCount']} tasks run, rollout {state}"


def _require_hope(state: ServiceTypeDef, primary: DeploymentTypeDef, task_definition: str) -> None:
    if primary["taskDefinition"] != task_definition:
        raise StackError(
            f"ECS went back to the version before: the new tasks did not get healthy. {_last_events(state)}"
        )
    if primary["rolloutState"] == "FAILED":
        reason = primary.get("rolloutStateReason", "")
        raise StackError(f"The new tasks did not get healthy: {reason} {_last_events(state)}")


def _last_events(state: ServiceTypeDef) -> str:
    """Return what ECS said last, or where to look."""
    messages = [event["message"] for event in state.get("events", [])[:_EVENTS]]
    return f"ECS says: {' | '.join(messages)}" if messages else "The tasks' log may say why."
