"""The credentials that sign calls: found by the SDK, renewed by one task for all, kept while a renewal fails."""

from __future__ import annotations

import asyncio
import logging
import math
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from aiobotocore.session import get_session
from aiodynamo.credentials import Key
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import (
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    InvalidIMDSEndpointError,
    InvalidIMDSEndpointModeError,
    PartialCredentialsError,
    ProfileNotFound,
    UnknownCredentialError,
)

from counters.stores.dynamodb.answers import NotSentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials

    _Found: TypeAlias = AioCredentials | AioRefreshableCredentials

MISCONFIGURED: Final = (
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    InvalidIMDSEndpointError,
    InvalidIMDSEndpointModeError,
    PartialCredentialsError,
    ProfileNotFound,
    UnknownCredentialError,
)
"""What a person has to correct, unlike a place for credentials that does not answer or has none yet."""

_RENEWED_BEFORE_END_S: Final = 15 * 60
_UNUSABLE_BEFORE_END_S: Final = 10
"""Longer than a call and the time between two looks."""

_LOOK_INTERVAL_S: Final = 1.0
_RETRY_INTERVAL_S: Final = 1.0
_RENEWAL_INTERVAL_S: Final = 60.0
"""For a place that gives out credentials which end soon, such as the metadata service just before it has new ones."""

_LOAD_TIMEOUT_S: Final = 10.0
_LOG_INTERVAL_S: Final = 60.0

_MISSING: Final = "credentials.missing"
_REFUSED: Final = "credentials.refused"
_NOT_RENEWED: Final = "credentials.not_renewed"
_FOUND: Final = "credentials.found"

logger = logging.getLogger(__name__)


class MissingCredentialsError(Exception):
    """The places where the SDK looks have no credentials for us."""


async def load_credentials() -> _Found | None:
    """Return what the SDK finds now, in its usual places; None: nothing."""
    # A session keeps what it read of its files, also that there was nothing.
    found: _Found | None = await get_session().get_credentials()
    return found


class SigningKeys:
    """The credentials of the process.

    One renewal is under way at a time, however many calls wait for it. It starts long before the credentials end, and
    those that are still valid are used meanwhile. After a failure there is a pause, in which calls fail at once.

    Args:
        load: Finds credentials; each call asks anew.
    """

    def __init__(self, load: Callable[[], Awaitable[_Found | None]] = load_credentials) -> None:
        self._load = load
        self._found: _Found | None = None
        self._key: Key | None = None
        self._trusted_until = 0.0
        self._is_refused = False
        self._trouble = "nothing was looked for yet"
        self._renewal: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._was_found = False
        self._log = _Log()

    async def start(self) -> None:
        """Look for credentials once; when there are none yet, say so and go on.

        Raises:
            BotoCoreError: One of ``MISCONFIGURED``.
        """
        try:
            await self._load_key()
        except MISCONFIGURED:
            raise
        except Exception as error:  # noqa: BLE001 - see ``_renew``
            self._note_failure(error)

    async def close(self) -> None:
        """Give up a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    async def key(self) -> Key:
        """Return the credentials to sign with; waits only where there are none that can be used.

        Raises:
            NotSentError: There are none.
        """
        now = monotonic()
        if self._key is not None and now < self._trusted_until:
            return self._key
        if self._renewal is None and not self._lasts(_RENEWED_BEFORE_END_S) and self._may_ask(now):
            self._renewal = asyncio.create_task(self._renew())
        if self._renewal is not None and not self._lasts(_UNUSABLE_BEFORE_END_S):
            await asyncio.shield(self._renewal)
        if self._key is None or not self._lasts(_UNUSABLE_BEFORE_END_S):
            raise NotSentError(f"There are no credentials for AWS: {self._trouble}")
        self._trusted_until = monotonic() + _LOOK_INTERVAL_S
        return self._key

    def doubt(self, key: Key, reason: str) -> None:
        """Look for other credentials, as AWS refused a signature.

        Args:
            key: What the call was signed with.
            reason: What AWS said.
        """
        if key is not self._key or self._is_refused:
            return
        self._is_refused = True
        self._trouble = reason
        self._trusted_until = 0.0
        self._log.say(logging.ERROR, _REFUSED, reason)

    def _may_ask(self, now: float) -> bool:
        is_well = self._was_found and self._lasts(_UNUSABLE_BEFORE_END_S)
        return now >= self._asked_at + (_RENEWAL_INTERVAL_S if is_well else _RETRY_INTERVAL_S)

    def _lasts(self, seconds: int) -> bool:
        """Return whether the credentials can be used for so long, in seconds."""
        return self._found is not None and not self._is_refused and not _ends_within(self._found, seconds)

    async def _renew(self) -> None:
        try:
            await self._load_key()
        except Exception as error:  # noqa: BLE001 - callers wait for this, so whatever it is ends as an answer to them
            self._note_failure(error)
        finally:
            self._renewal = None

    async def _load_key(self) -> None:
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            found = await self._load()
            if found is None:
                raise MissingCredentialsError("no place that the AWS SDK knows has any")
            frozen = await found.get_frozen_credentials()
        if not frozen.access_key or not frozen.secret_key:
            raise MissingCredentialsError(f"those of {found.method} are empty")
        if self._found is not None and self._found.method != found.method:
            # Such as an instance's role, while the file with ours is being written.
            raise MissingCredentialsError(f"found some of {found.method}, while ours are of {self._found.method}")
        if _ends_within(found, _UNUSABLE_BEFORE_END_S):
            raise MissingCredentialsError(
                f"those of {found.method} have ended, or end within {_UNUSABLE_BEFORE_END_S} s"
            )
        key = Key(frozen.access_key, frozen.secret_key, frozen.token)
        if key != self._key:
            self._log.recovered(found.method)
        self._found, self._key, self._is_refused = found, key, False
        self._note_answer(was_found=True, trouble="they have ended")

    def _note_failure(self, error: Exception) -> None:
        reason = f"no answer within {_LOAD_TIMEOUT_S} s" if isinstance(error, TimeoutError) else repr(error)
        self._note_answer(was_found=False, trouble=reason)
        if self._lasts(_UNUSABLE_BEFORE_END_S):
            self._log.say(logging.WARNING, _NOT_RENEWED, reason)
        else:
            self._log.say(logging.ERROR, _MISSING, reason)

    def _note_answer(self, *, was_found: bool, trouble: str) -> None:
        self._asked_at = monotonic()
        self._was_found = was_found
        self._trouble = trouble


def _ends_within(found: _Found, seconds: int) -> bool:
    return isinstance(found, RefreshableCredentials) and found.refresh_needed(seconds)


class _Log:
    """Says what changed, and once a minute that it is still so."""

    def __init__(self) -> None:
        self._event = _FOUND
        self._silent_until = 0.0

    def say(self, level: int, event: str, reason: str) -> None:
        now = monotonic()
        if event != self._event or now >= self._silent_until:
            logger.log(level, event, extra={"fields": {"reason": reason, "next": _ADVICE[event]}})
            self._event, self._silent_until = event, now + _LOG_INTERVAL_S

    def recovered(self, method: str) -> None:
        if self._event != _FOUND:
            logger.info(_FOUND, extra={"fields": {"method": method}})
            self._event = _FOUND


_ADVICE: Final = {
    _MISSING: "Calls fail until credentials are found; the places are asked again every second.",
    _NOT_RENEWED: "The present ones are used until they end; the places are asked again every second.",
    _REFUSED: "Check this machine's clock and that the credentials are still valid; they are looked for again.",
}
