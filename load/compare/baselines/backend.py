"""A baseline behind the API's routes: accounts with a limit, and entries created and deleted its way."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Final, Protocol, cast

from counters.keys import SERVICES, CounterKey
from counters.model import Account, Counter, Created, Enforcement
from counters.reading import AccountView
from load.compare.baselines.conditional import Conditional
from load.compare.baselines.eventual_only import EventualOnly
from load.compare.baselines.read_check import ReadCheck
from load.compare.baselines.sharded import Sharded
from load.compare.baselines.table import translated
from load.compare.baselines.transactional import Transactional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.backend import Backend
    from load.compare.baselines.layout import Item
    from load.compare.baselines.table import BaselineTable


class BaselineEntries(Protocol):
    """What is compared."""

    def items_of_account(self, account_id: str, limit: int) -> Sequence[Item]:
        """Return the items that a new account starts with."""

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the counter has room for it, as far as the baseline can tell."""

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry."""


BASELINES: Final[Mapping[str, Callable[[BaselineTable], BaselineEntries]]] = {
    "transactional": Transactional,
    "conditional": Conditional,
    "read-check": ReadCheck,
    "sharded": Sharded,
    "eventual-only": EventualOnly,
}
"""By the names that ``load.server`` knows them by."""


def make_backend(name: str, table: BaselineTable) -> Backend:
    """Return a baseline as what the routes need; those that are not compared fail."""
    return cast("Backend", _Baseline(BASELINES[name](table), table))


class _Baseline:
    """The parts of ``Backend`` that are compared, and what a server needs to start and stop."""

    def __init__(self, entries: BaselineEntries, table: BaselineTable) -> None:
        self.entries = entries
        self.accounts = _Accounts(entries, table)
        # Asked for with every route's dependencies, used by none that is compared.
        self.healer = None

    async def ready(self) -> bool:
        return True

    async def drain(self) -> None:
        pass


class _Accounts:
    def __init__(self, entries: BaselineEntries, table: BaselineTable) -> None:
        self._entries = entries
        self._table = table

    async def create(self, username: str, limit: int, enforcement: Enforcement) -> AccountView:
        now_ms = time.time_ns() // 1_000_000
        account = Account(id=str(uuid.uuid4()), username=username, created_at_ms=now_ms)
        items = self._entries.items_of_account(account.id, limit)
        with translated():
            await asyncio.gather(
                *(self._table.client.put_item(TableName=self._table.name, Item=item) for item in items)
            )
        key = CounterKey(account.id, SERVICES)
        return AccountView(account, Counter(key=key, limit=limit, enforcement=enforcement))
