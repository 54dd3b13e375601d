"""What the function's environment has to say."""

from collections.abc import Mapping
from typing import Final, NamedTuple

TABLE_NAME: Final = "TABLE_NAME"
DEAD_LETTER_QUEUE_URL: Final = "DEAD_LETTER_QUEUE_URL"
REQUIRE_SHARD_ID: Final = "REQUIRE_SHARD_ID"

_BOOLEANS: Final = {"true": True, "false": False}


class LambdaSettingsError(ValueError):
    """The environment does not configure the function; the message names every variable that is wrong."""


class LambdaSettings(NamedTuple):
    """The function's configuration.

    Attributes:
        table_name: The table whose stream is read and whose counters are settled.
        dead_letter_queue_url: The SQS queue that takes records nobody can read.
        require_shard_id: Whether an event without a shard id is an error. True on AWS, where a table has many shards
            and one label for all of them would make the count wrong; false on emulators, which have one and name none.
    """

    table_name: str
    dead_letter_queue_url: str
    require_shard_id: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "LambdaSettings":
        """Read the settings.

        Raises:
            LambdaSettingsError: A variable is missing or malformed.
        """
        required = (TABLE_NAME, DEAD_LETTER_QUEUE_URL)
        problems = [f"{name} is not set" for name in required if not environment.get(name)]
        flag = environment.get(REQUIRE_SHARD_ID, "false")
        if flag not in _BOOLEANS:
            problems.append(f"{REQUIRE_SHARD_ID} must be true or false, not {flag!r}")
        if problems:
            raise LambdaSettingsError("; ".join(problems))
        return cls(environment[TABLE_NAME], environment[DEAD_LETTER_QUEUE_URL], _BOOLEANS[flag])
