"""When a load test has failed: what was measured, against what was asked for."""

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from load.locust.arrivals import Timing


class LoadFigures:
    """All that is known of one kind of request: how often it failed, and three times in milliseconds each."""

    def __init__(self) -> None:
        self.failures = 0
        self._latency_ms = array("d")
        self._service_ms = array("d")
        self._wait_ms = array("d")

    def add(self, timing: Timing, *, failed: bool) -> None:
        """Add a request."""
        self.failures += failed
        self._latency_ms.append(timing.latency_ms)
        self._service_ms.append(timing.service_ms)
        self._wait_ms.append(timing.wait_ms)

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(self._latency_ms)

    def latency_ms(self, share: float) -> float:
        """Return the latency from the intended start that this share stayed within."""
        return _percentile(self._latency_ms, share)

    def service_ms(self, share: float) -> float:
        """Return the time from sending to the answer that this share stayed within."""
        return _percentile(self._service_ms, share)

    def wait_ms(self, share: float) -> float:
        """Return the wait in the client that this share stayed within."""
        return _percentile(self._wait_ms, share)


def _percentile(values: "array[float]", share: float) -> float:
    """Return the least value that at least this share of the values are not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class ArrivalRate(NamedTuple):
    """How the load kept its schedule.

    Attributes:
        due: Arrivals that were due so long before the end that they should have been served.
        served: Arrivals that were served before the end.
    """

    due: int
    served: int


class Thresholds(NamedTuple):
    """What a load test has to keep.

    Attributes:
        p99_ms_max: Latency from the intended start that 99 percent of each kind of request must stay within.
        error_share_max: Most of all requests that may fail, from 0 to 1.
        rate_share_min: Least of the arrivals that must be served in time, from 0 to 1.
    """

    p99_ms_max: float
    error_share_max: float
    rate_share_min: float

    def check(self, measured: Mapping[str, LoadFigures], pace: ArrivalRate | None) -> Iterator[str]:
        """Yield a line for each threshold that was not kept.

        Args:
            measured: By kind of request.
            pace: None for a load without a rate.
        """
        requests = sum(kind.requests for kind in measured.values())
        if not requests:
            yield "no request was sent"
            return
        for name, kind in measured.items():
            p99_ms = kind.latency_ms(0.99)
            if p99_ms > self.p99_ms_max:
                yield f"p99 of {name} is {p99_ms:.1f} ms, over {self.p99_ms_max:g} ms"
        failures = sum(kind.failures for kind in measured.values())
        if failures / requests > self.error_share_max:
            share = failures / requests
            yield f"{failures} of {requests} requests failed ({share:.2%}), over {self.error_share_max:.2%}"
        if pace and pace.served < self.rate_share_min * pace.due:
            served = f"{pace.served} of {pace.due} arrivals ({pace.served / pace.due:.1%})"
            yield f"{served} were served in time, under {self.rate_share_min:.0%}"


def to_lines(measured: Mapping[str, LoadFigures]) -> list[str]:
    """Return what was measured as a table; times in milliseconds."""
    header = ("", "requests", "failed", "p50", "p99", "max", "service p50", "service p99", "wait p99")
    rows = [
        (
            name,
            str(kind.requests),
            str(kind.failures),
            *(f"{kind.latency_ms(share):.1f}" for share in (0.5, 0.99, 1.0)),
            *(f"{kind.service_ms(share):.1f}" for share in (0.5, 0.99)),
            f"{kind.wait_ms(0.99):.1f}",
        )
        for name, kind in measured.items()
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in enumerate(cells))
        for cells in (zip(row, widths, strict=True) for row in (header, *rows))
    ]
