"""A ledger cut into parts, to be deleted side by side within a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from counters.model import Entry

ReadPage: TypeAlias = Callable[[int, str | None], Awaitable[tuple[list[Entry], bool]]]
"""Reads a page of one slot, from the first id after the given one. The second value is True when more follow."""

PART_SIZE: Final = 25
"""Entries in a part: deleted side by side, and their amounts are released together."""

_START_SHARE: Final = 0.8
"""Share of the time in which parts are started: the rest is for those under way, and for the answer."""


class Parts:
    """A ledger in parts, shared by workers that delete them side by side.

    Attributes:
        deleted: Number of entries that the workers deleted.
        ended: Whether every part was taken.
    """

    def __init__(self, read: ReadPage, slots: int, deadline: float) -> None:
        """Begin at the ledger's start.

        Args:
            read: Reads a page of one slot.
            slots: Number of the ledger's slots.
            deadline: Event loop time in seconds by which the parts have to be deleted.
        """
        self.deleted = 0
        self.ended = False
        self._read = read
        self._slots = slots
        now = asyncio.get_running_loop().time()
        self._stop_at = now + _START_SHARE * (deadline - now)
        self._reading = asyncio.Lock()
        self._slot = 0
        self._after: str | None = None
        self._page: list[Entry] = []

    async def take(self) -> list[Entry]:
        """Return the next part; an empty one at the ledger's end, or when it is too late to start another."""
        async with self._reading:
            while asyncio.get_running_loop().time() < self._stop_at:
                if self._page:
                    part, self._page = self._page[:PART_SIZE], self._page[PART_SIZE:]
                    return part
                if self._slot == self._slots:
                    self.ended = True
                    break
                self._page, more = await self._read(self._slot, self._after)
                self._slot, self._after = (self._slot, self._page[-1].id) if more else (self._slot + 1, None)
            return []
