"""The comparison's command line and its table."""

import msgspec
import pytest

from load.compare import __main__ as command
from load.compare.results import Comparison, Result, Round, to_markdown

ROUND = Round(
    creates_per_s=1000.4,
    p50_ms=10.0,
    p99_ms=20.0,
    errors=1,
    overshoot=0,
    refused_with_room=2,
    calls_per_create=0.125,
    write_units_per_create=1.04,
    read_units_per_create=0.5,
    lambda_writes_per_create=0.0104,
    exact_after_s=0.25,
)


def comparison(*rounds: Round) -> Comparison:
    """Return what a run with one strategy found."""
    result = Result(strategy="strict", what="reserve, then write", rounds=rounds, served_in_outage=0.5)
    return Comparison(
        started_at="2026-01-01", endpoint="MiniStack", processors=2, python="3.11.7", sizes={}, results=[result]
    )


def cells(*rounds: Round) -> dict[str, str]:
    """Return the one row of the table by its columns."""
    header, rule, row, *_ = to_markdown(comparison(*rounds)).splitlines()
    assert set(rule) == {"|", "-"}
    columns, values = ([cell.strip() for cell in line.strip("|").split("|")] for line in (header, row))
    return dict(zip(columns, values, strict=True))


def test_the_table_has_a_row_and_a_sentence_for_each_strategy() -> None:
    assert cells(ROUND) == {
        "strategy": "strict",
        "creates/s": "1000",
        "p50 ms": "10.0",
        "p99 ms": "20.0",
        "errors": "1",
        "over the limit": "0",
        "refused with room": "2",
        "calls/create": "0.125",
        "API's write units/create": "1.040",
        "Lambda's": "0.010",
        "read units/create": "0.500",
        "exact after s": "0.25",
        "served in an outage": "50%",
    }
    assert to_markdown(comparison(ROUND)).splitlines()[-1] == "- **strict**: reserve, then write"


def test_speed_is_the_median_and_what_should_not_happen_the_worst_round() -> None:
    fast = msgspec.structs.replace(ROUND, creates_per_s=2000.0, overshoot=7, errors=4, refused_with_room=0)
    faster = msgspec.structs.replace(ROUND, creates_per_s=3000.0, errors=0)
    shown = cells(ROUND, fast, faster)
    assert (shown["creates/s"], shown["over the limit"], shown["refused with room"]) == ("2000", "7", "2")
    assert shown["errors"] == "5"


def test_one_round_that_never_got_exact_is_not_hidden_by_the_others() -> None:
    never = msgspec.structs.replace(ROUND, exact_after_s=None)
    assert cells(ROUND, never, ROUND)["exact after s"] == "never"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds must be from 1 to 100, not 0"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--seconds", "nan"], "--seconds must be from 0.3 to 60, not nan"),
        (["--seconds", "61"], "--seconds must be from 0.3 to 60, not 61"),
        (["strict"], "unrecognized arguments: strict"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_an_endpoint_that_nobody_serves_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["compare"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert command.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("load:compare: Nobody answers at http://127.0.0.1:9")
