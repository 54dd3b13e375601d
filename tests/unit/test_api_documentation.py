"""The OpenAPI document and the explorer."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from api import documentation
from api.schemas.problems import Problem, ProblemKind

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
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
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
