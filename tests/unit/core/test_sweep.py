"""Sweeps look at all accounts, within bounds, and heal what drifted (``docs/design/engine.md``, section 7)."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest

import api.sweep
from api.settings import ApiSettings
from counters.errors import InvalidInputError, OverloadedError
from counters.healing.settings import HealingSettings
from counters.healing.sweep import Sweeper, SweepReport, SweepSettings
from counters.keys import SERVICES, CounterKey
from counters.model import Changed, Counter, Enforcement, Healing, Refused
from counters.values.pages import Position, encode_cursor
from tests.support import factories
from tests.support.engines import DEADLINE_S, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

ROOT = Path(__file__).parents[3]
NOBODY_LISTENS = "http://127.0.0.1:9"
NOTHING = SweepReport(
    looked_at=0,
    best_effort=0,
    eventual=0,
    drift=0,
    drifted=0,
    drifted_quiet=0,
    healed=0,
    damaged=0,
    repaired=0,
    busy=0,
    failed=0,
    next_cursor=None,
)
QUIET_MS = round(HealingSettings().heal_after_s * 1000)


class TroubledStore(WatchedStore):
    """Fails for ever for chosen counters, and notes how many recounts run at once."""

    def __init__(self, latency_s: float = 0.0) -> None:
        super().__init__(latency_s)
        self.broken: dict[CounterKey, Exception] = {}
        self.used: set[CounterKey] = set()
        self.heals_now = 0
        self.heals_at_once_max = 0

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``; the first step of a healing."""
        self.heals_now += 1
        self.heals_at_once_max = max(self.heals_at_once_max, self.heals_now)
        if key in self.used:
            await self.change_counter(key, factories.reserve(1, limit=10))
        return await super().read_counter(key)

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``; the last step of a healing."""
        self.heals_now -= 1
        if key in self.broken:
            raise self.broken[key]
        return await super().heal_counter(key, healing)


async def add_counters(
    store: WatchedStore, number: int, *, best_effort: int = 0, eventual: int = 0, untouched_ms: int = QUIET_MS
) -> list[CounterKey]:
    """Store accounts with an empty ledger each, whose counter says something else."""
    keys = []
    for _ in range(number):
        account = factories.account()
        counter = factories.counter(CounterKey(account.id, SERVICES), best_effort=best_effort)
        counter = msgspec.structs.replace(
            counter,
            eventual=eventual,
            touched_at_ms=factories.NOW_MS - untouched_ms,
            # Not due for another day.
            healed_at_ms=factories.NOW_MS - untouched_ms,
            last_census_at_ms=factories.NOW_MS - untouched_ms,
        )
        await store.create_account(account, counter)
        keys.append(counter.key)
    return sorted(keys)


def make_sweeper(store: WatchedStore, **bounds: int) -> Sweeper:
    engine = make_engine(store)
    settings = msgspec.convert(bounds, SweepSettings)
    return Sweeper(
        store, engine.healer, engine.accounts.delete, random=Random(0), deadline_s=DEADLINE_S, settings=settings
    )


def healed(store: WatchedStore, keys: Sequence[CounterKey]) -> list[bool]:
    return [store.counter(key).healed_epoch == 1 for key in keys]


@in_virtual_time
async def test_drifted_counters_are_healed_and_the_others_left_alone() -> None:
    store = WatchedStore()
    right = await add_counters(store, 150)
    drifted = await add_counters(store, 120, best_effort=3)
    in_use = await add_counters(store, 5, best_effort=3, untouched_ms=QUIET_MS - 1)
    for key in in_use:
        store._counters[key] = msgspec.structs.replace(store.counter(key), enforcement=Enforcement.HYBRID)

    report = await make_engine(store).sweeper.sweep()

    assert (report.looked_at, report.drifted, report.drifted_quiet, report.healed) == (275, 125, 120, 120)
    assert (report.busy, report.failed, report.next_cursor) == (0, 0, None)
    assert all(healed(store, drifted))
    assert not any(healed(store, [*right, *in_use]))
    assert all(store.counter(key).best_effort == 0 for key in drifted)


@in_virtual_time
async def test_a_second_sweep_finds_nothing_to_do() -> None:
    store = WatchedStore()
    await add_counters(store, 10, best_effort=3)
    sweeper = make_sweeper(store)
    assert (await sweeper.sweep()).healed == 10
    assert await sweeper.sweep() == msgspec.structs.replace(NOTHING, looked_at=10)


@in_virtual_time
async def test_a_table_without_accounts_is_swept() -> None:
    assert await make_sweeper(WatchedStore()).sweep() == NOTHING


@in_virtual_time
async def test_the_report_has_the_totals_of_what_it_found() -> None:
    store = WatchedStore()
    await add_counters(store, 2, best_effort=3, eventual=3)
    await add_counters(store, 4, best_effort=5, eventual=3)
    # Ahead of the immediate count: in a sum of differences it would make up for the others.
    await add_counters(store, 1, best_effort=0, eventual=8, untouched_ms=0)
    report = await make_sweeper(store).sweep()
    assert (report.best_effort, report.eventual) == (26, 26)
    assert (report.drift, report.drifted, report.drifted_quiet) == (16, 5, 4)


@pytest.mark.parametrize("bounds", [{"accounts_max": 7}, {"accounts_max": 100}, {"heals_max": 7}, {"heals_max": 1}])
@pytest.mark.parametrize("number", [1, 7, 14, 100, 101, 215])
def test_bounded_sweeps_reach_every_counter_once(bounds: dict[str, int], number: int) -> None:
    @in_virtual_time
    async def history() -> None:
        store = WatchedStore()
        keys = await add_counters(store, number, best_effort=3)
        sweeper = make_sweeper(store, **bounds)
        [bound] = bounds.values()
        reports = [await sweeper.sweep()]
        while reports[-1].next_cursor:
            reports.append(await sweeper.sweep(reports[-1].next_cursor))
        assert [report.looked_at for report in reports] == [
            min(bound, number - done) for done in range(0, number, bound)
        ]
        assert sum(report.healed for report in reports) == number
        assert all(healed(store, keys))

    history()


@in_virtual_time
async def test_counters_that_always_fail_do_not_hold_up_those_behind_them() -> None:
    store = TroubledStore()
    keys = await add_counters(store, 20, best_effort=3)
    store.broken = {key: OverloadedError("no answer") for key in keys[:5]}
    sweeper = make_sweeper(store, heals_max=5)
    first = await sweeper.sweep()
    assert (first.healed, first.failed) == (0, 5)
    second = await sweeper.sweep(first.next_cursor)
    assert (second.healed, second.failed) == (5, 0)
    assert healed(store, keys) == [False] * 5 + [True] * 5 + [False] * 10


@in_virtual_time
async def test_one_counter_s_trouble_stops_no_other_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "counters.healing")
    store = TroubledStore()
    keys = await add_counters(store, 10, best_effort=3)
    store.broken = {keys[1]: KeyError("amount"), keys[4]: OverloadedError("no answer")}
    store.used = {keys[7]}
    store.fail("heal_counter", Fault.ANSWER_LOST)

    report = await make_sweeper(store, concurrency_max=1).sweep()

    assert (report.drifted, report.healed, report.busy, report.failed) == (10, 6, 1, 3)
    assert not any(healed(store, [keys[1], keys[4], keys[7]]))
    told = [vars(record)["fields"] for record in caplog.records if record.message == "counter.not_healed"]
    assert [one["account_id"] for one in told] == [keys[index].account_id for index in (0, 1, 4, 7)]
    assert told[1]["reason"] == "KeyError('amount')"


@in_virtual_time
async def test_an_account_deleted_meanwhile_is_no_failure() -> None:
    class DeletingStore(WatchedStore):
        """Loses the account between the look and the healing."""

        async def read_counter(self, key: CounterKey) -> Counter | None:
            await self.close_counter(key, factories.NOW_MS)
            await self.delete_account(key, factories.NOW_MS)
            return await super().read_counter(key)

    store = DeletingStore()
    await add_counters(store, 2, best_effort=3)
    report = await make_sweeper(store).sweep()
    assert (report.looked_at, report.busy, report.failed) == (2, 2, 0)


@in_virtual_time
async def test_a_directory_line_without_a_counter_is_passed_over() -> None:
    store = WatchedStore()
    keys = await add_counters(store, 3, best_effort=3)
    del store._counters[keys[1]]
    report = await make_sweeper(store).sweep()
    assert (report.looked_at, report.drifted, report.healed) == (3, 2, 2)


@pytest.mark.parametrize("concurrency_max", [1, 4])
def test_only_so_many_recounts_run_at_once(concurrency_max: int) -> None:
    @in_virtual_time
    async def history() -> None:
        store = TroubledStore(latency_s=0.01)
        await add_counters(store, 30, best_effort=3)
        await make_sweeper(store, concurrency_max=concurrency_max).sweep()
        assert store.heals_at_once_max == concurrency_max

    history()


@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor(Position("accounts", 0, "account-1"))])
async def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="cursor"):
        await make_sweeper(WatchedStore()).sweep(cursor)


@in_virtual_time
async def test_the_process_goes_on_until_all_accounts_were_looked_at(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = WatchedStore()
    keys = await add_counters(store, 16, best_effort=3)
    engine = make_engine(store)
    monkeypatch.setattr(engine, "sweeper", make_sweeper(store, accounts_max=7))
    monkeypatch.setattr(sys, "argv", ["sweep"])
    caplog.set_level("INFO", "api.sweep")

    await api.sweep._sweep(engine, ApiSettings())

    reports = [vars(record)["fields"] for record in caplog.records if record.message == "sweep.finished"]
    assert [report["looked_at"] for report in reports] == [7, 7, 2]
    assert all(healed(store, keys))


async def run_process(*arguments: str, **environ: str) -> tuple[int | None, str, str]:
    """Run ``python -m api.sweep``; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api.sweep",
        *arguments,
        cwd=ROOT,
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_a_database_that_does_not_answer_is_one_event_and_an_exit_code() -> None:
    code, stdout, stderr = await run_process(AWS_ENDPOINT_URL=NOBODY_LISTENS, OPERATION_DEADLINE_MS="100")
    assert (code, stderr) == (1, "")
    [line] = stdout.splitlines()
    assert json.loads(line)["event"] == "sweep.failed"


@pytest.mark.parametrize(
    ("arguments", "environ", "variable"), [([], {"PORT": "http"}, "PORT"), (["nonsense"], {}, "CURSOR")]
)
async def test_what_it_cannot_start_with_is_one_line(
    arguments: list[str], environ: dict[str, str], variable: str
) -> None:
    code, stdout, stderr = await run_process(*arguments, AWS_ENDPOINT_URL=NOBODY_LISTENS, **environ)
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith(f"{variable}: ")
