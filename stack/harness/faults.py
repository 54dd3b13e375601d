"""Faults between the API and DynamoDB, in the wire format that the SDK believes, by microburst."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from stack.aws import without_aws
from stack.network import LOOPBACK, free_port, status_of, url_of
from stack.processes import Program, running

Rule = Mapping[str, Any]
"""What microburst does to a call, and to which share of the calls; its README describes the keys."""

_READY_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0
_CONTROL_TIMEOUT_S: Final = 10.0

THROTTLE: Final = "throttled"

STORM: Final[Mapping[str, Rule]] = {
    THROTTLE: {"probability": 0.08, "error": {"code": "ProvisionedThroughputExceededException"}},
    # DynamoDB answers so when a transaction, such as the deletion of the account, holds the item.
    "transaction conflict": {
        "probability": 0.05,
        "operation": "UpdateItem",
        "error": {"code": "TransactionConflictException"},
    },
    "internal error": {"probability": 0.02, "error": {"code": "InternalServerError", "status": 500}},
    "reset before the call": {"probability": 0.02, "reset": True},
    # The call was made, and its answer is cut: what was written stays written, and nobody was told.
    "reset after the call": {"probability": 0.02, "response": {"abort_bytes": 0}},
    # Also longer than a call is waited for (2.5 s): it is given up, and done all the same.
    "latency spike": {"probability": 0.03, "latency": {"min": 200, "max": 3200}},
}
"""About one call in five fails or is late."""


def throttle(share: float) -> Mapping[str, Rule]:
    """Return the fault that throttles this share of all calls."""
    return {THROTTLE: {**STORM[THROTTLE], "probability": share}}


class FaultInjector:
    """A proxy in front of DynamoDB that does to calls what it is told, and counts it.

    Attributes:
        url: What to use as the endpoint.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._kinds: dict[int, str] = {}

    def inject(self, faults: Mapping[str, Rule]) -> None:
        """Do these faults, and no others, from now on; none for an empty mapping."""
        rules = [{"service": "dynamodb", **rule} for rule in faults.values()]
        answer = httpx.post(f"{self.url}/_microburst/rules", json=rules, timeout=_CONTROL_TIMEOUT_S)
        made = answer.raise_for_status().json()
        self._kinds |= {rule["id"]: kind for rule, kind in zip(made, faults, strict=True)}

    def counts(self) -> Counter[str]:
        """Return how many calls met each kind of fault so far."""
        counts: Counter[str] = Counter()
        for rule in self._stats()["by_rule"]:
            counts[self._kinds[rule["id"]]] += rule["fired"]
        return counts

    def calls(self) -> int:
        """Return how many calls came in so far."""
        total: int = self._stats()["requests"]["total"]
        return total

    def _stats(self) -> Any:  # noqa: ANN401  # JSON
        return httpx.get(f"{self.url}/_microburst/stats", timeout=_CONTROL_TIMEOUT_S).raise_for_status().json()


@contextmanager
def fault_injector(endpoint: str, logs: Path) -> Iterator[FaultInjector]:
    """Run a fault injector in front of an emulator.

    Yields:
        The injector, which does nothing yet.

    Raises:
        StackError: It did not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", endpoint, "--host", LOOPBACK, "--port", str(port)]
    program = Program("The fault injector", command, without_aws(), logs / "microburst.log", _GRACE_S)
    with running(program) as process:
        url = url_of(port)
        process.wait_until(lambda: status_of(f"{url}/_microburst/health") == HTTPStatus.OK, _READY_TIMEOUT_S)
        yield FaultInjector(url)
