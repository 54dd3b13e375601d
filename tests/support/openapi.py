"""The OpenAPI document as it is served: ``python -m tests.support.openapi`` writes it into docs/."""

import json
from typing import Final

from litestar.testing import TestClient

from api.app import create_app
from stack.paths import ROOT
from tests.support.engines import make_engine
from tests.support.stores import WatchedStore

FILE: Final = ROOT / "docs" / "openapi.json"


def served_document() -> str:
    """Return the document, a line for each of its lines, so that a change of it can be read."""
    with TestClient(create_app(make_engine(WatchedStore()))) as client:
        return json.dumps(client.get("/schema/openapi.json").json(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(served_document())
