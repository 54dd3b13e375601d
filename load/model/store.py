"""The engine's side of the model's table: its store, with time, limits and a bill, and what its Lambda writes."""

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from counters import keys
from counters.keys import CounterKey, Ledger
from counters.model import Change, Changed, Counter, Entry, LedgerPage, Refused
from counters.stores.memory import MemoryStore
from load.model.assumptions import POLLS_PER_S, Call
from load.model.client import ModelClient
from load.model.table import ModelTable, ThrottledError

_CRC_RANGE: Final = 2.0**32
_PHASES: Final = 10
"""Shards are polled at different times."""


class ModelStore(MemoryStore):
    """One process's store. What creates need takes time and units; what only prepares a run is free."""

    def __init__(self, client: ModelClient) -> None:
        super().__init__()
        self._client = client
        self._table = client.table
        self._memory = client.table.memory
        # All processes see one memory.
        vars(self).update(vars(self._memory))

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""

        async def effect() -> Counter | None:
            self._table.read(keys.counter_key(key).pk, keys.exact_key(key).pk)
            return await self._memory.read_counter(key)

        return await self._client.send(Call.BATCH_GET, effect, items=2)

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``; a refused write is paid for like any other."""

        async def effect() -> Changed | Refused:
            self._table.write(keys.counter_key(key))
            self._table.usage.flushes += 1
            return await self._memory.change_counter(key, change)

        return await self._client.send(Call.UPDATE, effect)

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``; callers' own ids are taken to be random, so that a split for heat helps. Ours only grow."""

        async def effect() -> LedgerPage | None:
            page_key = ledger.page_key(entries[0].id)
            spread = None if keys.is_ours(page_key.sk) else zlib.crc32(page_key.sk.encode()) / _CRC_RANGE
            self._table.write(page_key, spread)
            self._table.entries[ledger.counter] += len(entries)
            self._table.unsettled[ledger.counter, ledger.slot_of(entries[0].id)] = None
            return await self._memory.insert_page(ledger, entries, emptied)

        return await self._client.send(Call.PUT, effect, items=len(entries))


async def settle(table: ModelTable) -> None:
    """Write what the Lambda does until the run ends: one item for each slot with new entries, once a poll.

    Each slot is a shard of the stream. What is throttled is settled by a later poll.
    """
    while True:
        for phase in range(_PHASES):
            await asyncio.sleep(1 / POLLS_PER_S / _PHASES)
            for key, slot in [one for one in table.unsettled if one[1] % _PHASES == phase]:
                with suppress(ThrottledError):
                    table.write(keys.exact_key(key))
                    table.usage.settle_units += 1.0
                    del table.unsettled[key, slot]
