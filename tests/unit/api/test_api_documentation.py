"""The OpenAPI document and the explorer."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from api.http import documentation
from api.schemas.problems import Problem, ProblemKind
from tests.support.openapi import FILE, served_document

Api = AsyncTestClient[Litestar]

Json = dict[str, Any]
METHODS = ("get", "put", "patch", "post", "delete")
ROUTES = {
    "/accounts": {"get", "post"},
    "/accounts/{account_id}": {"get", "put", "patch", "delete"},
    "/accounts/{account_id}/services": {"get", "delete"},
    "/accounts/{account_id}/counters/{name}/reconcile": {"post"},
    "/services": {"get", "post"},
    "/services/{id}": {"get", "put", "patch", "delete"},
    "/counts": {"get"},
    "/counts/{account_id}": {"get"},
    "/health": {"get"},
    "/ready": {"get"},
}


@pytest.fixture
async def document(api: Api) -> Json:
    """Return the document."""
    response = await api.get("/schema/openapi.json")
    assert response.headers["content-type"] == "application/vnd.oai.openapi+json"
    document: Json = response.json()
    return document


def operations(document: Json) -> list[Json]:
    return [path[method] for path in document["paths"].values() for method in METHODS if method in path]


def test_the_version_is_the_project_s() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == documentation.VERSION


async def test_it_describes_every_route(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: set(item) & set(METHODS) for path, item in document["paths"].items()} == ROUTES
    assert len({operation["operationId"] for operation in operations(document)}) == len(operations(document))
    tags = {tag["name"] for tag in document["tags"]}
    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags


async def test_every_reference_leads_to_a_schema(document: Json) -> None:
    text = msgspec.json.encode(document).decode()
    names = set(re.findall(r'"\$ref":"#/components/schemas/([^"]*)"', text))
    assert names == set(document["components"]["schemas"])


async def test_every_error_is_documented_as_a_problem(document: Json) -> None:
    kinds = {kind.type: kind for kind in ProblemKind}
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                for example in content["examples"].values():
                    problem = msgspec.convert(example["value"], Problem)
                    assert kinds[problem.type].status == problem.status == int(status)


async def test_each_operation_has_an_example_of_bad_input_that_it_can_answer(document: Json) -> None:
    for operation in operations(document):
        [example] = operation["responses"]["400"]["content"]["application/problem+json"]["examples"].values()
        problem = msgspec.convert(example["value"], Problem)
        assert problem.errors
        known = {parameter["name"] for parameter in operation.get("parameters", [])}
        if "requestBody" in operation:
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            known |= {"body", *document["components"]["schemas"][name]["properties"]}
        for error in problem.errors:
            assert error.field in known or "not a known query parameter" in error.reason


async def test_the_examples_of_bad_input_are_what_is_answered(api: Api, document: Json) -> None:
    for method, path, request in (
        ("get", "/accounts", "/accounts?limit=0"),
        ("get", "/services", "/services"),
        ("delete", "/accounts/{account_id}", "/accounts/%2E%2E"),
        ("post", "/services", "/services"),
        ("patch", "/accounts/{account_id}", "/accounts/a"),
        ("get", "/health", "/health?limit=0"),
    ):
        documented = document["paths"][path][method]["responses"]["400"]["content"]["application/problem+json"]
        [example] = documented["examples"].values()
        answer = await api.request(method, request, content=b"{}", headers={"content-type": "application/json"})
        assert answer.json() == example["value"]


async def test_retry_after_is_documented_where_it_is_sent(document: Json) -> None:
    sent = set()
    for path, item in document["paths"].items():
        for method in set(item) & set(METHODS):
            for status, response in item[method]["responses"].items():
                if "Retry-After" in response.get("headers", {}):
                    sent.add((method, path, status))
    every = {(method, path) for path, methods in ROUTES.items() for method in methods} - {("get", "/health")}
    busy = ("post", "/accounts/{account_id}/counters/{name}/reconcile", "409")
    assert sent == {(method, path, "503") for method, path in every} | {busy}


async def test_where_a_service_is_is_told_of_a_new_one_and_of_a_repeat(document: Json) -> None:
    responses = document["paths"]["/services"]["post"]["responses"]
    assert responses["200"]["headers"] == responses["201"]["headers"]
    assert "Location" in responses["200"]["headers"]


async def test_a_parameter_is_never_null(document: Json) -> None:
    for operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter["schema"]["type"] in {"string", "integer", "boolean"}


@pytest.mark.parametrize("own_id", ["a", "..a", "a" * 128, ".", "...", "a" * 129, "", "a b", "a\n"])
async def test_the_schema_allows_the_ids_that_are_taken(api: Api, account_id: str, document: Json, own_id: str) -> None:
    schema = document["components"]["schemas"]["ServiceCreate"]["properties"]["id"]
    answer = await api.post("/services", json={"account_id": account_id, "name": "billing", "id": own_id})
    assert (re.search(schema["pattern"], own_id) is not None) == (answer.status_code == 201)


@pytest.mark.parametrize("schema", documentation.SCHEMAS, ids=lambda schema: schema.__name__)
async def test_the_examples_of_a_schema_fit_it(document: Json, schema: type[msgspec.Struct]) -> None:
    example = example_of(document, {"$ref": f"#/components/schemas/{schema.__name__}"})
    assert isinstance(msgspec.convert(example, schema), schema)


def example_of(document: Json, schema: Json) -> object:
    """Return the example that a reader of the document sees for a schema."""
    match schema:
        case {"examples": [example, *_]} | {"enum": [example, *_]}:
            return example
        case {"$ref": reference}:
            return example_of(document, document["components"]["schemas"][reference.rpartition("/")[2]])
        case {"anyOf": [first, *_]}:
            return example_of(document, first)
        case {"type": "object", "properties": fields}:
            return {name: example_of(document, field) for name, field in fields.items()}
        case {"type": "array", "items": items}:
            return [example_of(document, items)]
        case _:
            return {"integer": 1, "string": "text"}[schema["type"]]


async def test_requests_refuse_unknown_fields(document: Json) -> None:
    for operation in operations(document):
        if "requestBody" in operation:
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert document["components"]["schemas"][name]["additionalProperties"] is False


async def test_the_explorer_asks_no_other_host(api: Api) -> None:
    page = await api.get("/swagger")
    assert page.headers["content-type"].startswith("text/html")
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in page.text
    addresses = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert len(addresses) == 3
    for address in addresses:
        asset = await api.get(address)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-type"].startswith(("text/css", "text/javascript"))
    assert "https://" not in (await api.get("/swagger/explorer.js")).text


def test_the_committed_document_is_the_one_that_is_served() -> None:
    assert FILE.read_text() == served_document(), "Run ./taskw openapi, and look at what changed for callers."
