"""How fast creates on one hot account are, against the plain way and against a handler that does nothing."""

import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import uvloop

from load.baselines.deployment import deploy
from load.client import send_for
from load.server import ENGINE
from load.targets.findings import Finding, Measurement
from load.targets.servers import bench, create, make_account, progress
from load.usage import read_usage
from stack.provision import create_table

ROUNDS: Final = 5
ROUND_S: Final = 4.0
CONNECTIONS: Final = 64

_PLAIN: Final = "read-check"


class _Round(NamedTuple):
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    calls_per_request: float


def measure() -> Measurement:
    """Play rounds of all three in turns, each round on an account of its own; without a Lambda, as only the API counts.

    Raises:
        StackError: Something did not start.
        ValueError: A request failed.
    """
    with bench() as its:
        endpoint = its.emulator.url
        deploy(endpoint, _PLAIN, "plain")
        strict = its.serve(create_table(endpoint), ["load.server", ENGINE])
        plain = its.serve("plain", ["load.server", _PLAIN])
        played: dict[str, list[_Round]] = {"strict": [], "plain": [], "empty": []}
        for number in range(ROUNDS):
            for name, server in (("strict", strict), ("plain", plain), ("empty", strict)):
                progress(f"speed: round {number + 1} of {ROUNDS}: {name}")
                played[name].append(_play(server.url, "/empty" if name == "empty" else "/services"))
    strict_rounds, plain_rounds, empty_rounds = played.values()
    return Measurement(
        target="speed",
        findings=[
            Finding.at_least("creates/s, times the plain way's", _ratio(strict_rounds, plain_rounds, _speed), 10),
            Finding.at_least(
                "creates/s, of an empty handler's requests/s", _ratio(strict_rounds, empty_rounds, _speed), 0.5
            ),
            Finding.at_most(
                "p99, of the plain way's p50",
                statistics.median(a.p99_ms / b.p50_ms for a, b in zip(strict_rounds, plain_rounds, strict=True)),
                1,
            ),
        ],
        notes=[_note(name, rounds) for name, rounds in played.items()],
    )


def _play(url: str, path: str) -> _Round:
    request = create(url, make_account(url), path)
    before = uvloop.run(read_usage(url))
    outcome = uvloop.run(send_for([request], CONNECTIONS, ROUND_S))
    used = uvloop.run(read_usage(url)) - before
    requests = len(outcome.answers)
    if outcome.statuses[201] != requests:
        raise ValueError(f"Not every request to {path} succeeded: {dict(outcome.statuses)}")
    return _Round(
        requests / outcome.elapsed_s, outcome.latency_ms(0.5), outcome.latency_ms(0.99), used.total_calls / requests
    )


def _speed(played: _Round) -> float:
    return played.requests_per_s


def _ratio(ours: Sequence[_Round], theirs: Sequence[_Round], figure: Callable[[_Round], float]) -> float:
    return statistics.median(figure(a) / figure(b) for a, b in zip(ours, theirs, strict=True))


def _note(name: str, rounds: Sequence[_Round]) -> str:
    speed, p50, p99, calls = (statistics.median(column) for column in zip(*rounds, strict=True))
    return f"{name}: {speed:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {calls:.3f} DynamoDB calls each"
