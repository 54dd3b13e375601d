"""Where credentials come from is out of order, or not there yet: one renewal for all, and back by itself."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, ProfileNotFound

from counters.stores.dynamodb import credentials
from counters.stores.dynamodb.answers import NotSentError
from counters.stores.dynamodb.credentials import SigningKeys

FAILS = CredentialRetrievalError(provider="container-role", error_msg="500")


class CredentialsClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CredentialsPlace:
    """A place that gives out credentials, new ones each time, or fails."""

    def __init__(self) -> None:
        self.visits = 0
        self.life_s = 3600.0
        self.method = "container-role"
        self.failure: Exception | None = None
        self.is_empty = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self) -> AioRefreshableCredentials | None:
        self.visits += 1
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        if self.is_empty:
            return None
        ends = datetime.now(UTC) + timedelta(seconds=self.life_s)
        metadata = {"access_key": f"key-{self.visits}", "secret_key": "s", "token": "t"}

        async def again() -> dict[str, str]:
            return {**metadata, "expiry_time": ends.isoformat()}

        return AioRefreshableCredentials.create_from_metadata(await again(), refresh_using=again, method=self.method)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> CredentialsClock:
    """Replace the clock by which renewals are spaced."""
    clock = CredentialsClock()
    monkeypatch.setattr(credentials, "monotonic", clock)
    return clock


async def pause() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_credentials_are_looked_for_once_while_they_last(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    keys = SigningKeys(place)
    await keys.start()
    for _ in range(3):
        clock.now += 600.0
        assert (await keys.key()).id == "key-1"
    assert place.visits == 1


async def test_credentials_near_their_end_are_used_while_new_ones_are_fetched(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    place.life_s = 300.0
    keys = SigningKeys(place)
    await keys.start()
    clock.now += 60.0
    place.may_answer.clear()
    assert (await keys.key()).id == "key-1"
    place.may_answer.set()
    await pause()
    clock.now += 1.0
    assert (await keys.key()).id == "key-2"


async def test_credentials_that_are_valid_are_used_while_their_renewal_fails(
    clock: CredentialsClock, caplog: pytest.LogCaptureFixture
) -> None:
    place = CredentialsPlace()
    place.life_s = 300.0
    keys = SigningKeys(place)
    await keys.start()
    place.failure = FAILS
    for _ in range(120):
        clock.now += 1.0
        assert (await keys.key()).id == "key-1"
        await pause()
    assert caplog.messages == ["credentials.not_renewed"] * 2
    assert 50 <= place.visits <= 70

    place.failure = None
    clock.now += 1.0
    await keys.key()
    await pause()
    clock.now += 1.0
    assert (await keys.key()).id == f"key-{place.visits}"


async def test_credentials_that_end_between_two_renewals_are_replaced_at_once(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    # They are not used any more ten seconds before their end.
    place.life_s = 10.2
    keys = SigningKeys(place)
    await keys.start()
    assert (await keys.key()).id == "key-1"
    place.life_s = 3600.0
    await asyncio.sleep(0.3)
    clock.now += 2.0
    assert (await keys.key()).id == "key-2"


async def test_credentials_that_have_ended_are_none(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    place.life_s = 5.0
    keys = SigningKeys(place)
    await keys.start()
    with pytest.raises(NotSentError, match="have ended"):
        await keys.key()
    place.life_s = 3600.0
    clock.now += 1.0
    assert (await keys.key()).id == "key-2"


async def test_all_calls_wait_for_one_renewal(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    place.is_empty = True
    keys = SigningKeys(place)
    await keys.start()
    clock.now += 1.0
    place.is_empty = False
    place.may_answer.clear()
    calls = [asyncio.create_task(keys.key()) for _ in range(50)]
    await pause()
    calls[0].cancel()
    place.may_answer.set()
    found = await asyncio.gather(*calls[1:])
    assert place.visits == 2
    assert {key.id for key in found} == {"key-2"}


async def test_a_storm_of_calls_asks_a_place_that_fails_once_a_second(
    clock: CredentialsClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place = CredentialsPlace()
    place.failure = FAILS
    keys = SigningKeys(place)
    await keys.start()
    for _ in range(100):
        clock.now += 0.1
        calls = [keys.key() for _ in range(20)]
        assert all(isinstance(error, NotSentError) for error in await asyncio.gather(*calls, return_exceptions=True))
    assert place.visits <= 11

    place.failure = None
    clock.now += 1.0
    assert (await keys.key()).id == f"key-{place.visits}"
    assert caplog.messages == ["credentials.missing", "credentials.found"]


async def test_a_renewal_that_hangs_is_given_up(clock: CredentialsClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_LOAD_TIMEOUT_S", 0.01)
    place = CredentialsPlace()
    place.may_answer.clear()
    keys = SigningKeys(place)
    await keys.start()
    with pytest.raises(NotSentError, match="no answer within"):
        await keys.key()
    place.may_answer.set()
    clock.now += 1.0
    assert (await keys.key()).id == "key-2"


async def test_what_nobody_foresaw_ends_a_renewal_and_not_its_callers(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    place.failure = KeyError("Expiration")
    keys = SigningKeys(place)
    await keys.start()
    clock.now += 1.0
    with pytest.raises(NotSentError, match="Expiration"):
        await keys.key()


async def test_bad_configuration_ends_the_start() -> None:
    place = CredentialsPlace()
    place.failure = ProfileNotFound(profile="nobody")
    with pytest.raises(ProfileNotFound):
        await SigningKeys(place).start()


async def test_credentials_that_aws_refuses_are_replaced(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    keys = SigningKeys(place)
    await keys.start()
    refused = await keys.key()
    clock.now += 61.0
    keys.doubt(refused, "ExpiredTokenException")
    replaced = await keys.key()
    assert replaced.id == "key-2"
    # The answer to a call that was signed before.
    keys.doubt(refused, "ExpiredTokenException")
    assert await keys.key() == replaced
    assert place.visits == 2


async def test_credentials_that_stay_refused_are_looked_for_once_a_second(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    keys = SigningKeys(place)
    await keys.start()
    for _ in range(100):
        clock.now += 0.1
        try:
            keys.doubt(await keys.key(), "Signature expired")
        except NotSentError as error:
            assert "Signature expired" in str(error)  # noqa: PT017 - in most rounds
    assert 5 <= place.visits <= 11


async def test_credentials_of_another_place_do_not_replace_ours(clock: CredentialsClock) -> None:
    """Such as an instance's role, which is found while the file with ours is being written."""
    place = CredentialsPlace()
    keys = SigningKeys(place)
    await keys.start()
    place.method = "iam-role"
    clock.now += 61.0
    keys.doubt(await keys.key(), "ExpiredTokenException")
    with pytest.raises(NotSentError, match="iam-role"):
        await keys.key()
    place.method = "container-role"
    clock.now += 1.0
    assert (await keys.key()).id == "key-3"


async def test_a_client_that_closes_gives_up_its_renewal(clock: CredentialsClock) -> None:
    place = CredentialsPlace()
    place.is_empty = True
    keys = SigningKeys(place)
    await keys.start()
    clock.now += 1.0
    place.may_answer.clear()
    waiting = asyncio.create_task(keys.key())
    await pause()
    await keys.close()
    await asyncio.wait([waiting])
    assert len(asyncio.all_tasks()) == 1


async def test_the_log_says_what_to_do_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    place = CredentialsPlace()
    keys = SigningKeys(place)
    await keys.start()
    keys.doubt(await keys.key(), "Signature expired: 20261126T000000Z is now earlier than 20261126T010000Z")
    (record,) = caplog.records
    fields = vars(record)["fields"]
    assert "clock" in fields["next"]
    assert "key-1" not in json.dumps(fields)
