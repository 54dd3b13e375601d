"""Correct under fire: ``./taskw chaos``, or ``python -m tests.chaos.run SECONDS`` for a shorter or a longer storm.

Four API processes, faults in about every fifth call to DynamoDB, two processes killed and replaced in mid-load, one
stopped past its deadline; then one process with 30 percent of its calls throttled. Exits with status 1 when anything
happened that should never happen.
"""

import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stack.emulators import ministack
from stack.harness.client import Outcome
from stack.harness.faults import fault_injector
from stack.harness.ledger import TableReader
from stack.network import free_port, url_of
from stack.provision import provision
from stack.system import DEFAULT_TABLE
from tests.chaos.clients import NO_ANSWER
from tests.chaos.storm import StormReport, run_storm
from tests.chaos.throttle import Throttled, run_throttled

_SECONDS: Final = 60.0
_THROTTLED_S: Final = 5.0
_OFFENCES_SHOWN: Final = 20


def main() -> int:
    """Run a storm, print what it showed, and return the exit status."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else _SECONDS
    with ExitStack() as stack:
        logs = Path(tempfile.mkdtemp(prefix="chaos-"))
        port = free_port()
        stack.enter_context(ministack(port, logs / "ministack.log"))
        provision(url_of(port), DEFAULT_TABLE)
        injector = stack.enter_context(fault_injector(url_of(port), logs))
        table = TableReader(url_of(port), DEFAULT_TABLE)
        report = run_storm(injector, table, logs, seconds)
        throttled = run_throttled(injector, table, logs, _THROTTLED_S)
    print(storm_to_markdown(report, seconds), throttled_to_markdown(throttled), sep="\n\n")
    for offence in report.offences[:_OFFENCES_SHOWN]:
        print(offence, file=sys.stderr)
    if report.offences:
        print(f"{len(report.offences)} offences; the logs are in {logs}", file=sys.stderr)
        return 1
    shutil.rmtree(logs)
    return 0


def storm_to_markdown(report: StormReport, seconds: float) -> str:
    """Return what the storm showed as tables."""
    statuses = Counter(answer.status for answer in report.answers)
    total = len(report.answers)
    acknowledged = Outcome([answer for answer in report.answers if answer.status in {200, 201, 204}], seconds)
    lines = [f"{total} requests in {seconds:.0f} s, {report.calls} DynamoDB calls, {report.healings} healings", ""]
    lines += ["| answer | requests | share |", "| --- | --- | --- |"]
    names = {NO_ANSWER: "none (killed or stopped)"}
    lines += [f"| {names.get(status, status)} | {n} | {n / total:.2%} |" for status, n in sorted(statuses.items())]
    p50, p99 = acknowledged.latency_ms(0.5), acknowledged.latency_ms(0.99)
    lines += ["", f"Latency of the acknowledged requests: p50 {p50:.0f} ms, p99 {p99:.0f} ms", ""]
    lines += ["| fault | calls |", "| --- | --- |"]
    lines += [f"| {kind} | {n} |" for kind, n in sorted(report.faults.items())]
    lines += ["", "| limit | most services at any instant | writes checked | leaked reservations | healed after |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one.limit} | {one.ledger_max} | {one.writes} | {one.leaked} | {_seconds(one.healed_after_s)} |"
        for one in report.verdicts
    ]
    return "\n".join(lines)


def throttled_to_markdown(shown: Throttled) -> str:
    """Return the table of the same load without and with throttling."""
    lines = ["| calls throttled | answers | creates/s | p50 ms | p99 ms |", "| --- | --- | --- | --- | --- |"]
    for share, outcome in ((0.0, shown.calm), (shown.faults / shown.calls, shown.throttled)):
        answers = ", ".join(f"{n} x {status}" for status, n in sorted(outcome.statuses.items()))
        speed = len(outcome.answers) / outcome.elapsed_s
        p50, p99 = outcome.latency_ms(0.5), outcome.latency_ms(0.99)
        lines.append(f"| {share:.0%} | {answers} | {speed:.0f} | {p50:.0f} | {p99:.0f} |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
