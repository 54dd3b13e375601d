"""What every test gets: an environment that can reach no real AWS account."""

import os
from collections.abc import Iterator

import pytest

_HERMETIC_AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    # No profile of the person who runs the tests, and no question to an instance's metadata service.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with Terraform's tests: they take minutes of one processor, and at the end the other one would be idle."""
    items.sort(key=lambda item: "terraform" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def hermetic_aws() -> Iterator[None]:
    """Replace whatever the environment says about AWS; for the session, as emulators are started once a session."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in _HERMETIC_AWS.items():
            patch.setenv(name, value)
        yield
