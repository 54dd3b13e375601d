"""What every ``SettlementStore`` owes, run against every implementation and every backend."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping

import boto3
import pytest
from moto import mock_aws

from counters.keys import CounterKey
from counters.settlement import (
    PRUNED_MAX,
    EntryChange,
    Mark,
    RecordTotals,
    Settled,
    Settlement,
    Unsettled,
    settle_batch,
)
from tests.contract.settlement_backends import (
    BEST_EFFORT,
    DynamoBackend,
    MemoryBackend,
    RawCounter,
    SettlementBackend,
)
from tests.support.factories import NOW_MS

SHARD = "1414576573621-f55eea83"
OTHER_SHARD = "1414576999999-0badcafe"
LONGEST = 10**29 + 1
"""A sequence number of 30 digits whose last digit a floating point number cannot hold."""
FIRSTS = [2, 10**20 + 1, 10**21 + 1, LONGEST, 10**37 - 1, 10**37, 10**37 + 1, 10**38, 10**55 + 1, 10**63, 10**64 - 1]
"""Sequence numbers of 1 to 64 digits; so many that every way to store one, and each edge between two, is among them."""


def settlement(first: int, last: int, delta: int = 1, shard: str = SHARD, oldest_ms: int = NOW_MS - 1000) -> Settlement:
    return Settlement(shard=shard, first=first, last=last, delta=delta, oldest_ms=oldest_ms, at_ms=NOW_MS)


def read(backend: SettlementBackend, key: CounterKey) -> RawCounter:
    counter = backend.read_counter(key)
    assert counter is not None
    return counter


@pytest.fixture(scope="module")
def server_backend(dynamodb_endpoint: str) -> Iterator[SettlementBackend]:
    """One table on each server in turn."""
    client = boto3.client("dynamodb", endpoint_url=dynamodb_endpoint)
    yield DynamoBackend(client)
    client.close()


class SettlementStoreContract:
    """The tests; a subclass says on which backend."""

    async def test_settling_adds_the_delta_and_sets_the_mark(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(40, {})

        answer = await backend.store.settle(key, settlement(100, 105, delta=2))

        marks = {SHARD: Mark(105, NOW_MS)}
        assert answer == Settled(marks)
        assert read(backend, key) == RawCounter(42, BEST_EFFORT, NOW_MS, marks)

    async def test_settling_again_is_refused_and_changes_nothing(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(0, {})
        await backend.store.settle(key, settlement(100, 105))
        before = read(backend, key)

        answer = await backend.store.settle(key, settlement(100, 105))

        assert answer == Unsettled({SHARD: Mark(105, NOW_MS)})
        assert read(backend, key) == before

    async def test_negative_delta_may_take_the_count_below_zero(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(1, {})
        await backend.store.settle(key, settlement(1, 1, delta=-3))
        assert read(backend, key).eventual == -2

    async def test_zero_delta_moves_the_mark(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(5, {SHARD: Mark(10, 1)})
        await backend.store.settle(key, settlement(11, 12, delta=0))
        assert read(backend, key) == RawCounter(5, BEST_EFFORT, NOW_MS, {SHARD: Mark(12, NOW_MS)})

    @pytest.mark.parametrize("first", FIRSTS)
    async def test_mark_just_below_the_first_record_lets_it_pass(self, backend: SettlementBackend, first: int) -> None:
        key = backend.add_counter(0, {SHARD: Mark(first - 1, 1)})
        assert await backend.store.settle(key, settlement(first, first)) == Settled({SHARD: Mark(first, NOW_MS)})
        assert read(backend, key).marks == {SHARD: Mark(first, NOW_MS)}

    @pytest.mark.parametrize("first", FIRSTS)
    @pytest.mark.parametrize("behind", [0, 1])
    async def test_mark_at_or_past_the_first_record_refuses(
        self, backend: SettlementBackend, first: int, behind: int
    ) -> None:
        marks = {SHARD: Mark(first, 1)}
        key = backend.add_counter(3, marks)
        assert await backend.store.settle(key, settlement(first - behind, first)) == Unsettled(marks)
        assert read(backend, key) == RawCounter(3, BEST_EFFORT, None, marks)

    @pytest.mark.parametrize(("shorter", "longer"), [*itertools.pairwise([1, 21, 22, 30, 37, 38, 39, 56, 64])])
    async def test_sequence_number_of_more_digits_is_the_larger_one(
        self, backend: SettlementBackend, shorter: int, longer: int
    ) -> None:
        """As text, without leading zeros, "9" would come after "10"."""
        low, high = 10**shorter - 1, 10 ** (longer - 1)
        key = backend.add_counter(0, {SHARD: Mark(low, 1)})
        assert await backend.store.settle(key, settlement(high, high)) == Settled({SHARD: Mark(high, NOW_MS)})
        assert await backend.store.settle(key, settlement(low, low)) == Unsettled({SHARD: Mark(high, NOW_MS)})

    async def test_marks_of_other_shards_do_not_matter_and_stay(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(0, {OTHER_SHARD: Mark(LONGEST, 7)})
        answer = await backend.store.settle(key, settlement(1, 2))
        assert answer == Settled({OTHER_SHARD: Mark(LONGEST, 7), SHARD: Mark(2, NOW_MS)})

    @pytest.mark.parametrize("shard", ["only", "a.b-c", "size", "[0]", "#at"])
    async def test_any_shard_label_is_only_a_name(self, backend: SettlementBackend, shard: str) -> None:
        key = backend.add_counter(0, {})
        await backend.store.settle(key, settlement(1, 1, shard=shard))
        assert read(backend, key).marks == {shard: Mark(1, NOW_MS)}
        await backend.store.prune_marks(key, [shard], NOW_MS + 1)
        assert read(backend, key).marks == {}

    async def test_records_older_than_the_recount_are_refused_and_change_nothing(
        self, backend: SettlementBackend
    ) -> None:
        marks = {SHARD: Mark(9, 7)}
        key = backend.add_counter(3, marks, counted_from_ms=NOW_MS - 5000)

        answer = await backend.store.settle(key, settlement(10, 12, oldest_ms=NOW_MS - 5001))

        assert answer == Unsettled(marks, NOW_MS - 5000)
        assert read(backend, key) == RawCounter(3, BEST_EFFORT, None, marks)

    @pytest.mark.parametrize("newer_ms", [0, 1, 1000])
    async def test_records_from_the_recount_on_are_settled(self, backend: SettlementBackend, newer_ms: int) -> None:
        key = backend.add_counter(3, {}, counted_from_ms=NOW_MS - 5000)

        answer = await backend.store.settle(key, settlement(10, 12, delta=2, oldest_ms=NOW_MS - 5000 + newer_ms))

        assert answer == Settled({SHARD: Mark(12, NOW_MS)})
        assert read(backend, key).eventual == 5

    async def test_mark_refuses_also_what_is_newer_than_the_recount(self, backend: SettlementBackend) -> None:
        marks = {SHARD: Mark(10, 7)}
        key = backend.add_counter(3, marks, counted_from_ms=NOW_MS - 5000)
        assert await backend.store.settle(key, settlement(10, 12)) == Unsettled(marks, NOW_MS - 5000)

    async def test_batch_across_a_recount_is_settled_from_there_on(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(3, {}, counted_from_ms=NOW_MS - 5000)
        batch = [EntryChange(key, number, 10**number, NOW_MS - 6000 + number * 500) for number in range(4)]

        tally = await settle_batch(backend.store, SHARD, batch, NOW_MS)

        assert tally.records == RecordTotals(settled=2, delta=1100, skipped=2)
        assert read(backend, key) == RawCounter(1103, BEST_EFFORT, NOW_MS, {SHARD: Mark(3, NOW_MS)})

    async def test_counter_that_does_not_exist_is_reported_and_not_made(self, backend: SettlementBackend) -> None:
        key = CounterKey("nobody", "services")
        assert await backend.store.settle(key, settlement(1, 1)) == Unsettled(None)
        assert backend.read_counter(key) is None

    async def test_pruning_drops_the_named_marks_and_nothing_else(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(
            3, {"old": Mark(1, 10), "older": Mark(2, 5), "oldest": Mark(3, 1), SHARD: Mark(4, 99)}
        )
        await backend.store.prune_marks(key, ["old", "oldest"], 50)
        assert read(backend, key) == RawCounter(3, BEST_EFFORT, None, {"older": Mark(2, 5), SHARD: Mark(4, 99)})

    @pytest.mark.parametrize("at_ms", [50, 51])
    async def test_pruning_drops_nothing_when_one_of_the_marks_is_young(
        self, backend: SettlementBackend, at_ms: int
    ) -> None:
        marks: Mapping[str, Mark] = {"old": Mark(1, 10), "young": Mark(2, at_ms)}
        key = backend.add_counter(3, marks)
        await backend.store.prune_marks(key, ["old", "young"], 50)
        assert read(backend, key).marks == marks

    async def test_pruning_a_counter_that_does_not_exist_does_not_make_it(self, backend: SettlementBackend) -> None:
        key = CounterKey("nobody", "services")
        await backend.store.prune_marks(key, ["old"], 50)
        assert backend.read_counter(key) is None

    async def test_as_many_marks_as_the_rules_prune_at_once_go_in_one_call(self, backend: SettlementBackend) -> None:
        shards = [f"14145765{index:05}-f55eea83" for index in range(PRUNED_MAX)]
        key = backend.add_counter(0, {shard: Mark(LONGEST, 1) for shard in shards})
        await backend.store.prune_marks(key, shards, 50)
        assert read(backend, key).marks == {}


class TestMemory(SettlementStoreContract):
    """The model itself."""

    @pytest.fixture
    def backend(self) -> SettlementBackend:
        return MemoryBackend()


class TestMoto(SettlementStoreContract):
    """The Lambda's store, in process."""

    @pytest.fixture
    def backend(self) -> Iterator[SettlementBackend]:
        with mock_aws():
            client = boto3.client("dynamodb")
            yield DynamoBackend(client)
            client.close()


class TestServers(SettlementStoreContract):
    """The Lambda's store over the wire; DynamoDB Local is the strict judge of its expressions."""

    @pytest.fixture
    def backend(self, server_backend: SettlementBackend) -> SettlementBackend:
        return server_backend

    async def test_of_many_deliveries_at_the_same_moment_one_is_counted(self, backend: SettlementBackend) -> None:
        """Not on moto, which loses updates between threads."""
        key = backend.add_counter(0, {})

        answers = await asyncio.gather(*(backend.store.settle(key, settlement(1, 4, delta=3)) for _ in range(8)))

        assert [type(answer) for answer in answers].count(Settled) == 1
        assert read(backend, key).eventual == 3
