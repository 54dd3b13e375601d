"""What the DynamoDB client sends, where to, and whose signature is on it. A server of ours notes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from counters.errors import NotAppliedError, StoreRejectedError
from counters.stores.dynamodb import credentials, open_client, open_store

ANSWER = b'{"Item": {"PK": {"S": "a"}}}'


class FakeDynamoDB:
    """Answers every call and hands out credentials, new ones each time."""

    def __init__(self) -> None:
        self.calls: list[tuple[web.BaseRequest, bytes]] = []
        self.credentials = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            self.credentials += 1
            # So near its end that the SDK fetches new ones before it is used again.
            expiration = datetime.now(UTC) + timedelta(minutes=5)
            found = {"AccessKeyId": f"key-{self.credentials}", "SecretAccessKey": "s", "Token": f"t-{self.credentials}"}
            return web.json_response({**found, "Expiration": expiration.isoformat()})
        self.calls.append((request, await request.read()))
        if request.method == "CONNECT":
            return web.Response(status=403)
        return web.Response(body=ANSWER)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[FakeDynamoDB, str]]:
    """Run a server; also yields its address."""
    server = FakeDynamoDB()
    async with RawTestServer(server.handle) as running:
        yield server, f"http://127.0.0.1:{running.port}"


@pytest.mark.parametrize("token", ["", "a-session-token"])
async def test_a_call_carries_the_signature_that_aws_expects(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    async with serving() as (server, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        async with open_client() as client:
            answer = await client.get_item(TableName="table", Key={"PK": {"S": "ä"}})

    ((request, body),) = server.calls
    assert answer["Item"] == {"PK": {"S": "a"}}
    assert request.headers["X-Amz-Target"] == "DynamoDB_20120810.GetItem"
    assert request.headers.get("X-Amz-Security-Token", "") == token
    authorization = request.headers["Authorization"]
    signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    expected = AWSRequest("POST", url, {name: request.headers[name] for name in signed}, body)
    expected.context["timestamp"] = request.headers["X-Amz-Date"]
    judge = SigV4Auth(Credentials("test", "test"), "dynamodb", "us-east-1")
    text = judge.string_to_sign(expected, judge.canonical_request(expected))
    assert authorization.endswith(f"Signature={judge.signature(text, expected)}")


async def test_credentials_that_expire_are_replaced_by_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_RENEWAL_INTERVAL_S", 0.0)
    monkeypatch.setattr(credentials, "_LOOK_INTERVAL_S", 0.0)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with serving() as (server, url), asyncio.timeout(10.0):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/credentials")
        async with open_store("table") as store:
            await store.read_account("a")
            while _key_of(server.calls[-1][0]) == _key_of(server.calls[0][0]):
                await store.read_account("a")

    first, last = server.calls[0][0], server.calls[-1][0]
    assert _key_of(first).startswith("key-")
    assert last.headers["X-Amz-Security-Token"] == _key_of(last).replace("key", "t")


def _key_of(request: web.BaseRequest) -> str:
    return request.headers["Authorization"].partition("Credential=")[2].partition("/")[0]


async def test_a_call_without_credentials_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with serving() as (server, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        async with open_store("table") as store:
            with pytest.raises(NotAppliedError, match="credentials"):
                await store.read_account("a")
    assert not server.calls


async def test_credentials_that_appear_later_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    monkeypatch.setattr(credentials, "_RETRY_INTERVAL_S", 0.0)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    async with serving() as (server, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        async with open_store("table") as store:
            with pytest.raises(NotAppliedError):
                await store.read_account("a")
            file.write_text("[default]\naws_access_key_id = late\naws_secret_access_key = s\n")
            await store.read_account("a")
    assert _key_of(server.calls[0][0]) == "late"


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("AWS_PROFILE", "nobody", "nobody"),
        ("AWS_REGION", "no region", "no region"),
        ("AWS_ENDPOINT_URL", "localhost", "localhost"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_settings_that_cannot_be_used_are_said_at_once(
    setting: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(StoreRejectedError, match=text):
        async with open_store("table"):
            pass


async def test_calls_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://dynamodb.example")
        monkeypatch.setenv("http_proxy", url)
        async with open_client() as client:
            await client.get_item(TableName="table", Key={"PK": {"S": "a"}})
    ((request, _),) = server.calls
    assert request.host == "dynamodb.example"


async def test_calls_to_this_machine_go_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (server, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        async with open_client() as client:
            await client.get_item(TableName="table", Key={"PK": {"S": "a"}})
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("setting", "value", "endpoint"),
    [
        ("AWS_REGION", "eu-west-1", "dynamodb.eu-west-1.amazonaws.com:443"),
        ("AWS_REGION", "cn-north-1", "dynamodb.cn-north-1.amazonaws.com.cn:443"),
        ("AWS_USE_FIPS_ENDPOINT", "true", "dynamodb-fips.us-east-1.amazonaws.com:443"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true", "dynamodb.us-east-1.api.aws:443"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.example:8443", "dynamodb.example:8443"),
    ],
)
async def test_settings_lead_to_the_endpoint_that_the_sdk_knows(
    setting: str, value: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, value)
    async with serving() as (server, url):
        monkeypatch.setenv("https_proxy", url)
        async with open_store("table") as store:
            with pytest.raises(NotAppliedError):
                await store.read_account("a")
    ((request, _),) = server.calls
    assert (request.method, request.raw_path) == ("CONNECT", endpoint)
