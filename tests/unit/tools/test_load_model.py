"""The model of DynamoDB's limits: what it admits, that runs can be repeated, and what the engine does in it."""

import asyncio
import itertools
import subprocess
import sys
from random import Random

import msgspec
import pytest

from counters import keys
from load.compare.baselines import layout
from load.model.assumptions import CPU, SPLIT_AFTER_S, WRITE_UNITS_PER_S, CpuCosts, Latency
from load.model.client import ModelClient, aws_network
from load.model.partitions import Partitions
from load.model.processes import ModelAccounts, make_process
from load.model.questions import Findings, ModelReport, questions, to_markdown
from load.model.run import run
from load.model.scenario import ModelStrategy, Scenario
from load.model.table import ConflictError, ModelTable, ThrottledError
from stack.harness.bucket import BURST_S
from tests.support.virtual_time import in_virtual_time


def admitted(partitions: Partitions, seconds: range, per_second: int, dice: Random | None = None) -> list[int]:
    """Return how many of so many evenly spaced writes of one unit are admitted in each second.

    Their sort keys are random if there are dice, and otherwise they only grow.
    """
    return [
        sum(
            partitions.take_write("hot", 1.0, second + n / per_second, dice.random() if dice else None)
            for n in range(per_second)
        )
        for second in seconds
    ]


class TestPartitions:
    """Units of one partition."""

    def test_a_partition_admits_a_thousand_writes_a_second_and_no_more(self) -> None:
        first, *later = admitted(Partitions(), range(5), 5000)
        assert first == pytest.approx(2 * WRITE_UNITS_PER_S, abs=1)
        assert later == pytest.approx([WRITE_UNITS_PER_S] * 4, abs=1)

    def test_what_was_not_used_is_there_for_a_burst_of_five_minutes_at_most(self) -> None:
        partitions = Partitions()
        assert partitions.take_write("hot", 1.0, 0.0)
        kept = WRITE_UNITS_PER_S * BURST_S
        assert not partitions.take_write("hot", kept + 1, 10_000.0)
        assert partitions.take_write("hot", kept, 10_000.0)

    def test_partition_keys_do_not_take_each_others_units(self) -> None:
        partitions = Partitions()
        assert partitions.take_write("hot", WRITE_UNITS_PER_S, 0.0)
        assert not partitions.take_write("hot", 1.0, 0.0)
        assert partitions.take_write("other", 1.0, 0.0)

    def test_sort_keys_that_only_grow_are_never_split(self) -> None:
        *_, last = admitted(Partitions(), range(int(SPLIT_AFTER_S) + 5), 1500)
        assert last == pytest.approx(WRITE_UNITS_PER_S, abs=1)

    def test_random_sort_keys_are_split_after_sustained_throttling(self) -> None:
        *_, last = admitted(Partitions(), range(int(SPLIT_AFTER_S) + 5), 1500, Random(1))
        assert last == 1500

    def test_throttling_with_pauses_splits_nothing(self) -> None:
        partitions = Partitions()
        for minute in range(10):
            assert not partitions.take_write("hot", 1e9, minute * 60.0, 0.5)
        assert partitions.take_write("hot", WRITE_UNITS_PER_S * BURST_S, 600.0, 0.0)
        assert admitted(partitions, range(600, 602), 3000, Random(1)) == pytest.approx([WRITE_UNITS_PER_S] * 2, abs=2)


class TestTable:
    """Conflicts and the bill."""

    @in_virtual_time
    async def test_an_item_in_a_transaction_takes_no_other_write(self) -> None:
        table = ModelTable()
        counter, entry = keys.PrimaryKey("counter", "c"), keys.PrimaryKey("entries", "1")
        table.prepare([counter, entry])
        with pytest.raises(ConflictError):
            table.prepare([counter, keys.PrimaryKey("entries", "2")])
        with pytest.raises(ConflictError):
            table.write(counter)
        table.finish([counter, entry])
        table.write(counter)
        assert table.usage.conflicts == 2

    @in_virtual_time
    async def test_a_transaction_costs_two_units_an_item(self) -> None:
        table = ModelTable()
        table.prepare([keys.PrimaryKey("counter", "c"), keys.PrimaryKey("entries", "1")])
        assert table.usage.write_units == 4


class TestBaselines:
    """What callers of the compared strategies see on the model's table."""

    @in_virtual_time
    async def test_one_of_two_transactions_at_once_fails_and_the_sdk_does_not_repeat_it(self) -> None:
        outcomes, _ = await self.create_at_once(ModelStrategy.TRANSACTIONAL)
        assert outcomes == ["created", "overloaded"]

    @in_virtual_time
    async def test_tries_with_exponential_waits_get_both_through(self) -> None:
        outcomes, table = await self.create_at_once(ModelStrategy.RETRIED_TRANSACTIONAL)
        assert outcomes == ["created", "created"]
        assert table.usage.conflicts

    @in_virtual_time
    async def test_a_transaction_without_room_is_a_refusal(self) -> None:
        outcomes, table = await self.create_at_once(ModelStrategy.RETRIED_TRANSACTIONAL, limit=1)
        assert outcomes == ["created", "refused"]
        assert table.entries.total() == 1

    @in_virtual_time
    async def test_a_conditional_update_gives_back_the_room_of_an_entry_that_was_throttled(self) -> None:
        table = ThrottledLedger()
        outcomes, _ = await self.create_at_once(ModelStrategy.CONDITIONAL, table)
        assert outcomes == ["overloaded", "overloaded"]
        assert table.usage.flushes == 4
        (counter,) = table.items.values()
        assert layout.count_of(counter) == table.entries.total() == 0

    async def create_at_once(
        self, strategy: ModelStrategy, table: ModelTable | None = None, limit: int = 10
    ) -> tuple[list[str], ModelTable]:
        """Return what became of a create on each of two processes, and the table."""
        table = table or ModelTable()
        scenario = Scenario(strategy=strategy, processes=2, callers=1, limit=limit)
        accounts = ModelAccounts(scenario)
        await accounts.store(table, scenario)
        processes = [make_process(client(table, seed), scenario) for seed in (1, 2)]
        await asyncio.gather(*(process.serve(accounts.keys[0]) for process in processes))
        outcomes = [
            *(["created"] * sum(len(process.latencies_s) for process in processes)),
            *(["overloaded"] * sum(process.errors for process in processes)),
            *(["refused"] * sum(process.refused for process in processes)),
        ]
        return outcomes, table


class ThrottledLedger(ModelTable):
    """A table that takes no entries."""

    def write(self, key: keys.PrimaryKey, spread: float | None = None) -> None:
        if key.pk.startswith(keys.ENTRIES_PREFIX):
            raise ThrottledError(key.pk)
        super().write(key, spread)


def client(table: ModelTable, seed: int) -> ModelClient:
    """Return a client of a process of its own, all of whose calls take the same time."""
    return ModelClient(table, aws_network(Random(0)), CPU, Random(seed))


def small(strategy: ModelStrategy = ModelStrategy.STRICT, /, **changes: object) -> Scenario:
    """Return a scenario that takes a moment."""
    scenario = Scenario(strategy=strategy, processes=3, callers=4, warm_up_s=0.2, window_s=0.3)
    return msgspec.structs.replace(scenario, **changes)


class TestRuns:
    """Whole runs."""

    @pytest.mark.parametrize("strategy", ModelStrategy)
    def test_the_same_seed_gives_the_same_result(self, strategy: ModelStrategy) -> None:
        result = run(small(strategy))
        assert result.creates_per_s > 0
        assert run(small(strategy)) == result

    def test_another_seed_gives_another_result(self) -> None:
        assert run(small()) != msgspec.structs.replace(run(small(seed=1)), scenario=small())

    def test_strict_fills_the_limit_and_never_goes_over_it(self) -> None:
        result = run(small(limit=100, window_s=1.0))
        assert result.overshoot == 0
        assert run(small(limit=100, warm_up_s=0.0, window_s=1.0)).creates_per_s == 100

    def test_a_conditional_update_fills_the_limit_and_never_goes_over_it(self) -> None:
        result = run(small(ModelStrategy.CONDITIONAL, limit=100, warm_up_s=0.0, window_s=1.0))
        assert (result.creates_per_s, result.overshoot) == (100, 0)

    def test_a_counter_that_is_read_and_then_counted_up_goes_over_the_limit(self) -> None:
        assert run(small(ModelStrategy.READ_CHECK, limit=100, window_s=1.0)).overshoot > 0

    def test_one_slot_takes_a_thousand_pages_a_second_of_many_entries_each(self) -> None:
        result = run(small(callers=100, warm_up_s=3.0, window_s=1.0))
        assert result.creates_per_s > 10 * WRITE_UNITS_PER_S
        assert result.write_units < 0.12

    def test_a_core_serves_no_more_than_it_can(self) -> None:
        slow = small(
            processes=1, callers=20, cpu=CpuCosts(request_ms=10.0, call=CPU.call, batch=CPU.batch), window_s=2.0
        )
        assert run(slow).creates_per_s < 105

    def test_a_million_creates_have_a_price(self) -> None:
        result = run(small())
        assert result.write_units >= 1
        assert result.dollars_per_million == pytest.approx(0.625 * result.write_units + 0.125 * result.read_units)

    def test_arrivals_come_whatever_the_answers(self) -> None:
        result = run(small(callers=0, rate_per_s=500.0, window_s=2.0))
        assert result.creates_per_s == pytest.approx(500, rel=0.1)

    def test_fifty_processes_share_a_hot_counter_evenly_and_with_few_flushes_in_vain(self) -> None:
        # Without the lanes' pace: 1,500 throttled calls a second, a p99 of 1,200 ms, and 0.61.
        result = run(small(processes=50, callers=0, rate_per_s=3000.0, slots=64, warm_up_s=3.0, window_s=2.0))
        assert result.creates_per_s == pytest.approx(3000, rel=0.05)
        assert result.throttled_per_s < 500
        assert result.p99_ms < 400
        assert result.least_share > 0.7

    def test_the_hot_counter_is_asked_about_with_every_strategy_and_number_of_processes(self) -> None:
        asked = {(one.strategy, one.processes) for question in questions(7) for one in question.scenarios}
        assert asked >= set(itertools.product(ModelStrategy, (1, 10, 50, 200)))
        assert {one.seed for question in questions(7) for one in question.scenarios} == {7}

    def test_a_report_can_be_read_back_from_its_json(self) -> None:
        report = ModelReport(0, (Findings("A title", (run(small()),)),))
        assert msgspec.json.decode(msgspec.json.encode(report), type=ModelReport) == report

    def test_findings_become_a_table(self) -> None:
        text = to_markdown(Findings("A title", (run(small()),)))
        header, rule, row = text.splitlines()[2:]
        assert header.count("|") == rule.count("|") == row.count("|")
        assert row.split("|")[1].strip() == "strict"


class TestAssumptions:
    """Latencies."""

    def test_latencies_have_the_percentiles_that_were_given(self) -> None:
        dice = Random(3)
        drawn = sorted(1000 * Latency(8.0, 20.0).draw_s(dice) for _ in range(20_000))
        assert drawn[10_000] == pytest.approx(8.0, rel=0.05)
        assert drawn[19_800] == pytest.approx(20.0, rel=0.1)


class TestBadInput:
    """What cannot be run."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"processes": 0}, "processes must be from 1 to 200, not 0"),
            ({"processes": 201}, "processes must be from 1 to 200, not 201"),
            ({"slots": 65}, "slots must be from 1 to 64, not 65"),
            ({"callers": 0, "rate_per_s": 2e6}, r"rate_per_s must be from 0 to 1e\+06, not 2e\+06"),
            ({"window_s": 0.0}, "window_s must be from 0.001 to 3600, not 0"),
            ({"rate_per_s": 5.0}, "either callers or rate_per_s must be given, and not both"),
            ({"callers": 0}, "either callers or rate_per_s must be given, and not both"),
        ],
    )
    def test_a_value_out_of_bounds_is_named(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            small(**changes)

    @pytest.mark.parametrize("arguments", [["nonsense"], ["--seed", "x"]])
    def test_a_bad_command_line_is_explained(self, arguments: list[str]) -> None:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "load.model", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert arguments[-1] in done.stderr
