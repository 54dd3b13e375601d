"""``up`` notices an emulator that is gone, or that lost what was made in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.stub import Stubber

from stack import up, watch
from stack.errors import StackError
from stack.lambda_log import LambdaLog
from stack.provision import Provisioned
from stack.system import System
from stack.watch import EmulatorWatch

NOBODY = "http://127.0.0.1:9"


class WatchClock:
    """Stands still until it is moved."""

    now_s = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WatchClock:
    """Return the clock that the watch goes by."""
    clock = WatchClock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


@pytest.fixture
def emulator(clock: WatchClock) -> Iterator[EmulatorWatch]:  # noqa: ARG001  # it has to be there first
    """Yield a watch over an emulator where nobody answers, unless a stub does."""
    emulator = EmulatorWatch(NOBODY, Provisioned("counters", "settle", "queue"))
    yield emulator
    emulator._dynamodb.close()


def fail_with(emulator: EmulatorWatch, error: Exception) -> None:
    """Let every question fail."""

    def fail(**_: object) -> None:
        raise error

    emulator._dynamodb.meta.events.register("before-call.dynamodb.DescribeTable", fail)


def test_an_emulator_that_has_the_table_is_there(emulator: EmulatorWatch, clock: WatchClock) -> None:
    with Stubber(emulator._dynamodb) as stub:
        for _ in range(3):
            stub.add_response("describe_table", {"Table": {}})
            emulator.require_there()
            clock.now_s += 100


def test_an_emulator_that_lost_the_table_is_told_at_once(emulator: EmulatorWatch) -> None:
    with Stubber(emulator._dynamodb) as stub:
        stub.add_client_error("describe_table", "ResourceNotFoundException")
        with pytest.raises(StackError, match=f"{NOBODY} has lost the table counters: .* Start again"):
            emulator.require_there()


@pytest.mark.parametrize(
    ("error", "patience_s"),
    [
        (EndpointConnectionError(endpoint_url=NOBODY), 5),
        (ReadTimeoutError(endpoint_url=NOBODY), 30),
    ],
)
def test_an_emulator_that_is_silent_is_given_up_in_the_end(
    emulator: EmulatorWatch, clock: WatchClock, error: Exception, patience_s: int
) -> None:
    fail_with(emulator, error)
    clock.now_s = patience_s
    emulator.require_there()
    clock.now_s += 1
    with pytest.raises(StackError, match=f"{NOBODY} has not answered for {patience_s + 1} s"):
        emulator.require_there()


def test_an_emulator_that_answers_with_errors_is_given_up_in_the_end(
    emulator: EmulatorWatch, clock: WatchClock
) -> None:
    with Stubber(emulator._dynamodb) as stub:
        for _ in range(2):
            stub.add_client_error("describe_table", "InternalServerError", http_status_code=500)
        clock.now_s = 30
        emulator.require_there()
        clock.now_s = 31
        with pytest.raises(StackError, match="has not answered for 31 s"):
            emulator.require_there()


def _go_on(_: object) -> None:
    raise AssertionError("It goes on.")


def test_up_ends_with_its_emulator(monkeypatch: pytest.MonkeyPatch, clock: WatchClock, tmp_path: Path) -> None:
    """A process of ours would be found by its end; an emulator that somebody else started has only its silence."""
    monkeypatch.setattr(LambdaLog, "copy_new_lines", _go_on)
    monkeypatch.setattr(clock, "monotonic", iter([0, 31]).__next__)
    with pytest.raises(StackError, match=f"{NOBODY} has not answered for 31 s"):
        up._watch(System(NOBODY, Provisioned("counters", "settle", "queue"), (), ()), tmp_path, 0)
