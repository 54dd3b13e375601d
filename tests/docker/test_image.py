"""The API's image in real containers."""

import asyncio
import json
import time
from collections.abc import Iterator
from threading import Timer

import pytest
from packaging.requirements import Requirement

from stack.harness.client import send_for
from stack.harness.ledger import TableReader
from stack.paths import ROOT
from stack.system import System
from tests.support.containers import Container, api_container, docker
from tests.support.services import ids_of, make_service, seconds_until_settled

pytestmark = pytest.mark.long

CONNECTIONS = 64


@pytest.fixture(scope="module")
def container(image: str, emulated: System) -> Iterator[Container]:
    """Run one container that the tests which only look share."""
    with api_container(image, emulated.endpoint, "--health-interval", "1s") as running:
        yield running


def test_it_is_nobody_and_can_do_nothing_that_a_kernel_could_refuse(container: Container) -> None:
    status = dict(
        line.split(":\t", 1) for line in container.python("print(open('/proc/1/status').read())").splitlines()
    )
    assert status["Uid"] == status["Gid"] == "\t".join(["10001"] * 4)
    assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("folder", ["/", "/srv", "/tmp", "/opt/venv"])  # noqa: S108  # must not be written to
def test_it_needs_nothing_written_anywhere(container: Container, folder: str) -> None:
    said = container.python(f"""
try: open('{folder}/file', 'w')
except OSError as error: print(type(error).__name__, error.errno)""")
    assert said in ("OSError 30", "PermissionError 13")


def test_its_health_check_passes(container: Container) -> None:
    deadline = time.monotonic() + 20
    while container.inspect("{{.State.Health.Status}}") != "healthy":
        assert time.monotonic() < deadline, container.inspect("{{json .State.Health}}")
        time.sleep(0.2)


def test_it_holds_the_service_alone(container: Container) -> None:
    assert container.python("import os; print(sorted(os.listdir('/srv')))") == "['api', 'counters']"
    assert container.python("import api.app; print(api.app.__cached__.startswith('/srv/api/__pycache__/'))") == "True"


def test_it_has_exactly_the_pins(container: Container) -> None:
    code = "import json, importlib.metadata as m; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    installed = {name.lower().replace("_", "-"): version for name, version in json.loads(container.python(code))}
    lines = (ROOT / "requirements" / "api.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line.removesuffix("\\").strip()) for line in lines if line[:1].isalpha()]
    there = {"sys_platform": "linux", "python_version": "3.13", "python_full_version": "3.13.0"}
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(there)]
    assert installed == {pin.name: str(pin.specifier).removeprefix("==") for pin in wanted}


@pytest.mark.parametrize("attempt", range(3))
def test_a_stop_under_load_fails_no_create_and_loses_none(image: str, emulated: System, attempt: int) -> None:
    """SIGTERM by ``docker stop``: each create that reached the service was made and said so."""
    with api_container(image, emulated.endpoint) as container:
        service = make_service(emulated._replace(api_urls=(container.url,)), limit=100_000)
        stop = Timer(1.0, docker, ("stop", "--time", "20", container.id))
        stop.start()
        outcome = asyncio.run(send_for([service.create(0)], CONNECTIONS, 3.0))
        stop.join()
        assert container.inspect("{{.State.ExitCode}}") == "0"
    created = ids_of(outcome.answers)
    assert len(created) > CONNECTIONS, f"attempt {attempt}: no load"
    # After the end nobody listens; there must be no other answer, and no connection that was closed on a request.
    others = [answer.body for answer in outcome.answers if answer.status != 201]
    assert others, "it never stopped"
    assert {body.partition(b"(")[0] for body in others} == {b"ConnectionRefusedError"}
    table = TableReader(emulated.endpoint, emulated.provisioned.table)
    assert table.entries(service.account_id) == set(created)
    assert table.counters(service.account_id).best_effort == len(created)
    seconds_until_settled(table, service.account_id)


def test_settings_that_cannot_be_used_end_it_at_once(image: str) -> None:
    identity = docker("run", "--detach", "--env", "PORT=http", image)
    try:
        assert docker("wait", identity) == "2"
    finally:
        docker("rm", "--force", identity)
