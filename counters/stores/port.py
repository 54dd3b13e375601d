"""The port between the core and the database.

What every implementation owes:

- each method is one atomic step, or says otherwise;
- reads see every write that was answered before they started (strongly consistent);
- a failure is one of the ``StoreError`` classes and nothing else; the class must be true: ``NotAppliedError`` only
  when it is proven that nothing was changed;
- no method retries on its own: the core owns retries, because only it knows what may happen twice;
- what a person wrote into the table raises nothing but ``CounterDamagedError``, and that only from a method that takes
  or gives one counter. Such a method may have made its change. Accounts and entries come as ``DamagedAccount`` and
  ``DamagedEntry``.

One contract suite (``tests/contract``) runs against every implementation and every backend.
"""

from collections.abc import Sequence
from typing import Protocol

from counters.damage import DamagedCounter
from counters.keys import CounterKey
from counters.model import Account, Change, Changed, Counter, Entry, Healing, Refused, TermsChange


class Store(Protocol):
    """What the API's side of the core asks of the database."""

    async def ping(self) -> None:
        """Prove that the table can be read; changes nothing."""

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
        """Make one flush: ``best_effort += delta``, one revision on.

        Refused when the counter does not exist. When it admits, also refused unless the counter's limit is the one
        given and ``best_effort + delta`` stays within it. When an epoch or an enforcement is given, also refused
        unless the counter's is the same.
        """

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """Set ``best_effort`` to the recounted total, one epoch and one revision on.

        Refused when the counter does not exist or its revision is not the one given; when ``eventual`` is set too, also
        refused unless the counter was last settled at the given time. A tightening counter becomes strict when its
        version is given, and the healing is refused when it has another one.
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
        """Note that a damaged counter was touched at this time, if all but the marks is still as it was seen."""

    async def write_entries(self, key: CounterKey, slots: int, entries: Sequence[Entry]) -> list[Entry]:
        """Store up to 25 entries under ids that nobody else uses; return those that were proven not stored.

        Each entry is its own atomic step. Repeating does no harm.
        """

    async def insert_entry(self, key: CounterKey, slots: int, entry: Entry) -> Entry | None:
        """Store an entry unless its id is taken; return None when stored, else the entry that has the id.

        An entry under a caller's own id has a nonce of this create, which is stored with it.
        """

    async def read_entry(self, key: CounterKey, slots: int, entry_id: str) -> Entry | None:
        """Return the entry, or None."""

    async def rename_entry(self, key: CounterKey, slots: int, seen: Entry, name: str, nonce: str) -> Entry | None:
        """Set the entry's name, unless it is another entry by now or its name was changed since it was seen.

        Returns:
            What has the id now, whether or not this changed it; None when nothing has. The change was made, now or by
            an earlier try, if the entry has the nonce.
        """

    async def delete_entry(self, key: CounterKey, slots: int, seen: Entry) -> bool:
        """Delete the entry that was seen; return whether this did it.

        Refused when it is gone, and when another entry has its id by now. Of two deleters one does it.
        """

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """Return up to ``limit`` entries of one slot in id order past ``after``, and whether more follow."""

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """Let a holder have the turn of this name until a time; False while another one has it.

        The holder that has it may take it again, to have it for longer or to give it back. Repeating does no harm.
        """
