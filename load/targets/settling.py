"""How far ``eventual`` is behind while an account is created on at full speed, and how soon after it is exact."""

import asyncio
from contextlib import closing
from typing import Final

import msgspec
import uvloop

from load.command import progress
from load.targets.findings import Finding, Measurement
from load.targets.servers import bench, create
from stack.harness.accounts import make_account
from stack.harness.client import Outcome, send_for
from stack.harness.connection import Connections, Request
from stack.provision import provision

SECONDS: Final = 30.0
CONNECTIONS: Final = 64

_TABLE: Final = "settling"
_EXACT_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.05


class Sample(msgspec.Struct, frozen=True):
    """Both counters, read in one item.

    Attributes:
        at_s: When, in seconds since the first request.
        best_effort: The immediate counter.
        eventual: The exact counter.
    """

    at_s: float
    best_effort: int
    eventual: int


class _Counts(msgspec.Struct, frozen=True):
    best_effort: int
    eventual: int


class _Page(msgspec.Struct, frozen=True):
    items: tuple[_Counts]


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """A burst of creates and both counters in the course of it.

    Attributes:
        created: Entries made.
        ended_at_s: When the last answer came.
        samples: In the order of time; the last is the first one that is exact.
    """

    created: int
    ended_at_s: float
    samples: list[Sample]

    @property
    def exact_after_s(self) -> float:
        """Seconds from the last answer until ``eventual`` was exact."""
        return max(0.0, self.samples[-1].at_s - self.ended_at_s)

    @property
    def lag_s_max(self) -> float:
        """The longest that anything counted in ``best_effort`` was missing in ``eventual``, in seconds.

        An entry is reserved before it is written, so this is a little longer than what a reader of the ledger sees.
        """
        longest, passed = 0.0, 0
        for sample in self.samples:
            # The first moment at which something was there that this sample's eventual does not count.
            while self.samples[passed].best_effort <= sample.eventual and self.samples[passed] is not sample:
                passed += 1
            if self.samples[passed].best_effort > sample.eventual:
                longest = max(longest, sample.at_s - self.samples[passed].at_s)
        return longest


def measure() -> Measurement:
    """Create at full speed with the Lambda at work.

    Raises:
        StackError: Something did not start.
        TimeoutError: The Lambda did not settle.
        ValueError: A request failed.
    """
    progress(f"settling: {SECONDS:.0f} s at full speed")
    burst = record_burst(SECONDS)
    return Measurement(
        target="settling",
        findings=[
            Finding.at_most("s until exact after the last answer", burst.exact_after_s, 2),
            Finding.at_most("s of lag under load, at most", burst.lag_s_max, 2),
        ],
        notes=[f"{burst.created} creates in {burst.ended_at_s:.1f} s"],
    )


def record_burst(seconds: float) -> Burst:
    """Create on one account for so long, on a system of its own; raises what ``measure`` does."""
    with bench() as its:
        provision(its.dynamodb.url, _TABLE)
        url = its.serve(_TABLE, ["api"]).url
        return uvloop.run(_record(url, make_account(url), seconds))


async def _record(url: str, account_id: str, seconds: float) -> Burst:
    loop = asyncio.get_running_loop()
    samples: list[Sample] = []
    start = loop.time()
    with closing(Connections(timeout_s=10)) as connections:

        async def look() -> Sample:
            reply = await connections.send(Request("GET", f"{url}/counts/{account_id}"))
            (counts,) = msgspec.json.decode(reply.body, type=_Page).items
            samples.append(Sample(loop.time() - start, counts.best_effort, counts.eventual))
            return samples[-1]

        load = asyncio.create_task(send_for([create(url, account_id)], CONNECTIONS, seconds))
        while not load.done():
            await look()
            await asyncio.sleep(_POLL_S)
        outcome: Outcome = load.result()
        created = outcome.statuses[201]
        if created != len(outcome.answers):
            raise ValueError(f"Not every create succeeded: {dict(outcome.statuses)}")
        async with asyncio.timeout(_EXACT_WITHIN_S):
            while (await look()).eventual != created:  # noqa: ASYNC110  # nothing tells us
                await asyncio.sleep(_POLL_S)
    return Burst(created=created, ended_at_s=outcome.elapsed_s, samples=samples)
