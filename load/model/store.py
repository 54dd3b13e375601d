"""The engine's store in the model: the memory store, with time, limits and a bill."""

import zlib
from collections.abc import Sequence
from typing import Final

from counters import keys
from counters.keys import CounterKey
from counters.model import Change, Changed, Counter, Entry, Refused
from counters.stores.memory import MemoryStore
from load.model.assumptions import Call
from load.model.client import ModelClient

_CRC_RANGE: Final = 2.0**32


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
            self._table.read(keys.counter_key(key).pk)
            return await self._memory.read_counter(key)

        return await self._client.send(Call.GET, effect)

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``; a refused write is paid for like any other."""

        async def effect() -> Changed | Refused:
            self._table.write(keys.counter_key(key))
            self._table.usage.flushes += 1
            return await self._memory.change_counter(key, change)

        return await self._client.send(Call.UPDATE, effect)

    async def write_entries(self, key: CounterKey, slots: int, entries: Sequence[Entry]) -> list[Entry]:
        """See ``Store``; what finds no units comes back, as DynamoDB's UnprocessedItems."""

        async def effect() -> list[Entry]:
            pks = [keys.entry_key(key, slots, entry.id).pk for entry in entries]
            written = self._table.write_some(pks)
            stored = [one for one, is_in in zip(entries, written, strict=True) if is_in]
            await self._memory.write_entries(key, slots, stored)
            self._note(key, slots, stored)
            return [one for one, is_in in zip(entries, written, strict=True) if not is_in]

        return await self._client.send(Call.BATCH_WRITE, effect, len(entries))

    async def insert_entry(self, key: CounterKey, slots: int, entry: Entry) -> Entry | None:
        """See ``Store``; callers' own ids are taken to be random, so that a split for heat helps."""

        async def effect() -> Entry | None:
            spread = zlib.crc32(entry.id.encode()) / _CRC_RANGE
            self._table.write(keys.entry_key(key, slots, entry.id), spread)
            self._note(key, slots, [entry])
            return await self._memory.insert_entry(key, slots, entry)

        return await self._client.send(Call.PUT, effect)

    def _note(self, key: CounterKey, slots: int, stored: Sequence[Entry]) -> None:
        self._table.entries[key] += len(stored)
        self._table.unsettled.update(((key, keys.slot_of(entry.id, slots)), None) for entry in stored)
