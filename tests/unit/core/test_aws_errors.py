"""The table of AWS's errors, where no call of ours shows it."""

import pytest

from counters.stores.aws_errors import Shortage, shortage, throttling_reasons


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ((), Shortage.UNKNOWN),
        (("SomethingNew",), Shortage.UNKNOWN),
        (("IndexReadProvisionedThroughputExceeded",), Shortage.TABLE),
        (("TableWriteAccountLimitExceeded", "TableWriteKeyRangeThroughputExceeded"), Shortage.ITEM),
    ],
)
def test_the_hottest_item_is_told_first(reasons: tuple[str, ...], expected: Shortage) -> None:
    assert shortage(reasons) is expected


@pytest.mark.parametrize("listed", [None, "throttled", 7, [7], [{}], [{"reason": 7}]])
def test_reasons_of_a_form_that_nobody_knows_are_none(listed: object) -> None:
    assert throttling_reasons({"ThrottlingReasons": listed}) == ()
