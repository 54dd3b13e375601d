"""Which scenarios the model is asked about, and how their results are shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from load.model.assumptions import NO_CPU, SPLIT_AFTER_S
from load.model.scenario import ENGINE, ModelStrategy, Scenario, ScenarioResult
from load.tables import FigureTable

PROCESSES: Final = (1, 10, 50, 200)

_CALLERS: Final = 64
_SLOTS: Final = 64
_SAME_RATE_PER_S: Final = 3000.0
_BELOW_PER_S: Final = 700.0
_ABOVE_PER_S: Final = 1500.0
_SLOT_COUNTS: Final = (1, 2, 4, 8)
_ACCOUNTS: Final = 10_000
_ZIPF: Final = 1.0
_MILLION_PER_S: Final = 1_000_000.0
_STRICT: Final = ModelStrategy.STRICT

SATURATED: Final = f"One hot counter, {_CALLERS} callers per process, ledger of {_SLOTS} slots"
SAME_RATE: Final = f"One hot counter, {_SAME_RATE_PER_S:.0f} creates/s however many processes, {_SLOTS} slots"
"""Titles of the questions about every strategy."""


class Question(NamedTuple):
    """Scenarios that are shown in one table.

    Attributes:
        title: What the table shows.
        scenarios: Its rows.
    """

    title: str
    scenarios: Sequence[Scenario]


class Findings(msgspec.Struct, frozen=True):
    """What was found out about one question.

    Attributes:
        title: The question's.
        results: One for each scenario.
    """

    title: str
    results: tuple[ScenarioResult, ...]


class ModelReport(msgspec.Struct, frozen=True):
    """All findings of one run of the model."""

    seed: int
    tables: tuple[Findings, ...]


def questions(seed: int) -> Iterator[Question]:
    """Yield what the model is asked."""
    yield Question(SATURATED, _saturated(seed))
    yield Question(SAME_RATE, _same_rate(seed))
    yield Question(
        f"One hot counter, ledger of one slot, {_BELOW_PER_S:.0f} and {_ABOVE_PER_S:.0f} creates/s arriving",
        _one_slot(seed),
    )
    yield Question(
        f"One hot counter by slots: strict, 10 processes, {_SAME_RATE_PER_S:.0f} creates/s arriving", _by_slots(seed)
    )
    yield Question("Random ids of the callers' own, one slot, before and after a split for heat", _split(seed))
    yield Question(f"Many accounts ({_ACCOUNTS:,}), strict, one slot each", _many_accounts(seed))


def _saturated(seed: int) -> list[Scenario]:
    every = Scenario(seed=seed, strategy=_STRICT, processes=1, slots=_SLOTS, callers=_CALLERS)
    # The engine makes a hundred times as many creates in the time, which take as long to compute.
    return [_with(one, window_s=0.4) if one.strategy in ENGINE else one for one in _by_strategy(every)]


def _same_rate(seed: int) -> list[Scenario]:
    every = Scenario(seed=seed, strategy=_STRICT, processes=1, slots=_SLOTS, rate_per_s=_SAME_RATE_PER_S)
    return [_with(one, warm_up_s=3.0) if one.strategy in ENGINE else one for one in _by_strategy(every)]


def _by_strategy(scenario: Scenario) -> list[Scenario]:
    return [_with(one, strategy=strategy) for strategy in ModelStrategy for one in _by_processes(scenario)]


def _by_processes(scenario: Scenario) -> list[Scenario]:
    return [_with(scenario, processes=processes) for processes in PROCESSES]


_with: Final = msgspec.structs.replace


def _one_slot(seed: int) -> list[Scenario]:
    # Longer than the deadline: by then overload shows in all that it does.
    below = Scenario(seed=seed, strategy=_STRICT, processes=1, rate_per_s=_BELOW_PER_S, warm_up_s=6.0, window_s=1.5)
    return [*_by_processes(below), *_by_processes(_with(below, rate_per_s=_ABOVE_PER_S))]


def _by_slots(seed: int) -> list[Scenario]:
    one = Scenario(seed=seed, strategy=_STRICT, processes=10, rate_per_s=_SAME_RATE_PER_S, warm_up_s=6.0, window_s=1.5)
    return [_with(one, slots=slots) for slots in _SLOT_COUNTS]


def _split(seed: int) -> list[Scenario]:
    before = Scenario(
        seed=seed, strategy=_STRICT, processes=2, callers=_CALLERS // 2, own_ids=True, warm_up_s=5.0, window_s=3.0
    )
    return [before, _with(before, warm_up_s=SPLIT_AFTER_S + 5.0)]


def _many_accounts(seed: int) -> list[Scenario]:
    many = Scenario(
        seed=seed, strategy=_STRICT, processes=1, accounts=_ACCOUNTS, callers=_CALLERS, warm_up_s=0.2, window_s=0.1
    )
    a_million = _with(
        many,
        processes=max(PROCESSES),
        callers=0,
        rate_per_s=_MILLION_PER_S,
        warm_up_s=0.03,
        window_s=0.01,
        cpu=NO_CPU,
    )
    return [*_by_processes(many), a_million, _with(a_million, skew=_ZIPF)]


COLUMNS: Final[Mapping[str, Callable[[ScenarioResult], str]]] = {
    "strategy": lambda one: one.scenario.strategy,
    "load": lambda one: _load(one.scenario),
    "processes": lambda one: f"{one.scenario.processes}",
    "slots": lambda one: f"{one.scenario.slots}",
    "creates/s": lambda one: f"{one.creates_per_s:.0f}",
    "p50 ms": lambda one: f"{one.p50_ms:.0f}",
    "p99 ms": lambda one: f"{one.p99_ms:.0f}",
    "errors": lambda one: f"{one.errors:.1%}",
    "throttled/s": lambda one: f"{one.throttled_per_s:.0f}",
    "conflicts/s": lambda one: f"{one.conflicts_per_s:.0f}",
    "flushes/s": lambda one: f"{one.flushes_per_s:.0f}",
    "calls/create": lambda one: f"{one.calls_per_create:.2f}",
    "write units/create": lambda one: f"{one.write_units:.2f}",
    "of them the Lambda's": lambda one: f"{one.settle_units:.2f}",
    "read units/create": lambda one: f"{one.read_units:.2f}",
    "$ a million creates": lambda one: f"{one.dollars_per_million:.2f}",
    "least served": lambda one: f"{one.least_share:.2f}",
    "core": lambda one: f"{one.core:.0%}",
}


def to_markdown(findings: Findings) -> str:
    """Return findings as a table, without the columns that are the same in all of its rows and say nothing."""
    shown = {
        name: cell
        for name, cell in COLUMNS.items()
        if {cell(one) for one in findings.results} - {"0", "0.00", "0.0%", "0%"}
    }
    return f"### {findings.title}\n\n{FigureTable.of(shown, findings.results).to_markdown()}"


def _load(scenario: Scenario) -> str:
    spread = f", Zipf {scenario.skew:g}" if scenario.skew else ""
    cores = "" if scenario.cpu.request_ms else ", free cores"
    if scenario.callers:
        return f"{scenario.callers} callers each{spread}{cores}"
    return f"{scenario.rate_per_s:.0f}/s{spread}{cores}"
