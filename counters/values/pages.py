"""Pages of a list and their opaque cursors."""

import base64
from typing import Final, Generic, TypeVar

import msgspec

from counters.errors import InvalidInputError

T = TypeVar("T")

PAGE_LIMIT_MAX: Final = 1000
PAGE_LIMIT_DEFAULT: Final = 100

CURSOR_LENGTH_MAX: Final = 2048
"""Room for the longest name of a list (193 characters) and the longest sort key, in base64."""

_AFTER_BYTES_MAX: Final = 1024
"""DynamoDB's limit for a sort key. It is not that of an id: a page may end with an item that somebody wrote by hand."""


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
        list_name: The list that the cursor was made for, with its account if it has one; the cursor fits no other.
        slot: The ledger slot; 0 for lists that have none.
        after: The last id of the page before; empty for the start of a slot that is not the first.
    """

    list_name: str
    slot: int
    after: str


def encode_cursor(position: Position) -> str:
    """Return the cursor for a position: URL-safe, and nothing that a caller should read."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str, list_name: str, slots: int = 1) -> Position:
    """Return the position that a cursor stands for.

    Args:
        cursor: What a caller brought.
        list_name: The list that is asked for.
        slots: The number of slots of its ledger; 1 for lists that have none.

    Raises:
        InvalidInputError: No list of this name can have made that cursor.
    """
    position = _decode(cursor) if len(cursor) <= CURSOR_LENGTH_MAX else None
    if position is None or position.list_name != list_name or not _is_given_out(position, slots):
        raise InvalidInputError("cursor", "is not one that this list gave out; leave it out to start anew")
    return position


def _decode(cursor: str) -> Position | None:
    """Return the position in a cursor, or None; of a position only the one cursor that we make for it is known."""
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(raw, type=Position)
        return position if encode_cursor(position) == cursor else None
    # The last one: JSON that is nested too deeply.
    except (ValueError, RecursionError):
        return None


def _is_given_out(position: Position, slots: int) -> bool:
    """Whether a list of so many slots can have a page that ends at this position."""
    if not 0 <= position.slot < slots:
        return False
    if not position.after:
        return position.slot > 0
    return len(position.after.encode()) <= _AFTER_BYTES_MAX


def check_page_limit(limit: int) -> int:
    """Return a page size that is in range.

    Raises:
        InvalidInputError: It is not 1 to 1000.
    """
    if not 1 <= limit <= PAGE_LIMIT_MAX:
        raise InvalidInputError("limit", f"must be 1 to {PAGE_LIMIT_MAX}")
    return limit
