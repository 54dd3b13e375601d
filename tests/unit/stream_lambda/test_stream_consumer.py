"""An event is settled, what cannot be read is put aside, and one line says what happened."""

import logging
from typing import Any

import pytest

from counters.errors import OutcomeUnknownError, StoreError
from counters.keys import CounterKey
from counters.settlement import Settled, Settlement, Unsettled
from counters.stores.memory import MemoryStore
from stream_lambda.consumer import Consumer
from stream_lambda.records import Malformed, ShardMissingError
from stream_lambda.settings import LambdaSettings
from tests.support import events, factories
from tests.support.events import KEY
from tests.support.factories import NOW_MS
from tests.support.hands import MemoryHand

IDS = {"request_id": "request-1", "shard": "1789999000000-f55eea83"}


class FakeDeadLetters:
    """Keeps letters in a list, or fails."""

    def __init__(self) -> None:
        self.letters: list[tuple[Malformed, str]] = []
        self.is_down = False

    async def send(self, letter: Malformed, shard: str) -> None:
        """See ``DeadLetters``."""
        if self.is_down:
            raise ConnectionError("no queue")
        self.letters.append((letter, shard))


class FailingStore(MemoryStore):
    """A store in memory that settles, or fails."""

    is_down = False
    failure: StoreError = OutcomeUnknownError("time-out")

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        if self.is_down:
            raise self.failure
        return await super().settle(key, settlement)


class ConsumerBench:
    """A consumer, everything around it, and the counter of the recorded events."""

    def __init__(self, *, require_shard_id: bool = True) -> None:
        self.store = FailingStore()
        self.dead_letters = FakeDeadLetters()
        settings = LambdaSettings("counters", "unused", require_shard_id=require_shard_id)
        self._consumer = Consumer(settings, self.store, self.dead_letters, lambda: NOW_MS)

    async def consume(self, event: dict[str, Any]) -> None:
        await self._consumer.consume(event, "request-1")

    async def add_counter(self) -> None:
        await self.store.create_account(factories.account(KEY.account_id), factories.counter(KEY))

    async def eventual(self) -> int:
        counter = await self.store.read_counter(KEY)
        assert counter is not None
        return counter.eventual


@pytest.fixture
async def bench() -> ConsumerBench:
    bench = ConsumerBench()
    await bench.add_counter()
    return bench


@pytest.fixture(autouse=True)
def all_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stream_lambda")


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """Return the events that were logged, with their fields."""
    return [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]


def damaged_event() -> dict[str, Any]:
    """Return an event whose first two records are malformed, each in its own way."""
    event = events.load("aws_window")
    del event["Records"][0]["dynamodb"]["NewImage"]
    event["Records"][1]["dynamodb"]["Keys"]["PK"]["S"] = "ENTRIES#?"
    return event


async def test_event_of_aws_is_settled_and_told_in_one_line(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.consume(events.load("aws_window"))
    assert await bench.eventual() == 4
    counts = {
        "records": 4,
        "counters": 1,
        "settled": 3,
        "delta": 4,
        "skipped": 0,
        "orphaned": 0,
        "damaged": 0,
        "malformed": 0,
    }
    assert logged(caplog) == [("settled", {**IDS, **counts})]


async def test_a_damaged_counter_is_told_by_its_key_and_ends_no_batch(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    MemoryHand(bench.store).set_counter(KEY, "eventual", {"S": "3"})
    await bench.consume(events.load("aws_window"))
    (settled, counts), (damaged, fields) = logged(caplog)
    assert (settled, counts["settled"], counts["damaged"]) == ("settled", 0, 3)
    assert (damaged, fields) == ("counter.damaged", {**IDS, **KEY._asdict()})


async def test_redelivery_is_told_as_skipped(bench: ConsumerBench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        await bench.consume(events.load("aws_window"))
    assert await bench.eventual() == 4
    _, fields = logged(caplog)[1]
    assert (fields["settled"], fields["delta"], fields["skipped"]) == (0, 0, 3)


async def test_counter_that_is_gone_is_told_as_orphaned(caplog: pytest.LogCaptureFixture) -> None:
    await ConsumerBench().consume(events.load("aws_window"))
    assert logged(caplog)[0][1]["orphaned"] == 3


async def test_last_event_of_a_window_has_nothing_to_settle(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.consume(events.load("aws_window_end"))
    assert await bench.eventual() == 0
    assert logged(caplog)[0][1]["records"] == 0


async def test_events_without_a_shard_share_one_mark() -> None:
    bench = ConsumerBench(require_shard_id=False)
    await bench.add_counter()
    for name in ("ministack_insert", "ministack_modify_and_remove", "ministack_insert"):
        await bench.consume(events.load(name))
    assert await bench.eventual() == 0
    assert bench.store._marks[KEY].keys() == {"only"}


async def test_missing_shard_is_an_error_when_it_is_required(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ShardMissingError):
        await bench.consume(events.load("ministack_insert"))
    assert await bench.eventual() == 0
    assert logged(caplog) == [("batch_failed", {"request_id": "request-1"})]


async def test_event_of_another_service_is_an_error(bench: ConsumerBench) -> None:
    with pytest.raises(TypeError):
        await bench.consume({"shardId": "a", "Records": "none"})


async def test_malformed_records_become_dead_letters_and_the_others_count(bench: ConsumerBench) -> None:
    event = damaged_event()
    await bench.consume(event)
    assert await bench.eventual() == -1
    assert bench.dead_letters.letters == [
        (
            Malformed(event["Records"][0], "no image of the page"),
            "1789999000000-f55eea83",
        ),
        (Malformed(event["Records"][1], "unknown form of partition key"), "1789999000000-f55eea83"),
    ]


async def test_malformed_records_are_counted_in_a_metric(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.consume(damaged_event())

    (name, fields), (_, settled) = logged(caplog)
    assert name == "malformed"
    assert fields == {
        **IDS,
        "reasons": {"no image of the page": 1, "unknown form of partition key": 1},
        "_aws": {
            "Timestamp": NOW_MS,
            "CloudWatchMetrics": [
                {
                    "Namespace": "distributed-counter",
                    "Dimensions": [["table"]],
                    "Metrics": [{"Name": "malformed_records", "Unit": "Count"}],
                }
            ],
        },
        "table": "counters",
        "malformed_records": 2,
    }
    assert settled["malformed"] == 2


async def test_the_log_of_a_failed_batch_tells_a_hot_item_from_a_short_table(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.is_down = True
    bench.store.failure = OutcomeUnknownError("throttled", throttled_by=("TableWriteKeyRangeThroughputExceeded",))
    with pytest.raises(ExceptionGroup):
        await bench.consume(events.load("aws_window"))
    expected = {**IDS, "throttled_by": ["TableWriteKeyRangeThroughputExceeded"], "short": "item"}
    assert logged(caplog) == [("batch_failed", expected)]


async def test_queue_that_fails_fails_the_batch_and_a_redelivery_loses_nothing(
    bench: ConsumerBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.dead_letters.is_down = True
    with pytest.raises(ConnectionError):
        await bench.consume(damaged_event())
    assert [name for name, _ in logged(caplog)] == ["batch_failed"]

    bench.dead_letters.is_down = False
    await bench.consume(damaged_event())
    assert len(bench.dead_letters.letters) == 2
    assert await bench.eventual() == -1


async def test_batch_that_cannot_be_settled_sends_no_dead_letters(bench: ConsumerBench) -> None:
    """It is delivered again, and would send them every time."""
    bench.store.is_down = True
    with pytest.raises(ExceptionGroup):
        await bench.consume(damaged_event())
    assert bench.dead_letters.letters == []
