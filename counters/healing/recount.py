"""Recounts: add up a ledger, page by page (``docs/design/engine.md``, section 7)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec

from counters.damage import DamagedEntry
from counters.keys import SLOTS_MAX, CounterKey, slot_of
from counters.model import Entry
from counters.retry import repeat
from counters.stores.port import Store

_PAGE: Final = 1000
"""Entries read in one call: about 40 read units, and a pause for other work of some milliseconds of decoding."""


class Recount(msgspec.Struct, frozen=True, kw_only=True):
    """What a recount found; while the counter is in use, it may be of no one instant.

    Attributes:
        total: The total of the entries that were to be counted.
        unreadable: Entries of which something cannot be read. They are in the total.
        slots: The least number of slots with which every entry is in its own slot; None when there is no such number.
    """

    total: int
    unreadable: int
    slots: int | None


class _Found:
    """A recount under way."""

    def __init__(self, slots: int | None, up_to: int | None) -> None:
        self.total = 0
        self._up_to = up_to
        self.unreadable = 0
        self.are_slots_known = slots is not None
        self.slots = {slots} if slots is not None else set(range(1, SLOTS_MAX + 1))

    def add(self, slot: int, entries: Sequence[Entry]) -> None:
        if self._up_to is not None:
            entries = [entry for entry in entries if entry.revision <= self._up_to]
        self.total += sum(entry.amount for entry in entries)
        self.unreadable += sum(isinstance(entry, DamagedEntry) for entry in entries)
        if not self.are_slots_known:
            self.slots = {one for one in self.slots if all(slot_of(entry.id, one) == slot for entry in entries)}


class Recounter:
    """Adds up ledgers."""

    def __init__(self, store: Store, *, random: Random, deadline_s: float) -> None:
        self._store = store
        self._random = random
        self._deadline_s = deadline_s

    async def count(self, key: CounterKey, slots: int | None, up_to: int | None = None) -> Recount:
        """Recount a counter.

        Args:
            key: The counter.
            slots: Partitions of its ledger; None to look into all that there can be and find the number.
            up_to: Count only the entries that were reserved up to this revision; None for all.

        Raises:
            OverloadedError: The store did not answer in time.
        """
        found = _Found(slots, up_to)
        await asyncio.gather(*(self._add_slot(found, key, slot) for slot in range(slots or SLOTS_MAX)))
        return Recount(total=found.total, unreadable=found.unreadable, slots=min(found.slots, default=None))

    async def _add_slot(self, found: _Found, key: CounterKey, slot: int) -> None:
        async for entries in self.read(key, slot):
            found.add(slot, entries)

    async def read(self, key: CounterKey, slot: int) -> AsyncIterator[list[Entry]]:
        """Yield the entries of one slot in parts, none of them empty, in the order of their ids.

        Raises:
            OverloadedError: The store did not answer in time.
        """
        more = True
        after: str | None = None
        while more:
            read = partial(self._store.list_entries, key, slot, _PAGE, after)
            entries, more = await repeat(read, asyncio.get_running_loop().time() + self._deadline_s, self._random)
            if entries:
                yield entries
            after = entries[-1].id if entries else None
