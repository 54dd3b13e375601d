"""The Lambda's zip holds what the function needs, nothing else, and is the same wherever it is built."""

import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stack.package import ENTRY_MODULE, build, find_modules
from stack.paths import ROOT
from tests.support import events

LAMBDA_RUN = """
import json, sys

# What the Lambda runtime offers: the standard library, and boto3 with what it needs.
OFFERED = sys.stdlib_module_names | {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"}
OURS = {"counters", "stream_lambda"}


class Runtime:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in OFFERED | OURS:
            raise ModuleNotFoundError(f"{name} is not part of the Lambda runtime")


archive, event = sys.argv[1:]
sys.meta_path.insert(0, Runtime())
sys.path.insert(0, archive)

import stream_lambda.handler

ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]
assert all(module.__file__.startswith(archive) for module in ours)
context = type("Context", (), {"aws_request_id": "request-1"})
assert stream_lambda.handler.handle(json.loads(event), context) == {"state": {}}
"""


class FakeDynamoDB(HTTPServer):
    """Answers every call like a settlement that was applied, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.calls: list[tuple[str, dict[str, object]]] = []


class _Answer(BaseHTTPRequestHandler):
    server: FakeDynamoDB

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.headers["X-Amz-Target"], json.loads(body)))
        answer = json.dumps({"Attributes": {"marks": {"M": {}}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Keep quiet."""


@pytest.fixture
def fake_dynamodb() -> Iterator[FakeDynamoDB]:
    with FakeDynamoDB() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return build(tmp_path / "stream_lambda.zip")


def test_zip_handles_an_event_with_nothing_but_what_the_runtime_offers(
    archive: Path, fake_dynamodb: FakeDynamoDB, tmp_path: Path
) -> None:
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{fake_dynamodb.server_port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "TABLE_NAME": "counters",
        "DEAD_LETTER_QUEUE_URL": "http://127.0.0.1:1/dead-letters",
        "REQUIRE_SHARD_ID": "true",
    }
    answer = subprocess.run(  # noqa: S603  # our own interpreter and our own event
        [sys.executable, "-c", LAMBDA_RUN, archive, json.dumps(events.load("aws_window"))],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["event"] == "settled"
    ((target, call),) = fake_dynamodb.calls
    assert target == "DynamoDB_20120810.UpdateItem"
    assert call["TableName"] == "counters"


def test_zip_is_the_same_every_time(archive: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "again.zip", archive):
        assert build(source).read_bytes() == archive.read_bytes()


def test_zip_tells_nothing_of_the_machine_that_built_it(archive: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
    assert [member.filename for member in members] == sorted(member.filename for member in members)
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.external_attr >> 16 for member in members} == {0o100644}
    assert {member.create_system for member in members} == {3}


def test_zip_holds_the_whole_function_and_only_what_it_imports(archive: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        names = set(bundle.namelist())
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "stream_lambda").glob("*.py")} <= names
    assert {"counters/settlement.py", "counters/keys.py"} <= names
    assert names.isdisjoint({"counters/model.py", "counters/stores/port.py", "counters/stores/memory.py"})


def test_imports_are_followed_except_for_typing(tmp_path: Path) -> None:
    sources = {
        "app/__init__.py": "",
        "app/main.py": "import json\nfrom app import parts\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import app.types\n"
        "def run():\n    from app.late import thing\n",
        "app/parts.py": "import app.deep.end as end",
        "app/deep/__init__.py": "import app.used_by_package",
        "app/deep/end.py": "import app.main",
        "app/late.py": "thing = 1",
        "app/types.py": "import msgspec",
        "app/used_by_package.py": "",
        "app/unused.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    expected = {"app", "app.main", "app.parts", "app.deep", "app.deep.end", "app.late", "app.used_by_package"}
    assert find_modules("app.main", tmp_path).keys() == expected


def test_function_that_is_not_there_is_not_packaged() -> None:
    assert ENTRY_MODULE in find_modules(ENTRY_MODULE)
    assert find_modules("stream_lambda.no_such_module") == {}
