"""Numbers as DynamoDB writes them: text, in any notation, whole or not.

API and Lambda both import this module, so it uses the standard library only.
"""

import re
from decimal import Decimal
from typing import Final

WHOLE_MAX: Final = 10**18 - 1
"""The largest whole number that is read. It is far above any count, and JSON writes it in 64 bits."""

AMOUNT_MAX: Final = 10**9
"""The largest amount of an entry that is read, so that no ledger's total gets beyond ``WHOLE_MAX``."""

_DIGITS_MAX: Final = len(str(WHOLE_MAX))
_PLAIN: Final = re.compile(rf"-?[0-9]{{1,{_DIGITS_MAX}}}")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")


def whole_number(text: object) -> int | None:
    """Return the whole number that a text stands for: ``2``, ``2.0`` and ``1E+2`` do, ``2.5`` and ``NaN`` do not.

    Args:
        text: What is in the place of the number.

    Returns:
        The number, or None when it is no text, no whole number, or further from zero than ``WHOLE_MAX``.
    """
    if not isinstance(text, str):
        return None
    if _PLAIN.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    # The size is looked at first: 1E+125 would become an integer of 126 digits.
    if number.adjusted() >= _DIGITS_MAX or number != number.to_integral_value():
        return None
    return int(number)
