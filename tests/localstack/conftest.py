"""A LocalStack that runs. What needs it is left out of the run unless ``./taskw test:localstack`` asks for it."""

import os
from pathlib import Path

import pytest

from stack.network import status_of

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as left out, what needs LocalStack."""
    if os.environ.get("LOCALSTACK_ENDPOINT"):
        return
    needing = [item for item in items if _HERE in item.path.parents]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


@pytest.fixture(scope="session")
def endpoint() -> str:
    """Return the address of the LocalStack that the person who runs the tests brings along."""
    endpoint = os.environ["LOCALSTACK_ENDPOINT"]
    assert status_of(f"{endpoint}/_localstack/health") == 200, f"no LocalStack answers at {endpoint}"
    return endpoint
