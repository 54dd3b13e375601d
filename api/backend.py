"""What the routes need from the core, as ports: another engine can stand behind the same routes."""

from typing import Protocol

from counters.damage import DamagedCounter
from counters.healing.healer import Diagnosis
from counters.keys import CounterKey
from counters.model import Counter, Created, Deletion, Enforcement, Entry
from counters.reading import AccountView
from counters.values.pages import Page


class AccountsPort(Protocol):
    """Operations on accounts; what each owes is written at ``counters.accounts.Accounts``."""

    async def create(self, username: str, limit: int, enforcement: Enforcement) -> AccountView:
        """Make an account."""

    async def get(self, account_id: str) -> AccountView:
        """Return an account."""

    async def update(
        self, account_id: str, *, username: str | None, limit: int | None, enforcement: Enforcement | None
    ) -> AccountView:
        """Change what is given and return the account."""

    async def delete(self, account_id: str) -> Deletion:
        """Delete an account with its counters and their entries, as much as the time allows."""

    async def page(self, limit: int, cursor: str | None) -> Page[AccountView]:
        """Return a page of all accounts."""

    async def counters(self, account_id: str) -> Page[Counter | DamagedCounter]:
        """Return all counters of an account."""

    async def page_of_counters(self, limit: int, cursor: str | None) -> Page[Counter | DamagedCounter]:
        """Return a page of all accounts' counters."""


class EntriesPort(Protocol):
    """Operations on the entries of counters; what each owes is written at ``counters.entries.Entries``."""

    async def create(self, key: CounterKey, name: str, entry_id: str | None) -> Created:
        """Add an entry, if the counter has room for it."""

    async def get(self, key: CounterKey, entry_id: str) -> Entry:
        """Return an entry."""

    async def rename(self, key: CounterKey, entry_id: str, name: str) -> Entry:
        """Set an entry's name and return the entry."""

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and give its amount back."""

    async def delete_all(self, key: CounterKey) -> Deletion:
        """Delete the entries of a counter, as many as the time allows."""

    async def page(self, key: CounterKey, limit: int, cursor: str | None) -> Page[Entry]:
        """Return a page of a counter's entries."""


class HealerPort(Protocol):
    """Recounts of counters; what each owes is written at ``counters.healing.healer.Healer``."""

    async def diagnose(self, key: CounterKey) -> Diagnosis:
        """Recount a counter and change nothing."""

    async def reconcile(self, key: CounterKey, *, recount_eventual: bool) -> Diagnosis:
        """Recount a counter and set it to what was found, also a damaged one."""


class Backend(Protocol):
    """The engine behind the routes, from the application's start to its stop."""

    @property
    def accounts(self) -> AccountsPort:
        """Operations on accounts."""

    @property
    def entries(self) -> EntriesPort:
        """Operations on entries."""

    @property
    def healer(self) -> HealerPort:
        """Recounts of counters."""

    async def ready(self) -> bool:
        """Tell whether requests can be served; cheap enough to be asked all the time."""

    async def drain(self) -> None:
        """Let no new operation in and finish all that were."""
