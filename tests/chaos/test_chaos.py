"""Correct under fire: faults, killed processes, a Lambda that is off, and records that never came."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from stack import aws
from stack.harness.client import Request
from stack.harness.faults import STORM, FaultInjector, fault_injector
from stack.harness.ledger import Counters, TableReader
from stack.system import System
from tests.chaos.storm import run_storm
from tests.chaos.throttle import SHARE, run_throttled
from tests.support.services import RunningService, ids_of, make_service, seconds_until_settled, send

pytestmark = pytest.mark.long

StreamPosition = Literal["LATEST", "TRIM_HORIZON"]

MAPPING_SETTINGS = ("EventSourceArn", "BatchSize", "FilterCriteria", "BisectBatchOnFunctionError", "DestinationConfig")

STORM_S = 20.0
"""``./taskw chaos`` does the same for 60 s."""


@pytest.fixture
def injector(stack: System, tmp_path: Path) -> Iterator[FaultInjector]:
    """Return a fault injector in front of the emulator; the session's own processes and the Lambda do not use it."""
    with fault_injector(stack.endpoint, tmp_path) as running_injector:
        yield running_injector


def test_a_storm_breaks_no_promise_and_heals(injector: FaultInjector, table: TableReader, tmp_path: Path) -> None:
    """At every write: ledger <= best_effort <= limit; nothing acknowledged is lost; 503 at worst; healed in 30 s."""
    report = run_storm(injector, table, tmp_path, STORM_S)

    assert report.offences == []
    # Or else nothing was proven:
    assert {kind for kind, count in report.faults.items() if count} == set(STORM)
    assert {201, 204, 409} <= {answer.status for answer in report.answers}
    assert all(verdict.ledger_max == verdict.limit for verdict in report.verdicts)
    assert report.healings > 0


def test_throttling_costs_callers_time_and_nothing_else(
    injector: FaultInjector, table: TableReader, tmp_path: Path
) -> None:
    """30 percent of all calls are throttled at 64 connections: each create succeeds, and nothing leaks."""
    shown = run_throttled(injector, table, tmp_path, 4.0)

    assert set(shown.throttled.statuses) == {201}
    assert shown.faults == pytest.approx(SHARE * shown.calls, rel=0.2)
    entries = table.entries(shown.account_id)
    assert set(ids_of([*shown.calm.answers, *shown.throttled.answers])) == entries
    assert table.counters(shown.account_id).best_effort == len(entries)


def test_the_exact_counter_catches_up_when_the_lambda_was_off(stack: System, table: TableReader) -> None:
    functions = aws.lambda_client(stack.endpoint)
    mapping = read_mapping(stack)["UUID"]
    service = make_service(stack, limit=10_000)
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        created = ids_of(send([service.create(number) for number in range(1_000)]))
        send([service.delete(number, service_id) for number, service_id in enumerate(created[:300])])
        assert table.counters(service.account_id) == Counters(700, 0)
        assert read_drift(service) == 700
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    assert seconds_until_settled(table, service.account_id) < 20
    assert table.counters(service.account_id) == Counters(700, 700)


def test_lost_records_show_as_drift_are_healed_and_count_nothing_when_they_come_late(
    stack: System, table: TableReader
) -> None:
    """One account is used again before it is healed, so that its mark is past the lost records; the other is not."""
    # given
    used, unused = make_service(stack, limit=1_000), make_service(stack, limit=1_000)
    settings = delete_mapping(stack)
    for service in (used, unused):
        assert len(ids_of(send([service.create(number) for number in range(200)]))) == 200

    # when
    make_mapping(stack, settings, "LATEST")
    assert len(ids_of(send([used.create(0)]))) == 1

    # then
    assert seconds_until(lambda: table.counters(used.account_id) == Counters(201, 1)) < 20
    assert table.counters(unused.account_id) == Counters(200, 0)
    assert [read_drift(service) for service in (used, unused)] == [200, 200]

    # when
    assert seconds_until(lambda: reconcile(used) and reconcile(unused)) < 30

    # then
    assert seconds_until(lambda: [read_drift(service) for service in (used, unused)] == [0, 0]) < 20
    assert table.counters(used.account_id) == Counters(201, 201)
    assert table.counters(unused.account_id) == Counters(200, 200)

    # when
    delete_mapping(stack)
    make_mapping(stack, settings, "TRIM_HORIZON")
    last = make_service(stack, limit=1)
    assert len(ids_of(send([last.create(0)]))) == 1

    # then
    # Records come in order: whoever delivered the last one has delivered the lost ones.
    assert seconds_until(lambda: table.counters(last.account_id) == Counters(1, 1)) < 60
    assert table.counters(used.account_id) == Counters(201, 201)
    assert table.counters(unused.account_id) == Counters(200, 200)


def test_lost_records_of_an_account_in_use_are_made_up_for_while_callers_go_on(
    stack: System, table: TableReader
) -> None:
    # given
    service = make_service(stack, limit=1_000)
    settings = delete_mapping(stack)
    assert len(ids_of(send([service.create(number) for number in range(200)]))) == 200
    make_mapping(stack, settings, "LATEST")

    def is_recounted_meanwhile() -> bool:
        """Use the account, and ask for a census; tell whether both counters are right."""
        (created,) = ids_of(send([service.create(0)]))
        send([service.delete(1, created)])
        reconcile(service)
        return table.counters(service.account_id) == Counters(200, 200)

    # when
    taken_s = seconds_until(is_recounted_meanwhile)

    # then
    assert 14 < taken_s < 50
    assert len(ids_of(send([service.create(0)]))) == 1
    assert seconds_until(lambda: table.counters(service.account_id) == Counters(201, 201)) < 20


def read_mapping(stack: System) -> Mapping[str, Any]:
    """Return the one event source mapping of the Lambda."""
    found = aws.lambda_client(stack.endpoint).list_event_source_mappings(FunctionName=stack.provisioned.function)
    (mapping,) = found["EventSourceMappings"]
    return dict(mapping)


def delete_mapping(stack: System) -> Mapping[str, Any]:
    """Delete the mapping, position in the stream and all; return what it takes to make it again."""
    mapping = read_mapping(stack)
    aws.lambda_client(stack.endpoint).delete_event_source_mapping(UUID=mapping["UUID"])
    return {name: mapping[name] for name in MAPPING_SETTINGS}


def make_mapping(stack: System, settings: Mapping[str, Any], position: StreamPosition) -> None:
    """Feed the Lambda from the stream's end or from its beginning."""
    aws.lambda_client(stack.endpoint).create_event_source_mapping(
        FunctionName=stack.provisioned.function, StartingPosition=position, **settings
    )


def read_drift(service: RunningService) -> int:
    """Return what the API says about the difference of the two counters."""
    (answer,) = send([Request("GET", f"{service.urls[0]}/counts/{service.account_id}")])
    (counter,) = json.loads(answer.body)["items"]
    drift: int = counter["drift"]
    return drift


def reconcile(service: RunningService) -> bool:
    """Have both counters set to the truth; False while the counter is in use."""
    path = f"/accounts/{service.account_id}/counters/services/reconcile?force=true"
    (answer,) = send([Request("POST", f"{service.urls[0]}{path}")])
    assert answer.status in {200, 409}, answer
    return answer.status == 200


def seconds_until(condition: Callable[[], bool]) -> float:
    """Wait until a condition holds and return how long that took, or a minute if it never did."""
    start = time.monotonic()
    while not condition() and time.monotonic() - start < 60:
        time.sleep(0.5)
    return time.monotonic() - start
