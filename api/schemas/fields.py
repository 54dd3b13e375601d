"""Fields that several schemas share.

Ids are only described here: the core checks them, wherever they come from.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final, TypeAlias, TypeVar

from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, UnsetType

from counters.keys import COUNTER_NAME_PATTERN, ID_PATTERN, SERVICES
from counters.values.ids import OWN_ID_PATTERN

T = TypeVar("T")

LIMIT_MAX: Final = 10**12
"""Far above any real limit, and far below where JSON readers begin to lose digits (2**53)."""

USERNAME_LENGTH_MAX: Final = 128
NAME_LENGTH_MAX: Final = 256

# The same language in Python and in ECMAScript, which OpenAPI prescribes; "$" is not, as Python lets a newline follow.
_END: Final = r"(?![\s\S])"
TEXT_PATTERN: Final = rf"^(?=[\s\S]*\S)[^\x00-\x1f\x7f-\x9f]+{_END}"
"""More than white space, and no control characters."""

ID_SCHEMA: Final = {"pattern": rf"^{ID_PATTERN}{_END}"}
OWN_ID_SCHEMA: Final = {"pattern": rf"^{OWN_ID_PATTERN}{_END}"}
COUNTER_NAME_SCHEMA: Final = {"pattern": rf"^{COUNTER_NAME_PATTERN}{_END}"}
_ACCOUNT_ID_DESCRIPTION: Final = "The account's id."
_SERVICE_ID_DESCRIPTION: Final = "The service's id."
ACCOUNT_ID_EXAMPLE: Final = "0197f0b2-6a10-7c3e-9d2f-3b1c5a7e9f10"
SERVICE_ID_EXAMPLE: Final = "0197f0b3-14c8-8f6a-8e21-4d5c6b7a8f83"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_SECONDS_CACHED: Final = 1024

AccountId: TypeAlias = Annotated[
    str,
    Meta(description=_ACCOUNT_ID_DESCRIPTION, examples=[ACCOUNT_ID_EXAMPLE], extra_json_schema=ID_SCHEMA),
]
AccountIdInPath: TypeAlias = Annotated[
    str,
    PathParameter(
        description=_ACCOUNT_ID_DESCRIPTION, examples=[Example(value=ACCOUNT_ID_EXAMPLE)], schema_extra=ID_SCHEMA
    ),
]
AccountIdInQuery: TypeAlias = Annotated[
    str,
    QueryParameter(
        description=_ACCOUNT_ID_DESCRIPTION, examples=[Example(value=ACCOUNT_ID_EXAMPLE)], schema_extra=ID_SCHEMA
    ),
]
CounterNameInPath: TypeAlias = Annotated[
    str,
    PathParameter(
        name="name",
        description="The counter's name; every account has `services`.",
        examples=[Example(value=SERVICES)],
        schema_extra=COUNTER_NAME_SCHEMA,
    ),
]
ServiceId: TypeAlias = Annotated[
    str,
    Meta(description=_SERVICE_ID_DESCRIPTION, examples=[SERVICE_ID_EXAMPLE], extra_json_schema=ID_SCHEMA),
]
OwnServiceId: TypeAlias = Annotated[
    str,
    Meta(
        description="An id of the caller's own, which makes the create safe to repeat. Left out, the service gets one.",
        examples=["order-4711"],
        extra_json_schema=OWN_ID_SCHEMA,
    ),
]
ServiceIdInPath: TypeAlias = Annotated[
    str,
    PathParameter(
        name="id",
        description=_SERVICE_ID_DESCRIPTION,
        examples=[Example(value=SERVICE_ID_EXAMPLE)],
        schema_extra=ID_SCHEMA,
    ),
]
Username: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=USERNAME_LENGTH_MAX,
        pattern=TEXT_PATTERN,
        description="Display name; need not be unique. Not only white space, no control characters.",
        examples=["ada"],
    ),
]
ServiceName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_LENGTH_MAX,
        pattern=TEXT_PATTERN,
        description="Display name; need not be unique. Not only white space, no control characters.",
        examples=["checkout"],
    ),
]
ServicesLimit: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=LIMIT_MAX, description="Most services that the account may have.", examples=[5000]),
]
Timestamp: TypeAlias = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC, with milliseconds.",
        examples=["2026-03-01T12:00:00.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]

READ_ONLY_FIELD: Final = Meta(extra_json_schema={"readOnly": True})
"""Marks a field of an update that may only be as it is."""
Damaged: TypeAlias = Annotated[
    list[str],
    Meta(
        description="What is stored so that it cannot be read, by name; it is null here. Empty unless somebody wrote "
        "into the table by hand.",
        examples=[[]],
    ),
]

NextCursor: TypeAlias = Annotated[
    str | None, Meta(description="What to pass as `cursor` for the next page; null at the end.", examples=[None])
]


def to_timestamp(milliseconds: int) -> str:
    """Return a time since the epoch as RFC 3339 in UTC, such as ``2026-03-01T12:00:00.000Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_second(seconds)}.{rest:03}Z"


@lru_cache(_SECONDS_CACHED)
def _to_second(seconds: int) -> str:
    """Return a time as RFC 3339 without its zone; busy seconds are asked for thousands of times."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def to_timestamp_or_none(milliseconds: int | None) -> str | None:
    """Return a time like ``to_timestamp``; None for what has not happened yet."""
    return None if milliseconds is None else to_timestamp(milliseconds)


def given(value: T | UnsetType) -> T | None:
    """Return a field's value, or None when the caller left the field out."""
    return None if isinstance(value, UnsetType) else value
