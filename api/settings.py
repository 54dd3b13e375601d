"""Settings from the environment, checked before anything starts.

``AWS_ENDPOINT_URL``, credentials and the like are not here: the SDK reads those itself.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from counters.keys import SLOTS_MAX

_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_PORT_MAX: Final = 65_535
_DEADLINE_MS_MIN: Final = 100
_DEADLINE_MS_MAX: Final = 5_000
"""Healing relies on no operation of any process living longer than this (``docs/design/engine.md``, section 7)."""

_HEAL_AFTER_S_MIN: Final = 15
_HEAL_AFTER_S_MAX: Final = 86_400

_CONNECTIONS_MAX: Final = 100_000

_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]+")
_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{3,255}")


class ApiSettingsError(Exception):
    """A variable whose value cannot be used.

    Attributes:
        variable: Its name.
    """

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
        self.variable = variable


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may choose.

    Attributes:
        host: Address to listen on. The default is reachable from this machine only; a container sets ``0.0.0.0``.
        port: Port to listen on; 0 for any free one.
        table_name: The DynamoDB table.
        log_level: Least level that is logged.
        operation_deadline_ms: Longest time from a request's arrival to its answer, in milliseconds.
        heal_after_s: Seconds after which nothing that was reserved before can become an entry any more. On AWS that is
            15 minutes, for which a signature is valid, a minute for each of three clocks, and an operation. No emulator
            refuses an old signature, so there it is what a request may be late, and a shorter time will do.
        own_ids_in_batches: Whether services under callers' own ids that come together are stored with one call. Not
            where the table's stream misses what PartiQL writes, as MiniStack's does.
        services_slots: Partitions of each new account's ledger.
        max_connections: Most connections of clients that are open at a time.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    table_name: str = "distributed-counter"
    log_level: str = "INFO"
    operation_deadline_ms: int = 5000
    heal_after_s: int = 2100
    own_ids_in_batches: bool = True
    services_slots: int = 1
    max_connections: int = 3000

    @property
    def deadline_s(self) -> float:
        """The deadline in seconds."""
        return self.operation_deadline_ms / 1000

    @property
    def try_timeout_s(self) -> float:
        """Longest time from asking the store for something to its answer, in seconds: the deadline has room for two."""
        return self.deadline_s / 2


def load_settings(environ: Mapping[str, str]) -> ApiSettings:
    """Return the settings that these variables make; a variable that is not set has its default.

    Raises:
        ApiSettingsError: A value that cannot be used.
    """
    default = ApiSettings()
    log_level = environ.get("LOG_LEVEL", default.log_level).upper()
    if log_level not in _LOG_LEVELS:
        raise ApiSettingsError("LOG_LEVEL", f"must be one of {', '.join(_LOG_LEVELS)}, not {log_level!r}")
    return ApiSettings(
        host=_match(environ, "HOST", default.host, _HOST, "a host name or an address"),
        port=_whole_number(environ, "PORT", default.port, 0, _PORT_MAX),
        table_name=_match(
            environ, "TABLE_NAME", default.table_name, _TABLE_NAME, "3 to 255 characters of A-Za-z0-9._-"
        ),
        log_level=log_level,
        operation_deadline_ms=_whole_number(
            environ, "OPERATION_DEADLINE_MS", default.operation_deadline_ms, _DEADLINE_MS_MIN, _DEADLINE_MS_MAX
        ),
        heal_after_s=_whole_number(environ, "HEAL_AFTER_S", default.heal_after_s, _HEAL_AFTER_S_MIN, _HEAL_AFTER_S_MAX),
        own_ids_in_batches=_yes_or_no(environ, "OWN_IDS_IN_BATCHES", default=default.own_ids_in_batches),
        services_slots=_whole_number(environ, "SERVICES_SLOTS", default.services_slots, 1, SLOTS_MAX),
        max_connections=_whole_number(environ, "MAX_CONNECTIONS", default.max_connections, 1, _CONNECTIONS_MAX),
    )


def _match(environ: Mapping[str, str], variable: str, default: str, pattern: re.Pattern[str], expected: str) -> str:
    value = environ.get(variable, default)
    if pattern.fullmatch(value) is None:
        raise ApiSettingsError(variable, f"must be {expected}, not {value!r}")
    return value


def _yes_or_no(environ: Mapping[str, str], variable: str, *, default: bool) -> bool:
    value = environ.get(variable, str(default).lower())
    if value not in {"true", "false"}:
        raise ApiSettingsError(variable, f"must be true or false, not {value!r}")
    return value == "true"


def _whole_number(environ: Mapping[str, str], variable: str, default: int, least: int, most: int) -> int:
    value = environ.get(variable, str(default))
    # int() alone would also take "1_000", " 8000 " and other scripts' digits.
    if not (value.isascii() and value.isdigit() and len(value) <= len(str(most)) and least <= int(value) <= most):
        raise ApiSettingsError(variable, f"must be a whole number from {least} to {most}, not {value!r}")
    return int(value)
