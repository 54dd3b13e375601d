"""Ids and nonces from an injected clock and randomness, and the check of ids and names that callers bring."""

import re
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from counters.errors import InvalidInputError
from counters.keys import COUNTER_NAME_PATTERN, ID_PATTERN, PLACE_MAX

Clock: TypeAlias = Callable[[], int]
"""Tells the time in milliseconds since the epoch."""

ID_RULE: Final = "must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-', and not only dots"
"""What ``ID_PATTERN`` says, for people."""

_HEX: Final = "[0-9A-Fa-f]"
OWN_ID_PATTERN: Final = (
    rf"(?!{_HEX}{{8}}-{_HEX}{{4}}-8{_HEX}{{3}}-[89ABab]{_HEX}{{3}}-{_HEX}{{12}}(?![\s\S]))" + ID_PATTERN
)
"""What an id looks like that a caller chose for an entry: not like one of ours, so that no id means two things."""

OWN_ID_RULE: Final = f"{ID_RULE}, nor a UUID of version 8, as those are made here"
"""What ``OWN_ID_PATTERN`` says, for people."""

COUNTER_NAME_RULE: Final = "must be 1 to 64 characters of a-z, 0-9, '_' and '-', the first one a letter"
"""What ``COUNTER_NAME_PATTERN`` says, for people."""

_ID: Final = re.compile(ID_PATTERN)
_OWN_ID: Final = re.compile(OWN_ID_PATTERN)
_COUNTER_NAME: Final = re.compile(COUNTER_NAME_PATTERN)
_VERSION_7: Final = 0x7 << 76
_VERSION_8: Final = 0x8 << 76
_VARIANT_RFC: Final = 0b10 << 62
_LOW_62_BITS: Final = (1 << 62) - 1


def uuid7(now_ms: int, random: Random) -> str:
    """Return a new UUIDv7 (RFC 9562, section 5.7): ids made later sort later, to the millisecond."""
    return _uuid(now_ms, _VERSION_7, random.getrandbits(74))


def new_page_id(now_ms: int, random: Random) -> str:
    """Return the id of a new page: a UUIDv8 (RFC 9562, section 5.8) laid out like a UUIDv7, its last 6 bits zero."""
    return _uuid(now_ms, _VERSION_8, random.getrandbits(74) & ~PLACE_MAX)


def _uuid(now_ms: int, version: int, randomness: int) -> str:
    bits = now_ms << 80 | version | randomness >> 62 << 64 | _VARIANT_RFC | randomness & _LOW_62_BITS
    # By hand, as uuid.UUID takes twice the time.
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def new_nonce(random: Random) -> str:
    """Return 64 random bits as text: what tells one write from all others of the same item."""
    return f"{random.getrandbits(64):016x}"


def check_id(field: str, value: str) -> str:
    """Return an id that is fit to be part of a key.

    Raises:
        InvalidInputError: It is not 1 to 128 characters of ``A-Za-z0-9._:-``, or only dots.
    """
    if _ID.fullmatch(value) is None:
        raise InvalidInputError(field, ID_RULE)
    return value


def check_own_id(field: str, value: str) -> str:
    """Return an id that a caller chose for an entry.

    Raises:
        InvalidInputError: It is none that ``check_id`` returns, or a UUID of version 8, as those of ours are.
    """
    if _OWN_ID.fullmatch(value) is None:
        raise InvalidInputError(field, OWN_ID_RULE)
    return value


def check_counter_name(field: str, value: str) -> str:
    """Return a counter's name that is fit to be part of a key.

    Raises:
        InvalidInputError: It is not a letter and up to 63 further characters of ``a-z0-9_-``.
    """
    if _COUNTER_NAME.fullmatch(value) is None:
        raise InvalidInputError(field, COUNTER_NAME_RULE)
    return value
