"""Options of the load test besides Locust's own: on the command line, in the environment, in the web UI."""

import math
from argparse import ArgumentParser, Namespace
from typing import Final, NamedTuple

from load.locust.thresholds import Thresholds

P99_MS_MAX: Final = 500.0
ACCOUNTS_MAX: Final = 10_000
_STOP_TIMEOUT_S: Final = 30
"""Longer than two requests in a row can take: what is under way at the end is seen through, or it would be missing."""


class OptionError(Exception):
    """An option makes no sense; the message says which and why."""


class LoadOptions(NamedTuple):
    """What was asked for.

    Attributes:
        rate_per_s: Arrivals a second.
        burst: Creates of the burst.
        limit: Limit of the burst's account.
        accounts: How many accounts the skewed load has.
        zipf_exponent: How skewed it is.
        seed: Of the skewed choice.
        p99_ms_max: Threshold of each p99, in milliseconds; None for the scenario's own.
        error_share_max: Most of all requests that may fail, from 0 to 1.
        rate_share_min: Least of the arrivals that must be served in time, from 0 to 1.
    """

    rate_per_s: float
    burst: int
    limit: int
    accounts: int
    zipf_exponent: float
    seed: int
    p99_ms_max: float | None
    error_share_max: float
    rate_share_min: float

    def thresholds(self, p99_ms_max: float) -> Thresholds:
        """Return what has to be kept, with this p99 if none was asked for."""
        p99_ms_max = p99_ms_max if self.p99_ms_max is None else self.p99_ms_max
        return Thresholds(p99_ms_max, self.error_share_max, self.rate_share_min)


def add_options(parser: ArgumentParser, scenario: str) -> None:
    """Add our options, and give Locust's own the defaults that fit.

    Args:
        parser: Locust's parser; it also knows ``env_var``, and shows the options in the web UI.
        scenario: The class that runs when none is named.
    """
    for name, kind, default, text in (
        ("rate", float, 200.0, "Arrivals a second (ClassicUser, ZipfUser): each creates a service and deletes it"),
        ("burst", int, 2000, "Creates that are all due at the same instant (BurstUser)"),
        ("limit", int, 500, "Limit of the account that the burst is for; less than --burst"),
        ("accounts", int, 100, "Accounts to choose from (ZipfUser)"),
        ("zipf-exponent", float, 1.0, "How skewed the choice is: 0 for not at all (ZipfUser)"),
        ("seed", int, 0, "Of the choice; the same seed chooses the same accounts (ZipfUser)"),
        ("check-p99-ms", float, None, f"Most for each p99, in ms; else {P99_MS_MAX:g}, and 5000 for a burst"),
        ("check-error-share", float, 0.0, "Most of all requests that may fail, from 0 to 1"),
        ("check-rate-share", float, 0.95, "Least of the rate that must be reached, from 0 to 1"),
    ):
        env_var = f"LOCUST_{name.upper().replace('-', '_')}"
        metavar = f"<{kind.__name__}>"
        # Not to a group of their own: the web UI shows only what is added to the parser itself.
        parser.add_argument(f"--{name}", type=kind, default=default, metavar=metavar, help=text, env_var=env_var)
    parser.set_defaults(
        user_classes=parser.get_default("user_classes") or [scenario],
        num_users=100,
        # No ramp: the schedule alone says how the load rises.
        spawn_rate=100,
        run_time=20,
        stop_timeout=_STOP_TIMEOUT_S,
        # Whoever reaches the web UI can send load anywhere.
        web_host="127.0.0.1",
    )


def read_options(given: Namespace) -> LoadOptions:
    """Return the options; they come from the command line or from the web UI, which knows no bounds.

    Raises:
        OptionError: One makes no sense.
    """
    options = LoadOptions(
        rate_per_s=_number(given, "rate"),
        burst=int(_number(given, "burst")),
        limit=int(_number(given, "limit")),
        accounts=int(_number(given, "accounts")),
        zipf_exponent=_number(given, "zipf_exponent"),
        seed=int(_number(given, "seed")),
        # The web UI turns nothing into an empty text.
        p99_ms_max=None if given.check_p99_ms in {None, ""} else _number(given, "check_p99_ms"),
        error_share_max=_number(given, "check_error_share"),
        rate_share_min=_number(given, "check_rate_share"),
    )
    _require(options.rate_per_s > 0, "--rate must be more than 0", options.rate_per_s)
    _require(0 <= options.limit < options.burst, "--limit must be from 0 to less than --burst", options.limit)
    _require(1 <= options.accounts <= ACCOUNTS_MAX, f"--accounts must be from 1 to {ACCOUNTS_MAX}", options.accounts)
    _require(options.zipf_exponent >= 0, "--zipf-exponent must be 0 or more", options.zipf_exponent)
    p99_ms_max = options.p99_ms_max
    _require(p99_ms_max is None or p99_ms_max > 0, "--check-p99-ms must be more than 0", p99_ms_max)
    for name, share in (("error", options.error_share_max), ("rate", options.rate_share_min)):
        _require(0 <= share <= 1, f"--check-{name}-share must be from 0 to 1", share)
    _require(given.num_users > 0, "--users must be 1 or more", given.num_users)
    _require(not given.headless or bool(given.run_time), "--run-time must be more than 0", given.run_time)
    return options


def _number(given: Namespace, name: str) -> float:
    text = getattr(given, name)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    option = f"--{name.replace('_', '-')}"
    _require(math.isfinite(number), f"{option} must be a number", text)
    return number


def _require(holds: bool, rule: str, value: object) -> None:  # noqa: FBT001  # read as a sentence
    if not holds:
        raise OptionError(f"{rule}, not {value}.")
