"""Options of the load test besides Locust's own: on the command line, in the environment, in the web UI."""

import math
from argparse import ArgumentParser, Namespace
from typing import Final, NamedTuple

import msgspec

_STOP_TIMEOUT_S: Final = 30
"""Longer than two requests in a row can take: what is under way at the end is seen through, or it would be missing."""


class OptionError(Exception):
    """An option makes no sense; the message says which and why."""


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        rate: Arrivals a second.
        burst: Creates of the burst.
        limit: Limit of the burst's account.
        accounts: How many accounts the skewed load has.
        zipf_exponent: How skewed it is.
        check_p99_ms: Threshold of each p99, in milliseconds; None for the scenario's own.
        check_error_share: Most of all requests that may fail, from 0 to 1.
        check_rate_share: Least of the arrivals that must be served in time, from 0 to 1.
    """

    rate: float
    burst: int
    limit: int
    accounts: int
    zipf_exponent: float
    check_p99_ms: float | None
    check_error_share: float
    check_rate_share: float


class _Option(NamedTuple):
    kind: type[int] | type[float]
    default: float | None
    least: float
    most: float
    text: str


_OPTIONS: Final = {
    "rate": _Option(float, 200.0, 0.1, 100_000, "Arrivals a second; each creates a service and deletes it"),
    "burst": _Option(int, 2000, 1, 1_000_000, "Creates that are all due at the same instant (BurstUser)"),
    "limit": _Option(int, 500, 0, 999_999, "Limit of the account that the burst is for; less than --burst"),
    "accounts": _Option(int, 100, 1, 10_000, "Accounts to choose from (ZipfUser)"),
    "zipf_exponent": _Option(float, 1.0, 0, 10, "How skewed the choice is: 0 for not at all (ZipfUser)"),
    "check_p99_ms": _Option(float, None, 0.001, 3_600_000, "Most for each p99, in ms; else 500, and 5000 for a burst"),
    "check_error_share": _Option(float, 0.0, 0, 1, "Most of all requests that may fail, from 0 to 1"),
    "check_rate_share": _Option(float, 0.95, 0, 1, "Least of the arrivals that must be served in time, from 0 to 1"),
}


def add_options(parser: ArgumentParser, scenario: str) -> None:
    """Add our options, and give Locust's own the defaults that fit.

    Args:
        parser: Locust's parser; it also knows ``env_var``, and shows the options in the web UI.
        scenario: The class that runs when none is named.
    """
    for name, (kind, default, _, _, text) in _OPTIONS.items():
        option, env_var = f"--{name.replace('_', '-')}", f"LOCUST_{name.upper()}"
        metavar = f"<{kind.__name__}>"
        # Not to a group of their own: the web UI shows only what is added to the parser itself.
        parser.add_argument(option, type=kind, default=default, metavar=metavar, help=text, env_var=env_var)
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
    numbers = {name: _number(name, option, getattr(given, name)) for name, option in _OPTIONS.items()}
    options = msgspec.convert(numbers, LoadOptions)
    if options.limit >= options.burst:
        raise OptionError(f"--limit must be less than --burst, not {options.limit}.")
    if given.num_users < 1:
        raise OptionError(f"--users must be 1 or more, not {given.num_users}.")
    if given.headless and not given.run_time:
        raise OptionError(f"--run-time must be more than 0, not {given.run_time}.")
    return options


def _number(name: str, option: _Option, given: object) -> float | None:
    # The web UI turns nothing into an empty text.
    if option.default is None and given in {None, ""}:
        return None
    try:
        number = option.kind(str(given))
    except ValueError:
        number = math.nan
    if not option.least <= number <= option.most:
        bounds = f"from {option.least:g} to {option.most:g}"
        raise OptionError(f"--{name.replace('_', '-')} must be a number {bounds}, not {given}.")
    return number
