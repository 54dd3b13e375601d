"""How often, how long and after what a baseline's calls are repeated: as the SDK's standard mode does."""

import asyncio
import itertools
from collections.abc import Mapping
from random import Random
from typing import Any

import aiohttp
import pytest

from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError, DamagedAnswerError
from load.compare.baselines.retries import repeated
from tests.support.virtual_time import in_virtual_time


class Always(Random):
    """Draws the same share each time."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self._share = share

    def random(self) -> float:
        return self._share


class Trial:
    """One call whose first tries fail."""

    def __init__(self, error: Exception, failures: int, share: float = 1.0) -> None:
        self._error = error
        self._failures = failures
        self._tried_at: list[float] = []
        self._send = repeated(self._try, Always(share))

    @property
    def tries(self) -> int:
        """How often it was sent."""
        return len(self._tried_at)

    @property
    def waits_s(self) -> list[float]:
        """The time between each try and the next, in seconds."""
        return [later - earlier for earlier, later in itertools.pairwise(self._tried_at)]

    async def call(self) -> dict[str, Any]:
        """Make the call."""
        return await self._send(action="GetItem", payload={})

    async def _try(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as every ``Send``
        self._tried_at.append(asyncio.get_running_loop().time())
        if self.tries <= self._failures:
            raise self._error
        return {"Item": {}}


def answer(code: str, status: int = 400) -> AnswerError:
    return AnswerError(status, code, {})


PASSING = [
    answer("ProvisionedThroughputExceededException"),
    answer("ThrottlingException"),
    answer("RequestLimitExceeded"),
    answer("TransactionInProgressException"),
    answer("InternalServerError", 500),
    answer("", 503),
    aiohttp.ServerTimeoutError(),
    aiohttp.ServerDisconnectedError(),
]
LASTING = [
    answer("TransactionConflictException"),
    answer("TransactionCanceledException"),
    answer("ValidationException"),
    ConditionFailedError(400, "ConditionalCheckFailedException", {}),
    DamagedAnswerError(),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
@in_virtual_time
async def test_what_may_pass_is_tried_three_times(error: Exception) -> None:
    trial = Trial(error, failures=2)
    assert await trial.call() == {"Item": {}}
    assert trial.tries == 3

    trial = Trial(error, failures=3)
    with pytest.raises(type(error)):
        await trial.call()
    assert trial.tries == 3


@pytest.mark.parametrize("error", LASTING, ids=repr)
@in_virtual_time
async def test_what_is_answered_for_good_is_not_repeated(error: Exception) -> None:
    trial = Trial(error, failures=1)
    with pytest.raises(type(error)):
        await trial.call()
    assert (trial.tries, trial.waits_s) == (1, [])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@in_virtual_time
async def test_waits_are_a_random_share_of_one_and_two_seconds(share: float) -> None:
    trial = Trial(PASSING[0], failures=2, share=share)
    await trial.call()
    assert trial.waits_s == pytest.approx([share * 1.0, share * 2.0])
