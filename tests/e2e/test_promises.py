"""What the service promises, over HTTP, on the stack of ``./taskw up``; the truth is read from the table itself."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Timer

import pytest

from stack import aws
from stack.harness.client import send_for
from stack.harness.ledger import TableReader
from stack.system import System
from tests.support.services import RunningService, ids_of, make_service, seconds_until_settled, send
from tests.support.systems import api_process

pytestmark = pytest.mark.long

SETTLE_WITHIN_S = 5.0


@pytest.mark.parametrize("attempt", range(20))
def test_a_burst_is_stopped_exactly_at_the_limit(stack: System, table: TableReader, attempt: int) -> None:
    """5,000 creates at once through four processes against a limit of 500; 20 times, as races are rare."""
    service = make_service(stack, limit=500)
    answers = send([service.create(number) for number in range(5_000)])
    created = ids_of(answers)
    assert len(created) == len(set(created)) == 500
    assert table.entries(service.account_id) == set(created), f"attempt {attempt}"
    assert table.counters(service.account_id).best_effort == 500
    refusals = [answer for answer in answers if answer.status != 201]
    assert {answer.status for answer in refusals} == {409}
    assert {answer.content_type for answer in refusals} == {"application/problem+json"}
    assert {(json.loads(answer.body)["limit"], json.loads(answer.body)["value"]) for answer in refusals} == {(500, 500)}


def test_no_room_is_lost_when_creates_and_deletes_meet_at_the_limit(stack: System, table: TableReader) -> None:
    service = make_service(stack, limit=100)
    alive = ids_of(send([service.create(number) for number in range(100)]))
    for _ in range(10):
        mixed = [service.create(number) for number in range(150)]
        mixed += [service.delete(number, service_id) for number, service_id in enumerate(alive[:60])]
        Random(0).shuffle(mixed)
        answers = send(mixed)
        assert {answer.status for answer in answers} <= {201, 204, 409}
        alive = alive[60:] + ids_of(answers)
        assert len(alive) <= 100
    assert table.entries(service.account_id) == set(alive)
    assert table.counters(service.account_id).best_effort == len(alive)
    refilled = ids_of(send([service.create(number) for number in range(200)]))
    assert len(alive) + len(refilled) == table.counters(service.account_id).best_effort == 100


def test_the_exact_counter_is_exact_soon_after_a_load(stack: System, table: TableReader) -> None:
    """10,000 creates and 5,000 deletes at full speed."""
    service = make_service(stack, limit=10_000)
    elapsed_s = run_creates_and_deletes(service, table)
    assert elapsed_s < SETTLE_WITHIN_S


def test_the_exact_counter_is_exact_when_every_batch_comes_twice_and_cut_elsewhere(
    stack: System, table: TableReader, second_delivery: str
) -> None:
    service = make_service(stack, limit=10_000)
    elapsed_s = run_creates_and_deletes(service, table)
    assert elapsed_s < SETTLE_WITHIN_S
    time.sleep(2)
    best_effort, eventual = table.counters(service.account_id)
    assert best_effort == eventual == len(table.entries(service.account_id)) == 5_000
    mapping = aws.lambda_client(stack.endpoint).get_event_source_mapping(UUID=second_delivery)
    assert mapping["LastProcessingResult"].startswith("OK"), "the second delivery never happened"


def run_creates_and_deletes(service: RunningService, table: TableReader) -> float:
    """Do the work; return the seconds from the last answer until ``eventual`` is exact."""
    created: list[str] = []
    for start in range(0, 10_000, 1_000):
        requests = [service.create(number) for number in range(start, start + 1_000)]
        requests += [service.delete(number, created.pop()) for number in range(min(500, len(created)))]
        Random(start).shuffle(requests)
        created += ids_of(send(requests))
    deletes = [service.delete(number, service_id) for number, service_id in enumerate(created[5_000:])]
    assert {answer.status for answer in send(deletes)} == {204}
    return seconds_until_settled(table, service.account_id)


@pytest.fixture
def second_delivery(stack: System) -> Iterator[str]:
    """Deliver every record once more, in batches of another size, while a test runs; yields the mapping's id."""
    functions = aws.lambda_client(stack.endpoint)
    name = stack.provisioned.function
    (first,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    second = functions.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=first["EventSourceArn"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=37,
        FilterCriteria={"Filters": [{"Pattern": rule["Pattern"]} for rule in first["FilterCriteria"]["Filters"]]},
    )
    yield second["UUID"]
    functions.delete_event_source_mapping(UUID=second["UUID"])


def test_room_made_by_another_process_is_found_at_once(stack: System) -> None:
    """A thousand times: deleted through one process, created through the next, at the limit."""
    service = make_service(stack, limit=10)
    alive = ids_of(send([service.create(number) for number in range(10)]))
    assert send([service.create(0)])[0].status == 409
    for number in range(1_000):
        (deleted,) = send([service.delete(number, alive.pop(0))])
        (created,) = send([service.create(number + 1)])
        assert (deleted.status, created.status) == (204, 201), f"round {number}"
        alive += ids_of([created])


def test_stopping_loses_nothing_that_was_admitted(stack: System, table: TableReader, tmp_path: Path) -> None:
    """SIGTERM under load: what was answered is there, and nothing stays reserved for the rest."""
    with api_process(stack, ["api"], tmp_path) as (url, process):
        service = make_service(stack, limit=100_000)._replace(urls=[url])
        Timer(1.0, os.kill, (process.pid, signal.SIGTERM)).start()
        outcome = asyncio.run(send_for([service.create(0)], 64, 3.0))
        assert process.wait() == 0
    created = ids_of(outcome.answers)
    assert created
    # Connections that were refused, or closed while idle, are status 0. No request got another answer.
    assert set(outcome.statuses) <= {0, 201, 503}
    entries = table.entries(service.account_id)
    assert set(created) <= entries
    assert table.counters(service.account_id).best_effort == len(entries)
