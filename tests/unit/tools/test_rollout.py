"""Waiting for ECS: it ends well, badly, or in time, and says what is going on."""

from typing import TYPE_CHECKING, Any, cast

import pytest

from deploy.rollout import EcsService, Patience, wait_for_rollout
from stack.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

SERVICE = EcsService("cluster", "service")


def deployment(state: str, *, running: int = 0, version: int = 2) -> dict[str, object]:
    return {
        "status": "PRIMARY",
        "taskDefinition": f"api:{version}",
        "rolloutState": state,
        "rolloutStateReason": "tasks failed to start.",
        "runningCount": running,
        "desiredCount": 2,
    }


class FakeEcs:
    """Answers with one state after the other, and with the last one for ever."""

    def __init__(self, *states: dict[str, object], events: tuple[str, ...] = ()) -> None:
        self.states = list(states)
        self.events = events
        self.slept_s: list[float] = []

    def describe_services(self, **question: object) -> dict[str, Any]:
        """Answer as ECS does."""
        assert question == {"cluster": "cluster", "services": ["service"]}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        old = {**deployment("COMPLETED", running=2, version=1), "status": "ACTIVE"}
        return {"services": [{"deployments": [old, state], "events": [{"message": one} for one in self.events]}]}

    def wait(self, timeout_s: float = 60.0) -> list[str]:
        """Wait with this fake and return what was said."""
        said: list[str] = []
        patience = Patience(timeout_s, poll_s=3.0, sleep=self.slept_s.append)
        wait_for_rollout(cast("ECSClient", self), SERVICE, "api:2", said.append, patience)
        return said


def test_it_waits_until_the_new_tasks_are_healthy_and_tells_each_change_once() -> None:
    working = deployment("IN_PROGRESS")
    ecs = FakeEcs(working, working, deployment("IN_PROGRESS", running=2), deployment("COMPLETED", running=2))
    assert ecs.wait() == [
        "0 of 2 tasks run, rollout in progress",
        "2 of 2 tasks run, rollout in progress",
        "2 of 2 tasks run, rollout completed",
    ]
    assert ecs.slept_s == [3.0] * 3


def test_a_rollout_is_not_over_before_every_task_runs() -> None:
    ecs = FakeEcs(deployment("COMPLETED", running=1), deployment("COMPLETED", running=2))
    assert ecs.wait() == ["1 of 2 tasks run, rollout completed", "2 of 2 tasks run, rollout completed"]


def test_a_version_that_ecs_took_back_is_a_failure() -> None:
    ecs = FakeEcs(
        deployment("IN_PROGRESS"), deployment("COMPLETED", running=2, version=1), events=("(port 8000) is unhealthy",)
    )
    with pytest.raises(StackError, match=r"went back to the version before.*ECS says: \(port 8000\) is unhealthy"):
        ecs.wait()


def test_a_first_version_that_does_not_start_is_a_failure() -> None:
    with pytest.raises(StackError, match=r"tasks failed to start\. The tasks' log may say why"):
        FakeEcs(deployment("IN_PROGRESS"), deployment("FAILED")).wait()


def test_waiting_is_bounded() -> None:
    ecs = FakeEcs(deployment("IN_PROGRESS"), events=tuple("1234"))
    with pytest.raises(StackError, match=r"not stable within 60 s. ECS says: 1 \| 2 \| 3$"):
        ecs.wait()
    assert sum(ecs.slept_s) == 60
