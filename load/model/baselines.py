"""Ways to keep a limit that AWS's guides describe, as an application would write them.

They share no code with the engine. Retries are those of the SDK's standard mode, unless the class says otherwise.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from counters import keys
from counters.keys import CounterKey, PrimaryKey
from load.model.assumptions import Call
from load.model.client import ModelClient
from load.model.table import ConflictError, ThrottledError

SHARDS: Final = 10

_SDK_ATTEMPTS: Final = 3
_SDK_CAP_S: Final = 20.0
_OWN_ATTEMPTS: Final = 5
_OWN_BASE_S: Final = 0.05


class LimitError(Exception):
    """There is no room."""


class Baseline:
    """What the ways have in common: a client with the SDK's retries, and where entries go."""

    def __init__(self, client: ModelClient, limit: int, slots: int) -> None:
        self._client = client
        self._table = client.table
        self._counts = client.table.counts
        self._limit = limit
        self._slots = slots

    async def create(self, key: CounterKey) -> None:
        """Make one entry.

        Raises:
            LimitError: There is no room.
            ThrottledError: The SDK gave up.
            ConflictError: The transaction was cancelled.
        """
        raise NotImplementedError

    def _new_entry(self, key: CounterKey) -> PrimaryKey:
        return keys.entry_key(key, self._slots, f"{self._client.random.getrandbits(64):x}")

    async def _send(self, call: Call, effect: Callable[[], Awaitable[int]], items: int = 1) -> int:
        """Send a request as the SDK's standard mode does: up to three times, with exponential waits and full jitter."""
        for attempt in range(_SDK_ATTEMPTS - 1):
            try:
                return await self._client.send(call, effect, items)
            except ThrottledError:
                await asyncio.sleep(self._client.random.random() * min(2**attempt, _SDK_CAP_S))
        return await self._client.send(call, effect, items)

    async def _read(self, *pks: str) -> int:
        async def effect() -> int:
            self._table.read(*pks)
            return sum(self._counts.get(pk, 0) for pk in pks)

        return await self._send(Call.GET if len(pks) == 1 else Call.BATCH_GET, effect, len(pks))

    async def _add(self, key: PrimaryKey, delta: int, limit: float = math.inf) -> None:
        """Change a counter if it is below a limit; it costs the same if it is not."""

        async def effect() -> int:
            self._table.write(key)
            count = self._counts.get(key.pk, 0)
            if count >= limit:
                raise LimitError
            self._table.usage.flushes += 1
            self._counts[key.pk] = count + delta
            return 0

        await self._send(Call.UPDATE, effect)

    async def _put_entry(self, key: CounterKey) -> None:
        entry = self._new_entry(key)

        async def effect() -> int:
            self._table.write(entry)
            self._table.entries[key] += 1
            return 0

        await self._send(Call.PUT, effect)


class ModelTransactional(Baseline):
    """One transaction for each create: count one up if there is room, and put the entry. The SDK does not repeat it."""

    _ATTEMPTS = 1

    async def create(self, key: CounterKey) -> None:
        """See ``Baseline``."""
        counter = keys.counter_key(key)
        items = [counter, self._new_entry(key)]

        def prepare() -> None:
            if self._counts.get(counter.pk, 0) >= self._limit:
                raise LimitError
            self._table.prepare(items)

        def commit() -> None:
            self._counts[counter.pk] = self._counts.get(counter.pk, 0) + 1
            self._table.entries[key] += 1
            self._table.usage.flushes += 1
            self._table.finish(items)

        for attempt in range(self._ATTEMPTS):
            try:
                await self._client.transact(prepare, commit, len(items))
            except (ConflictError, ThrottledError):
                if attempt == self._ATTEMPTS - 1:
                    raise
                await asyncio.sleep(self._client.random.random() * _OWN_BASE_S * 2**attempt)
            else:
                return


class RetriedTransactional(ModelTransactional):
    """The same, sent up to five times by the application, with exponential waits from 50 ms and full jitter."""

    _ATTEMPTS = _OWN_ATTEMPTS


class ModelConditional(Baseline):
    """Count one up if there is room, and put the entry; if that fails, count one down, as far as that works."""

    async def create(self, key: CounterKey) -> None:
        """See ``Baseline``."""
        counter = keys.counter_key(key)
        await self._add(counter, 1, self._limit)
        try:
            await self._put_entry(key)
        except ThrottledError:
            with suppress(ThrottledError):
                await self._add(counter, -1)
            raise


class AtomicUpdate(Baseline):
    """Read the counter, look whether there is room, put the entry, and count one up. It may go over the limit."""

    async def create(self, key: CounterKey) -> None:
        """See ``Baseline``."""
        counter = keys.counter_key(key)
        if await self._read(counter.pk) >= self._limit:
            raise LimitError
        await self._put_entry(key)
        await self._add(counter, 1)


class ModelSharded(Baseline):
    """The same with ten counters for one: all are read, one of them is counted up. It may go over the limit."""

    async def create(self, key: CounterKey) -> None:
        """See ``Baseline``."""
        counter = keys.counter_key(key)
        shards = [f"{counter.pk}#{shard}" for shard in range(SHARDS)]
        if await self._read(*shards) >= self._limit:
            raise LimitError
        await self._put_entry(key)
        await self._add(PrimaryKey(self._client.random.choice(shards), counter.sk), 1)
