"""The port between the core and the database.

What every implementation owes:

- each method is one atomic step, or says otherwise;
- reads see every write that was answered before they started (strongly consistent);
- a failure is one of the ``StoreError`` classes and nothing else; the class must be true: ``NotAppliedError`` only
  when it is proven that nothing was changed;
- no method retries on its own: the core owns retries, because only it knows what may happen twice;
- a counter has two sides, which are stored apart: what enforcement needs, and the exact side, which settling writes.
  Reads give both, each as it was at an instant of the call. A write gives the first side only: the other one is as in a
  counter that nothing was settled for (``Counter.with_exact_of``);
- what a person wrote into the table raises nothing but ``CounterDamagedError``, and that only from a method that takes
  or gives one counter. Such a method may have made its change. Accounts and entries come as ``DamagedAccount`` and
  ``DamagedEntry``.

One contract suite (``tests/contract``) runs against every implementation and every backend.
"""

from collections.abc import Sequence
from typing import Protocol

from counters.damage import DamagedCounter
from counters.keys import CounterKey, Ledger
from counters.model import (
    Account,
    Census,
    Change,
    Changed,
    Counter,
    CutHealing,
    Entry,
    Healing,
    LedgerPage,
    Refused,
    TermsChange,
)


class Store(Protocol):
    """What the API's side of the core asks of the database."""

    async def ping(self) -> None:
        """Prove that the table can be read, and that its items are such as this code reads and writes.

        A table without accounts gets a note that they are; nothing else is changed.

        Raises:
            TableLayoutError: They are not.
        """

    async def create_account(self, account: Account, counter: Counter) -> None:
        """Store a new account, its directory line and its first counter: all or nothing.

        Repeating it for the same account does no harm: it does not overwrite, and an account that was deleted within
        the last day stays deleted.
        """

    async def read_account(self, account_id: str) -> Account | None:
        """Return the account, or None."""

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        """Set the username, unless it was changed since the account was seen.

        Returns:
            The account as it is now, whether or not this changed it; None when it does not exist. The change was made,
            now or by an earlier try, if the account has the nonce.
        """

    async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
        """Close a counter for ever, its limit at zero and its terms one version on; one that is closed stays as it is.

        Returns:
            The counter as it is now; None when it does not exist.
        """

    async def delete_account(self, key: CounterKey, at_ms: int) -> None:
        """Delete an account, its directory line and this counter: all or nothing. Absent ones do no harm.

        A mark stays for a day, so that a late try of ``create_account`` does not bring the account back.

        Raises:
            StoreRejectedError: The counter is not closed.
        """

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        """Return up to ``limit`` account ids in order, from the first past ``after``, and whether more follow."""

    async def read_accounts(self, account_ids: Sequence[str]) -> dict[str, Account]:
        """Return those of these accounts (100 at most) that exist, by id. Each is read on its own instant."""

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """Return the counter, or None."""

    async def read_counters(self, keys: Sequence[CounterKey]) -> dict[CounterKey, Counter | DamagedCounter]:
        """Return those of these counters (100 at most) that exist, by key. Each is read on its own instant."""

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """Make one flush: ``best_effort += delta``, one revision on; a part of it may be of before the cut.

        Refused when the counter does not exist. When it admits, also refused unless the counter's limit is the one
        given and ``best_effort + delta`` stays within it. When an epoch or an enforcement is given, also refused
        unless the counter's is the same.
        """

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """Set ``best_effort`` to the recounted total and end a cut, one epoch and one revision on.

        Refused when the counter does not exist or its revision is not the one given. A tightening counter becomes
        strict when its version is given, and the healing is refused when it has another one.
        """

    async def cut_counter(self, key: CounterKey, epoch: int) -> Changed | Refused:
        """Cut a strict counter where it is now, one epoch and one revision on; a cut that was there is gone.

        Refused when the counter does not exist, is not strict, or its epoch is not the one given.
        """

    async def note_cut_seen(self, key: CounterKey, epoch: int, at_ms: int) -> Changed | Refused:
        """Note that somebody saw the cut that began this epoch; refused when the counter has none or it was noted."""

    async def heal_cut(self, key: CounterKey, healing: CutHealing) -> Changed | Refused:
        """Set what ``best_effort`` has of before the cut to its recounted total, and end the cut.

        One epoch and one revision on. Refused when the counter does not exist or is not strict, when its epoch is not
        the one given, or what it has of before the cut is not the amount given.
        """

    async def change_census(self, key: CounterKey, seen: Census | None, census: Census) -> bool:
        """Note how far a census has come, or begin one in the place of what was seen; return whether this did it.

        Refused unless the census under way is the one that was seen, as far along; None: there is none. Refused also
        when one with this line or a later one has ended, as this is a late try then. What was answered does not matter,
        and stays; a census with another line has no answers yet.
        """

    async def raise_revision(self, key: CounterKey, line: int, revision: int | None) -> Changed | Refused:
        """Raise the counter's revision to the one after the line of a census, one epoch on.

        Refused when the counter does not exist or is past the line; when a revision is given, also unless the counter's
        is that one.
        """

    async def ask_page(self, ledger: Ledger, page_id: str, line: int) -> bool:
        """Let a page tell the stream what it holds, for the census of this line; return whether it did.

        Repeating does no harm. A page that is not there, is past the line, or was asked by a later census, does not.
        """

    async def end_census(self, key: CounterKey, line: int, at_ms: int) -> bool:
        """Set ``eventual`` to what the census of this line found, at this time; return whether this did it.

        Refused unless that census is under way, and all pages that it asked have answered.
        """

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        """Set the terms, one version on, if the version is the one that was seen and the counter is not closed.

        Returns:
            The counter as it is now, whether or not this changed it; None when it does not exist. The change was made,
            now or by an earlier try, if the counter has its nonce.
        """

    async def repair_counter(self, damaged: DamagedCounter, repaired: Counter) -> bool:
        """Put a counter in the place of a damaged one; return whether it did. Marks that can be read stay.

        Refused unless every other attribute is still as it was seen.
        """

    async def touch_damaged_counter(self, damaged: DamagedCounter, at_ms: int) -> None:
        """Note that a damaged counter was touched at this time, if all but its exact side is still as it was seen."""

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """Store the entries of one page, all or none, unless a page has its key already.

        A page that was emptied keeps its key for a day, so repeating does no harm, however late.

        Args:
            ledger: Where to store them.
            entries: The entries, which have the ids of one page. An entry under a caller's own id is alone in its page
                and has a nonce of this create, which is stored with it.
            emptied: The emptied page to put it in the place of. Then it is stored only if that page is still there.

        Returns:
            None when it was stored; else the page that has the key, an empty one also when ``emptied`` is gone.
        """

    async def read_entry(self, ledger: Ledger, entry_id: str) -> Entry | None:
        """Return the entry, or None."""

    async def read_entries(self, ledger: Ledger, entry_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the existing ones of these entries (100 at most), by id. Each is read on its own instant."""

    async def rename_entry(self, ledger: Ledger, seen: Entry, name: str, nonce: str) -> Entry | None:
        """Set the entry's name, unless it is another entry by now or its name was changed since it was seen.

        Returns:
            What has the id now, whether or not this changed it; None when nothing has. The change was made, now or by
            an earlier try, if the entry has the nonce.
        """

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """Delete entries of one page that were seen, all or none, at this time; return whether this did it.

        Refused when one is gone, and when another entry has its id by now. Of two deleters one does it. A page that is
        empty then goes a day later.
        """

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """Return up to ``limit`` entries of one slot in id order past ``after``, and whether more follow."""

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """Let a holder have the turn of this name until a time; False while another one has it.

        The holder that has it may take it again, to have it for longer or to give it back. Repeating does no harm.
        """
