"""The measured server's command line."""

import pytest

from load import server


@pytest.mark.parametrize("arguments", [[], ["plain"], ["engine", "unit"], ["engine", "units", "more"]])
def test_bad_arguments_are_answered_with_the_usage(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["server", *arguments])
    with pytest.raises(SystemExit) as ended:
        server.main()
    assert ended.value.code == (
        "usage: python -m load.server engine|transactional|conditional|read-check|sharded|eventual-only [units] [sdk]"
    )
