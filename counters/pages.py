"""Pages of a list and their opaque cursors."""

import base64
import binascii
from typing import Final, Generic, TypeVar

import msgspec

from counters.errors import InvalidInputError

T = TypeVar("T")

PAGE_LIMIT_MAX: Final = 1000
PAGE_LIMIT_DEFAULT: Final = 100


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Part of a list.

    Attributes:
        items: This part, in the list's order.
        next_cursor: What to pass for the next part; None at the end.
    """

    items: list[T]
    next_cursor: str | None


class Position(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list goes on; what a cursor hides.

    Attributes:
        list_name: The list that the cursor was made for; it fits no other.
        slot: The ledger slot; 0 for lists that have none.
        after: The last id of the page before; empty for the start of the slot.
    """

    list_name: str
    slot: int
    after: str


def encode_cursor(position: Position) -> str:
    """Return the cursor for a position: URL-safe, and nothing that a caller should read."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str, list_name: str) -> Position:
    """Return the position that a cursor stands for.

    Raises:
        InvalidInputError: No list of this name made that cursor.
    """
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=Position)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidInputError("cursor", "is not one that this list gave out") from error
    if position.list_name != list_name or position.slot < 0:
        raise InvalidInputError("cursor", "is not one that this list gave out")
    return position


def check_page_limit(limit: int) -> int:
    """Return a page size that is in range.

    Raises:
        InvalidInputError: It is not 1 to 1000.
    """
    if not 1 <= limit <= PAGE_LIMIT_MAX:
        raise InvalidInputError("limit", f"must be 1 to {PAGE_LIMIT_MAX}")
    return limit
