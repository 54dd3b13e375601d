"""The write of an entry under a caller's own id, which may be taken already (``docs/design/engine.md``, section 5)."""

import asyncio

import msgspec

from counters.errors import OutcomeUnknownError, OverloadedError
from counters.keys import Ledger
from counters.lanes.tickets import Ticket
from counters.model import LedgerPage
from counters.stores.port import Store


class Insert:
    """One create under a caller's own id: where its id is free, or its last entry was deleted, the entry is stored.

    Every try is conditional on exactly the emptied page that was seen, or on none. So of two creates one wins, and a
    late try of the other finds a page that it did not see.
    """

    def __init__(self, store: Store, ledger: Ledger, ticket: Ticket) -> None:
        self._store = store
        self._ledger = ledger
        self._ticket = ticket
        ticket.entry = msgspec.structs.replace(ticket.entry, revision=ticket.revision)
        self._began_at = asyncio.get_running_loop().time()
        self._emptied: LedgerPage | None = None
        self._is_in_doubt = False
        self._is_used = False

    @property
    def unused(self) -> int:
        """The entry's amount if it was certainly never stored, else 0."""
        return 0 if self._is_used or self._is_in_doubt else self._ticket.entry.amount

    async def send(self) -> bool:
        """Try once; return whether the ticket is answered. If not, another try is due at once.

        Raises:
            NotAppliedError: Nothing was changed by this try.
            OutcomeUnknownError: The entry may be stored. The next try finds out.
            TimeoutError: Likewise.
            StoreRejectedError: The store refuses it for good.
        """
        ticket = self._ticket
        ticket.asked_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(ticket.deadline):
                taken = await self._store.insert_page(self._ledger, [ticket.entry], self._emptied)
        except (OutcomeUnknownError, TimeoutError):
            self._is_in_doubt = True
            raise
        return self._is_answered(taken)

    def _is_answered(self, taken: LedgerPage | None) -> bool:
        """Answer the ticket if the page that has the id tells how."""
        if taken is None or taken.nonce == self._ticket.entry.nonce:
            self._is_used = True
            if taken is not None and not taken.entries:
                # Deleted since. A caller who came after the first try may have come after the delete, too.
                self._ticket.asked_at = self._began_at
            self._ticket.store()
            return True
        if taken.entries:
            self._ticket.replay(taken.entries[0])
            return True
        if self._is_in_doubt and taken != self._emptied:
            # An earlier try may have stored the entry. It was deleted, and so was another one after it.
            self._ticket.fail(OverloadedError("Others use this id at the same time; look for it, or try again."))
            return True
        # A page without a nonce: the one that was seen is gone, or a hand took the nonce away.
        self._emptied = taken if taken.nonce is not None or self._emptied is None else None
        return False
