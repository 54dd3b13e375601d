"""Where containers find this machine."""

import pytest

from stack import docker_engine


@pytest.mark.parametrize(
    ("told", "address"),
    [
        pytest.param("127.0.0.0/8 127.0.0.2;", "127.0.0.2", id="gateway"),
        pytest.param("127.0.0.0/8 ;", "127.0.0.1", id="no-gateway-yet"),
        pytest.param("127.0.0.0/8 ;fd00::/80 fd00::1;", "127.0.0.1", id="ipv6-too"),
        pytest.param("192.0.2.0/24 192.0.2.1;", None, id="engine-elsewhere"),
        pytest.param(None, None, id="no-engine"),
    ],
)
def test_the_address_is_the_bridges_gateway(
    told: str | None, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "ask", lambda *_: told)
    assert docker_engine.bridge_address() == address
