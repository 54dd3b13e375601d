"""Every number that the model takes from elsewhere. ``docs/evidence/model.md`` names the source of each."""

import math
from enum import StrEnum
from random import Random
from typing import Final, NamedTuple

import msgspec

WRITE_UNITS_PER_S: Final = 1000.0
READ_UNITS_PER_S: Final = 3000.0
"""What one partition admits, of items up to 1 KB written and up to 4 KB read."""

SPLIT_AFTER_S: Final = 60.0
"""A partition throttled for so long on end is split for heat, in seconds; AWS says "sustained" and no number."""

TRANSACTION_UNITS: Final = 2
"""Write units of each item in a transaction: one to prepare, one to commit."""

POLLS_PER_S: Final = 4.0
"""How often Lambda looks for records in a shard of the stream."""

WRITE_DOLLARS: Final = 0.625e-6
READ_DOLLARS: Final = 0.125e-6
"""On demand, a unit, us-east-1."""

_SIGMAS_AT_P99: Final = 2.3263


class Call(StrEnum):
    """Kinds of requests to DynamoDB."""

    GET = "GetItem"
    UPDATE = "UpdateItem"
    PUT = "PutItem"
    BATCH_GET = "BatchGetItem"
    TRANSACT_WRITE = "TransactWriteItems"


class Latency(msgspec.Struct, frozen=True):
    """How long a call takes, as a log-normal distribution.

    Attributes:
        p50_ms: Median.
        p99_ms: 99 of 100 calls are faster.
    """

    p50_ms: float
    p99_ms: float

    def draw_s(self, random: Random) -> float:
        """Return the time of one call, in seconds."""
        sigma = math.log(self.p99_ms / self.p50_ms) / _SIGMAS_AT_P99
        return self.p50_ms / 1000 * math.exp(sigma * random.gauss(0.0, 1.0))


LATENCIES: Final = {
    Call.GET: Latency(4.0, 10.0),
    Call.UPDATE: Latency(7.55, 16.2),
    Call.PUT: Latency(7.55, 16.2),
    Call.BATCH_GET: Latency(5.0, 12.0),
    Call.TRANSACT_WRITE: Latency(25.3, 92.5),
}


class Cost(NamedTuple):
    """What something costs one processor core.

    Attributes:
        fixed_ms: Each time.
        item_ms: For each item in it.
    """

    fixed_ms: float
    item_ms: float = 0.0

    def of_s(self, items: int) -> float:
        """Return the time for so many items, in seconds."""
        return (self.fixed_ms + self.item_ms * items) / 1000


class CpuCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What an API process spends on its one core.

    Attributes:
        request_ms: On each HTTP request, everything but the calls to DynamoDB, in milliseconds.
        call: On a call, and on each entry of a page in it.
        batch: On a call with many items.
    """

    request_ms: float
    call: Cost
    batch: Cost

    def call_s(self, call: Call, items: int) -> float:
        """Return what one call costs, in seconds."""
        is_batch = call in {Call.BATCH_GET, Call.TRANSACT_WRITE}
        return (self.batch if is_batch else self.call).of_s(items)


CPU: Final = CpuCosts(request_ms=0.10, call=Cost(0.19, 0.0015), batch=Cost(0.17, 0.0056))
NO_CPU: Final = CpuCosts(request_ms=0.0, call=Cost(0.0), batch=Cost(0.0))
"""Processes of as many cores as they can use: what is left is DynamoDB's share."""
