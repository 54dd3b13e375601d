"""How fields look on the wire."""

import pytest

from api.schemas.fields import to_timestamp


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_764_000_000_099, "2025-11-24T16:00:00.099Z"),
        (1_764_000_000_999, "2025-11-24T16:00:00.999Z"),
        (1_764_000_001_000, "2025-11-24T16:00:01.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_rfc_3339_in_utc_with_milliseconds(milliseconds: int, text: str) -> None:
    assert to_timestamp(milliseconds) == text
