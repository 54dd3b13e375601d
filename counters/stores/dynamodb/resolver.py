"""Looking up the endpoint's name, so that a slow name server holds up as few calls as possible."""

from __future__ import annotations

import asyncio
import logging
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_FRESH_S: Final = 10.0
_USABLE_S: Final = 300.0
"""An answer older than that is not used: DynamoDB takes addresses out of service."""

logger = logging.getLogger(__name__)


class _Question(NamedTuple):
    host: str
    port: int
    family: socket.AddressFamily


class _Answer(NamedTuple):
    addresses: list[ResolveResult]
    at: float


class LastingResolver(AbstractResolver):
    """Answers at once from what it knows, and asks anew in the background when that is no longer fresh (RFC 8767).

    One look-up of a name is under way at a time. Who gives up waiting for it leaves it to the others.
    """

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()
        self._answers: dict[_Question, _Answer] = {}
        self._look_ups: dict[_Question, asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a host's addresses.

        Raises:
            OSError: The name is not known, or nobody could be asked.
        """
        question = _Question(host, port, family)
        known = self._answers.get(question)
        age_s = monotonic() - known.at if known else _USABLE_S
        if known is not None and age_s < _USABLE_S:
            if age_s >= _FRESH_S:
                self._look_up(question)
            return known.addresses
        return await asyncio.shield(self._look_up(question))

    def _look_up(self, question: _Question) -> asyncio.Task[list[ResolveResult]]:
        task = self._look_ups.get(question)
        if task is None:
            task = self._look_ups[question] = asyncio.create_task(self._ask(question))
            task.add_done_callback(_note_failure)
        return task

    async def _ask(self, question: _Question) -> list[ResolveResult]:
        try:
            addresses = await self._resolver.resolve(*question)
            self._answers[question] = _Answer(addresses, monotonic())
        finally:
            del self._look_ups[question]
        return addresses

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._look_ups.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._resolver.close()


def _note_failure(task: asyncio.Task[list[ResolveResult]]) -> None:
    # Often nobody waits for it, and then its failure would be reported as one that was never looked at.
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("resolver.failed", extra={"fields": {"reason": str(error)}})
