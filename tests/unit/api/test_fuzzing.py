"""Whatever callers and streams send: a documented answer, never another error.

Each test plays some dozens of inputs, the same ones each time. ``./taskw fuzz`` plays new ones, many more.
"""

import asyncio
import base64
import copy
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.types import HTTPRequestEvent, Message

from api.app import create_app
from api.http.faults import InvalidFieldsError, decode_by_field
from api.schemas.accounts import AccountCreate, AccountUpdate
from api.schemas.problems import FieldProblem
from api.schemas.services import ServiceCreate, ServiceUpdate
from counters.errors import InvalidInputError
from counters.keys import CounterKey
from counters.settlement import PageChange
from counters.values.ids import check_counter_name, check_id
from counters.values.pages import CURSOR_LENGTH_MAX, Position, decode_cursor, encode_cursor
from stream_lambda.records import Malformed, ShardMissingError, parse_record, parse_records, shard_of
from tests.support import events
from tests.support.engines import make_account, make_engine
from tests.support.stores import WatchedStore

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
LIST_NAME = "account-1/services"

texts = st.text(max_size=300) | st.text(alphabet="aZ09._:-#/ \n\x00é", max_size=140)
numbers = st.integers() | st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


class TestCursors:
    """Cursors: forged, damaged, and those of other lists."""

    positions = st.tuples(st.just(LIST_NAME) | texts, st.integers(-3, 70) | st.integers(), texts)
    forged = (positions | st.lists(json_values, max_size=4)).map(
        lambda position: base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()
    )
    cursors = st.text(max_size=60) | forged | st.text(alphabet="AZaz09-_=", max_size=CURSOR_LENGTH_MAX + 9)

    @fuzzed
    @given(cursors, st.integers(1, 64))
    def test_one_that_is_taken_is_one_that_is_given_out(self, cursor: str, slots: int) -> None:
        try:
            position = decode_cursor(cursor, LIST_NAME, slots)
        except InvalidInputError:
            return
        assert encode_cursor(position) == cursor
        assert position.list_name == LIST_NAME
        assert 0 <= position.slot < slots
        assert position.after or position.slot

    @fuzzed
    @given(st.text(alphabet=sorted(ID_CHARACTERS), min_size=1, max_size=128), st.integers(0, 63), st.data())
    def test_one_that_is_given_out_is_taken_and_a_damaged_one_is_refused(
        self, after: str, slot: int, data: st.DataObject
    ) -> None:
        position = Position(LIST_NAME, slot, after)
        cursor = encode_cursor(position)
        assert decode_cursor(cursor, LIST_NAME, 64) == position
        place = data.draw(st.integers(0, len(cursor) - 1))
        damaged = cursor[:place] + data.draw(st.characters()) + cursor[place + 1 :]
        try:
            assert encode_cursor(decode_cursor(damaged, LIST_NAME, 64)) == damaged
        except InvalidInputError:
            assert damaged != cursor


class TestIds:
    """Ids and names that are to be part of a key."""

    @fuzzed
    @given(texts)
    def test_an_id_is_taken_when_each_client_can_reach_it(self, text: str) -> None:
        reachable = 1 <= len(text) <= 128 and set(text) <= ID_CHARACTERS and set(text) != {"."}
        try:
            assert check_id("id", text) == text
            assert reachable
        except InvalidInputError:
            assert not reachable

    @fuzzed
    @given(texts)
    def test_a_counter_s_name_is_taken_or_refused(self, text: str) -> None:
        try:
            assert check_counter_name("name", text).encode().isalnum() or set(text) & set("_-")
        except InvalidInputError:
            return


class TestBodies:
    """Bodies, decoded as a whole and field by field."""

    names = st.sampled_from(["username", "name", "account_id", "id", "max_number_of_services", "enforcement", "admin"])
    objects = st.dictionaries(names | st.text(max_size=5), json_values, max_size=6).map(
        lambda o: json.dumps(o).encode()
    )
    bodies = objects | st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())

    @fuzzed
    @given(bodies, st.sampled_from([AccountCreate, AccountUpdate, ServiceCreate, ServiceUpdate]))
    def test_field_by_field_takes_what_msgspec_takes(self, body: bytes, schema: type[msgspec.Struct]) -> None:
        try:
            whole = msgspec.json.decode(body, type=schema)
        except ValueError:
            whole = None
        faults: list[FieldProblem] = []
        try:
            assert decode_by_field(body, schema) == whole or whole is None
        except InvalidFieldsError as error:
            faults = error.faults
        assert all(fault.reason for fault in faults)
        # Ids are only checked field by field: elsewhere the core does it.
        assert whole is None or {fault.field for fault in faults} <= {"id", "account_id"}


@pytest.fixture(scope="module")
def service() -> Iterator["FuzzedService"]:
    """Yield the API over a store in memory, with an account in it."""
    with asyncio.Runner() as runner:
        service = FuzzedService(runner)
        yield service
        service.close()


class FuzzedService:
    """The API, called as a server calls it: with the bytes that came."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._engine = make_engine(WatchedStore())
        self._app = create_app(self._engine)
        self.key: CounterKey = runner.run(make_account(self._engine, limit=10))

    def close(self) -> None:
        """End what the engine has running."""
        self._runner.run(self._engine.drain())

    def ask(self, method: str, path: str, query: bytes, body: bytes = b"") -> tuple[int, Mapping[str, Any]]:
        """Return the status and the body of an answer."""
        return self._runner.run(self._ask(method, path, query, body))

    async def _ask(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, Mapping[str, Any]]:
        sent: list[Message] = []

        async def receive() -> HTTPRequestEvent:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))],
            "state": {},
            "extensions": {},
        }
        await self._app(scope, receive, send)  # type: ignore[arg-type]
        content = b"".join(message["body"] for message in sent if message["type"] == "http.response.body")
        [status] = [message["status"] for message in sent if message["type"] == "http.response.start"]
        return status, json.loads(content or b"{}")


class TestQueries:
    """Queries and paths through the whole API."""

    names = st.sampled_from(["account_id", "limit", "cursor", "dry_run", "force", "dryrun", ""]) | st.text(max_size=6)
    values = st.sampled_from(["ACCOUNT", "1", "true", "5.0", "1e3", "\ud800", ""]) | texts
    pairs = st.lists(st.tuples(names, values), max_size=4).map(
        lambda pairs: "&".join(f"{quote(n, errors='replace')}={quote(v, errors='replace')}" for n, v in pairs).encode()
    )
    queries = pairs | st.binary(max_size=40) | st.text(alphabet="adelmity_=&;%+?#0F", max_size=30).map(str.encode)
    routes = st.sampled_from(
        [
            ("GET", "/accounts", {"limit", "cursor"}),
            ("HEAD", "/accounts", {"limit", "cursor"}),
            ("GET", "/counts", {"limit", "cursor"}),
            ("GET", "/services", {"account_id", "limit", "cursor"}),
            ("GET", "/services/a", {"account_id"}),
            ("DELETE", "/services/a", {"account_id"}),
            ("GET", "/accounts/ACCOUNT", set()),
            ("GET", "/accounts/ACCOUNT/services", {"limit", "cursor"}),
            ("POST", "/accounts/ACCOUNT/counters/services/reconcile", {"dry_run", "force"}),
            ("GET", "/health", set()),
        ]
    )

    @fuzzed
    @given(routes, queries)
    def test_a_query_gets_a_documented_answer(
        self, service: FuzzedService, route: tuple[str, str, set[str]], query: bytes
    ) -> None:
        account_id = service.key.account_id
        method, path, known = route
        query = query.replace(b"ACCOUNT", account_id.encode())
        status, answer = service.ask(method, path.replace("ACCOUNT", account_id), query)
        names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
        if len(set(names)) < len(names) or not known.issuperset(names):
            assert status == 400
        assert status in {200, 400, 404, 409}
        assert status != 400 or method == "HEAD" or all(error["reason"] for error in answer["errors"])

    @fuzzed
    @given(st.sampled_from(["GET", "DELETE", "PATCH", "OPTIONS", "BREW"]), st.text(max_size=20), st.text(max_size=20))
    def test_a_path_gets_a_documented_answer(
        self, service: FuzzedService, method: str, first: str, second: str
    ) -> None:
        for path in (f"/{first}/{second}", f"/accounts/{first}/services", f"/services/{first}", f"/counts/{first}"):
            status, _ = service.ask(method, path, b"")
            assert status in {200, 204, 400, 404, 405}, path

    @fuzzed
    @given(st.sampled_from(["POST /accounts", "POST /services", "PATCH /accounts/ACCOUNT"]), TestBodies.bodies)
    def test_a_body_gets_a_documented_answer(self, service: FuzzedService, route: str, body: bytes) -> None:
        method, path = route.replace("ACCOUNT", service.key.account_id).split()
        status, answer = service.ask(method, path, b"", body)
        assert status in {200, 201, 400, 404}, answer


class TestStreamRecords:
    """Records of the stream: recorded ones with something replaced, and anything else."""

    recorded: tuple[Any, ...] = (*events.load("aws_window")["Records"], *events.load("ministack_insert")["Records"])

    @fuzzed
    @given(st.sampled_from(recorded), json_values, st.data())
    def test_a_record_is_a_change_or_malformed_or_none(
        self, record: dict[str, Any], value: object, data: st.DataObject
    ) -> None:
        record = copy.deepcopy(record)
        replace(record, value, data)
        self.check(parse_record(record))

    @fuzzed
    @given(st.lists(json_values, max_size=5))
    def test_a_batch_counts_every_record(self, records: list[object]) -> None:
        batch = parse_records(records)
        assert batch.size == len(records) >= len(batch.changes) + len(batch.malformed)

    @fuzzed
    @given(st.sampled_from(["S", "N", "B"]), texts, texts, st.booleans())
    def test_a_key_and_an_amount_of_any_text_are_read_or_malformed(
        self,
        kind: str,
        pk: str,
        amount: str,
        inserted: bool,  # noqa: FBT001 - hypothesis names it
    ) -> None:
        record = copy.deepcopy(self.recorded[0])
        record["eventName"] = "INSERT" if inserted else "REMOVE"
        record["dynamodb"]["Keys"]["PK"] = {kind: f"ENTRIES#{pk}"}
        record["dynamodb"]["NewImage" if inserted else "OldImage"] = {
            "entries": {"M": {"0": {"L": [{"S": "a"}, {"N": amount}]}}}
        }
        self.check(parse_record(record))

    @fuzzed
    @given(st.dictionaries(st.sampled_from(["shardId", "Records"]), json_values), st.booleans())
    def test_a_shard_has_a_label_or_is_missing(self, event: dict[str, object], required: bool) -> None:  # noqa: FBT001
        try:
            assert shard_of(event, required=required)
        except ShardMissingError:
            assert required

    def check(self, parsed: PageChange | Malformed | None) -> None:
        if isinstance(parsed, PageChange):
            assert parsed.delta != 0 or parsed.asked_after > parsed.asked_before
            assert parsed.sequence >= 0
            assert parsed.key.name
            assert check_id("account_id", parsed.key.account_id)
        elif parsed is not None:
            assert parsed.reason


def replace(node: dict[str, Any], value: object, data: st.DataObject) -> None:
    """Put a value in some place of a tree of objects."""
    name = data.draw(st.sampled_from(sorted(node)))
    if isinstance(node[name], dict) and node[name] and data.draw(st.booleans()):
        replace(node[name], value, data)
    else:
        node[name] = value
