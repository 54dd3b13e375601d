"""The function's environment is read once, and whatever is wrong with it is said at once."""

import pytest

from stream_lambda.settings import LambdaSettings, LambdaSettingsError

GOOD = {"TABLE_NAME": "counters", "DEAD_LETTER_QUEUE_URL": "https://queue.example/dead"}


def test_shard_id_is_not_required_unless_told() -> None:
    assert LambdaSettings.from_environment(GOOD) == LambdaSettings(
        "counters", "https://queue.example/dead", require_shard_id=False
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_shard_id_can_be_required(text: str, value: bool) -> None:  # noqa: FBT001  # a case, not an option
    assert LambdaSettings.from_environment({**GOOD, "REQUIRE_SHARD_ID": text}).require_shard_id is value


@pytest.mark.parametrize("name", ["TABLE_NAME", "DEAD_LETTER_QUEUE_URL"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_variable_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in {**GOOD, name: value}.items() if text is not None}
    with pytest.raises(LambdaSettingsError, match=rf"^{name} is not set$"):
        LambdaSettings.from_environment(environment)


@pytest.mark.parametrize("text", ["", "yes", "True", "1"])
def test_malformed_flag_is_shown(text: str) -> None:
    with pytest.raises(LambdaSettingsError, match=rf"^REQUIRE_SHARD_ID must be true or false, not '{text}'$"):
        LambdaSettings.from_environment({**GOOD, "REQUIRE_SHARD_ID": text})


def test_all_problems_are_named_in_one_line() -> None:
    with pytest.raises(LambdaSettingsError, match=r"^TABLE_NAME .*; DEAD_LETTER_QUEUE_URL .*; REQUIRE_SHARD_ID .*$"):
        LambdaSettings.from_environment({"REQUIRE_SHARD_ID": "maybe"})
