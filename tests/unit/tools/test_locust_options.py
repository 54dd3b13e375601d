"""Options of the load test, wherever they come from."""

from argparse import Namespace

import pytest

from load.locust.options import OptionError, read_options

GOOD = {
    "rate": 200.0,
    "burst": 2000,
    "limit": 500,
    "accounts": 100,
    "zipf_exponent": 1.0,
    "check_p99_ms": None,
    "check_error_share": 0.0,
    "check_rate_share": 0.95,
    "num_users": 100,
    "run_time": 20,
    "headless": True,
}


def test_the_web_ui_leaves_out_by_an_empty_text_and_needs_no_run_time() -> None:
    given = Namespace(**GOOD | {"check_p99_ms": "", "headless": False, "run_time": None})
    assert read_options(given).check_p99_ms is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rate", 0.0, "--rate must be a number from 0.1 to 100000, not 0.0."),
        ("rate", float("inf"), "--rate must be a number from 0.1 to 100000, not inf."),
        ("rate", float("nan"), "--rate must be a number from 0.1 to 100000, not nan."),
        ("limit", 2000, "--limit must be less than --burst, not 2000."),
        ("limit", -1, "--limit must be a number from 0 to 999999, not -1."),
        ("accounts", 10_001, "--accounts must be a number from 1 to 10000, not 10001."),
        ("check_p99_ms", "fast", "--check-p99-ms must be a number from 0.001 to 3.6e+06, not fast."),
        ("check_error_share", 1.1, "--check-error-share must be a number from 0 to 1, not 1.1."),
        ("num_users", 0, "--users must be 1 or more, not 0."),
        ("run_time", 0, "--run-time must be more than 0, not 0."),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: float | str, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        read_options(Namespace(**GOOD | {name: value}))
    assert str(raised.value) == message
