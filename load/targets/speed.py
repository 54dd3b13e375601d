"""How fast creates on one hot account are, against the plain way and against a handler that does nothing."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import uvloop

from load.command import progress
from load.compare.baselines.deployment import deploy
from load.server import ENGINE, SDK
from load.targets.findings import Finding, Measurement
from load.targets.servers import bench, bench_without_emulator, create
from stack.harness.accounts import make_account
from stack.harness.client import send_for
from stack.harness.usage import read_usage
from stack.provision import create_table

ROUNDS: Final = 15
ROUND_S: Final = 2.0
CONNECTIONS: Final = 64

_PLAIN: Final = "read-check"
_CREATE: Final = "/services"
_EMPTY: Final = "/empty"
_OWN_IDS: Final = tuple(f"order-{number}" for number in range(50_000))
"""More than a round needs. If they began anew, the stand-in would not mind."""


class _Round(NamedTuple):
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    calls_per_request: float


def measure() -> Measurement:
    """Play rounds in turns, each on an account of its own; without a Lambda, as only the API is measured.

    Raises:
        StackError: Something did not start.
        ValueError: A request failed.
    """
    here, elsewhere = _play_beside_emulator(), _play_without_emulator()
    strict, plain = here["strict"], here["plain"]
    own = _ratio(elsewhere["own ids"], elsewhere["strict"])
    tail = statistics.median(ours.p99_ms / theirs.p50_ms for ours, theirs in zip(strict, plain, strict=True))
    of_empty = "creates/s, of an empty handler's requests/s"
    return Measurement(
        target="speed",
        findings=[
            Finding.at_least("creates/s, times the plain way's", _ratio(strict, plain), 16),
            Finding.at_least(f"{of_empty}, beside the emulator", _ratio(strict, here["empty"]), 0.5),
            Finding.at_least(f"{of_empty}, DynamoDB elsewhere", _ratio(elsewhere["strict"], elsewhere["empty"]), 0.62),
            Finding.at_least("creates/s under own ids, of ours', DynamoDB elsewhere", own, 0.6),
            Finding.at_most("p99, of the plain way's p50", tail, 1),
        ],
        notes=[
            *(_note(f"beside the emulator, {name}", rounds) for name, rounds in here.items()),
            *(_note(f"DynamoDB elsewhere, {name}", rounds) for name, rounds in elsewhere.items()),
        ],
    )


def _play_beside_emulator() -> dict[str, list[_Round]]:
    with bench() as its:
        deploy(its.dynamodb.url, _PLAIN, _PLAIN)
        strict = its.serve(create_table(its.dynamodb.url), ["load.server", ENGINE]).url
        plain = its.serve(_PLAIN, ["load.server", _PLAIN, SDK]).url
        plain_with_our_client = its.serve(_PLAIN, ["load.server", _PLAIN]).url
        return _play_in_turns(
            {
                "strict": (strict, _CREATE),
                "plain": (plain, _CREATE),
                "plain, with the service's client": (plain_with_our_client, _CREATE),
                "empty": (strict, _EMPTY),
            }
        )


def _play_without_emulator() -> dict[str, list[_Round]]:
    with bench_without_emulator() as its:
        # As on AWS: no stream is read here that could miss what PartiQL writes.
        url = its.serve("any-table", ["load.server", ENGINE], OWN_IDS_IN_BATCHES="true").url
        strict, own_ids, empty = (url, _CREATE), (url, _CREATE, _OWN_IDS), (url, _EMPTY)
        return _play_in_turns({"strict": strict, "own ids": own_ids, "empty": empty})


def _play_in_turns(variants: Mapping[str, tuple[str, str] | tuple[str, str, Sequence[str]]]) -> dict[str, list[_Round]]:
    played: dict[str, list[_Round]] = {name: [] for name in variants}
    for number in range(ROUNDS):
        for name, variant in variants.items():
            progress(f"speed: round {number + 1} of {ROUNDS}: {name}")
            played[name].append(_play(*variant))
    return played


def _play(url: str, path: str, ids: Sequence[str | None] = (None,)) -> _Round:
    account_id = make_account(url)
    wanted = [create(url, account_id, path, own_id) for own_id in ids]
    before = uvloop.run(read_usage(url))
    outcome = uvloop.run(send_for(wanted, CONNECTIONS, ROUND_S))
    used = uvloop.run(read_usage(url)) - before
    done = len(outcome.answers)
    if outcome.statuses[201] != done:
        raise ValueError(f"Not every request to {path} succeeded: {dict(outcome.statuses)}")
    return _Round(done / outcome.elapsed_s, outcome.latency_ms(0.5), outcome.latency_ms(0.99), used.total_calls / done)


def _ratio(ours: Sequence[_Round], theirs: Sequence[_Round]) -> float:
    return statistics.median(a.requests_per_s / b.requests_per_s for a, b in zip(ours, theirs, strict=True))


def _note(name: str, rounds: Sequence[_Round]) -> str:
    speed, p50, p99, calls = (statistics.median(column) for column in zip(*rounds, strict=True))
    return f"{name}: {speed:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {calls:.3f} DynamoDB calls each"
