"""One invocation: read the batch, settle it, put aside what cannot be read, say what happened."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from counters.errors import StoreError
from counters.settlement import settle_batch
from counters.stores.aws_errors import shortage
from stream_lambda.dead_letters import DeadLetters
from stream_lambda.records import Malformed, parse_records, shard_of
from stream_lambda.settings import LambdaSettings

if TYPE_CHECKING:
    from counters.keys import CounterKey
    from counters.settlement import Censuses, SettlementStore

METRIC_NAMESPACE: Final = "distributed-counter"
MALFORMED_METRIC: Final = "malformed_records"
"""Metric with the one dimension ``table``: records that went to the dead-letter queue."""

_logger: Final = logging.getLogger(__name__)


class Consumer:
    """Consumes the events of one table's stream.

    Args:
        settings: The function's configuration.
        store: Where the counters are.
        dead_letters: Where malformed records go.
        now_ms: The clock, milliseconds since the epoch.
    """

    def __init__(
        self, settings: LambdaSettings, store: "SettlementStore", dead_letters: DeadLetters, now_ms: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._store = store
        self._dead_letters = dead_letters
        self._now_ms = now_ms
        self._censuses: dict[CounterKey, Censuses] = {}

    async def consume(self, event: Mapping[str, object], request_id: str) -> None:
        """Settle an event's records; those that cannot be read become dead letters.

        Args:
            event: What the event source mapping sent. The last event of a tumbling window has no records.
            request_id: The invocation's id, for the log.

        Raises:
            ShardMissingError: The event has no shard id although the settings require one.
            TypeError: The event did not come from a stream.
            Exception: Anything that kept the batch from being done. Deliver it again: that harms nothing.
        """
        ids: dict[str, object] = {"request_id": request_id}
        try:
            shard = ids["shard"] = shard_of(event, required=self._settings.require_shard_id)
            await self._consume(event, shard, ids)
        except Exception as error:
            throttled_by = sorted(set(_throttling_reasons(error)))
            if throttled_by:
                ids |= {"throttled_by": throttled_by, "short": shortage(throttled_by)}
            _logger.exception("batch_failed", extra={"fields": ids})
            raise

    async def _consume(self, event: Mapping[str, object], shard: str, ids: Mapping[str, object]) -> None:
        records = event.get("Records", [])
        if not isinstance(records, list):
            raise TypeError("The event's Records are not a list: it is no event of a stream.")
        batch = parse_records(records)
        tally = await settle_batch(self._store, shard, batch.changes, self._now_ms(), self._censuses)
        # Last, because a batch that fails is delivered again and would send its dead letters every time.
        await self._put_aside(batch.malformed, shard, ids)
        fields = {
            **ids,
            "records": batch.size,
            "counters": tally.counters,
            **tally.records._asdict(),
            "malformed": len(batch.malformed),
        }
        _logger.info("settled", extra={"fields": fields})
        for key in tally.damaged:
            _logger.error("counter.damaged", extra={"fields": {**ids, **key._asdict()}})
        for key in tally.counted:
            _logger.info("census.ended", extra={"fields": {**ids, **key._asdict()}})

    async def _put_aside(self, letters: list[Malformed], shard: str, ids: Mapping[str, object]) -> None:
        """Send malformed records to the dead-letter queue and count them in a metric."""
        if not letters:
            return
        for letter in letters:
            await self._dead_letters.send(letter, shard)
        reasons = Counter(letter.reason for letter in letters)
        _logger.error("malformed", extra={"fields": {**ids, "reasons": reasons, **self._metric(len(letters))}})

    def _metric(self, count: int) -> dict[str, object]:
        """Return the log fields that CloudWatch turns into a metric (its embedded metric format)."""
        directive = {
            "Namespace": METRIC_NAMESPACE,
            "Dimensions": [["table"]],
            "Metrics": [{"Name": MALFORMED_METRIC, "Unit": "Count"}],
        }
        return {
            "_aws": {"Timestamp": self._now_ms(), "CloudWatchMetrics": [directive]},
            "table": self._settings.table_name,
            MALFORMED_METRIC: count,
        }


def _throttling_reasons(error: BaseException) -> Iterator[str]:
    """Yield why DynamoDB throttled the calls that a batch failed of; none when it was something else."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _throttling_reasons(one)
    elif isinstance(error, StoreError):
        yield from error.throttled_by
