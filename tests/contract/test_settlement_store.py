"""What every ``SettlementStore`` owes, run against every implementation and every backend."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping

import boto3
import pytest
from moto import mock_aws

from counters.keys import CounterKey
from counters.model import Census
from counters.settlement import (
    PRUNED_MAX,
    Censuses,
    Mark,
    PageChange,
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
from tests.support.factories import NOW_MS, answer, page_change

SHARD = "1414576573621-f55eea83"
OTHER_SHARD = "1414576999999-0badcafe"
LONGEST = 10**29 + 1
"""A sequence number of 30 digits whose last digit a floating point number cannot hold."""
FIRSTS = [2, 10**20 + 1, 10**21 + 1, LONGEST, 10**37 - 1, 10**37, 10**37 + 1, 10**38, 10**55 + 1, 10**63, 10**64 - 1]
"""Sequence numbers of 1 to 64 digits; so many that every way to store one, and each edge between two, is among them."""


def settlement(first: int, last: int, delta: int = 1, shard: str = SHARD) -> Settlement:
    return Settlement(shard=shard, first=first, last=last, delta=delta, at_ms=NOW_MS)


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

    @pytest.mark.parametrize("known", [Censuses(), Censuses(7), Censuses(8, 6), Censuses(7, 5), Censuses(None, 6)])
    async def test_settlement_by_other_censuses_is_refused_and_changes_nothing(
        self, backend: SettlementBackend, known: Censuses
    ) -> None:
        marks = {SHARD: Mark(9, 7)}
        key = backend.add_counter(3, marks, census=Census(line=7), last_census=6)
        before = read(backend, key)

        answer = await backend.store.settle(key, settlement(10, 12)._replace(censuses=known))

        assert answer == Unsettled(marks, Censuses(7, 6))
        assert read(backend, key) == before

    async def test_settlement_counts_for_the_census_under_way(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(3, {}, census=Census(line=7, total=100, answers=1))
        by_census = settlement(10, 12, delta=2)._replace(censuses=Censuses(7), census_delta=-30, census_answers=4)

        assert await backend.store.settle(key, by_census) == Settled({SHARD: Mark(12, NOW_MS)})

        counter = read(backend, key)
        assert (counter.eventual, counter.census) == (5, Census(line=7, total=70, answers=5))

    @pytest.mark.parametrize(("pages", "is_answered"), [(None, False), (1, False), (2, True), (3, False)])
    async def test_settlement_tells_when_all_pages_have_answered(
        self, backend: SettlementBackend, pages: int | None, *, is_answered: bool
    ) -> None:
        key = backend.add_counter(3, {}, census=Census(line=7, pages=pages, answers=1))
        by_census = settlement(10, 12)._replace(censuses=Censuses(7), census_answers=1)
        assert await backend.store.settle(key, by_census) == Settled({SHARD: Mark(12, NOW_MS)}, is_answered)

    async def test_census_ends_once_with_all_answers(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(3, {}, census=Census(line=7, pages=2, total=40, answers=2), last_census=6)

        assert not await backend.store.end_census(key, 8, NOW_MS)
        assert await backend.store.end_census(key, 7, NOW_MS)
        assert not await backend.store.end_census(key, 7, NOW_MS)

        counter = read(backend, key)
        assert (counter.eventual, counter.census, counter.last_census) == (40, None, 7)

    @pytest.mark.parametrize(("pages", "answers"), [(None, 0), (2, 1), (2, 3)])
    async def test_census_with_other_answers_does_not_end(
        self, backend: SettlementBackend, pages: int | None, answers: int
    ) -> None:
        key = backend.add_counter(3, {}, census=Census(line=7, pages=pages, total=40, answers=answers))
        before = read(backend, key)
        assert not await backend.store.end_census(key, 7, NOW_MS)
        assert read(backend, key) == before

    async def test_batch_over_a_census_counts_by_its_rules(self, backend: SettlementBackend) -> None:
        key = backend.add_counter(50, {}, census=Census(line=7, pages=1))
        batch = [page_change(key, 1, 9), answer(key, 2, 5, line=7), PageChange(key, 3, 0, 2, revision=8)]

        tally = await settle_batch(backend.store, SHARD, batch, NOW_MS)

        assert tally.records == RecordTotals(settled=3, delta=11)
        assert tally.counted == (key,)
        assert (read(backend, key).eventual, read(backend, key).last_census) == (7, 7)

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
