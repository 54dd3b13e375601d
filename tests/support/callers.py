"""Callers who create side by side, and what they are told."""

import asyncio
from collections.abc import Awaitable, Sequence

from counters.entries import Entries
from counters.keys import CounterKey
from counters.model import Created

LATENCY_S = 0.004
"""What one call to the store takes, in seconds."""


async def outcomes_of(calls: Sequence[Awaitable[Created]]) -> tuple[list[Created], list[BaseException]]:
    """Wait for all of them; return the successes and the failures."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    return created, [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


def creates(entries: Entries, key: CounterKey, number: int) -> list[Awaitable[Created]]:
    """Return a number of creates, not yet awaited."""
    return [entries.create(key, f"service {n}") for n in range(number)]
