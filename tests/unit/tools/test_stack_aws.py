"""The clients for an emulator go by nothing that the user has set for real accounts."""

from pathlib import Path

import pytest

from stack import aws


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "nobody"),
        ("AWS_CONFIG_FILE", "broken"),
        ("AWS_SHARED_CREDENTIALS_FILE", "broken"),
        ("AWS_RETRY_MODE", "nobody"),
    ],
)
def test_a_fault_of_the_user_s_settings_of_aws_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    # given
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text("[default\n", encoding="utf-8")
    monkeypatch.setenv(name, value)

    # when
    client = aws.sqs_client("http://127.0.0.1:4566")

    # then
    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
