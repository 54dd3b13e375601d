"""A baseline behind the API's routes: accounts with a limit, and entries created and deleted its way."""

import time
import uuid
from typing import cast

from api.backend import Backend
from counters.keys import SERVICES, CounterKey
from counters.model import Account, Counter, Enforcement
from counters.reading import AccountView
from load.compare.baselines.entries import BASELINES, BaselineEntries
from load.compare.baselines.table import BaselineTable


def make_backend(name: str, table: BaselineTable) -> Backend:
    """Return a baseline as what the routes need; those that are not compared fail."""
    return cast("Backend", _Baseline(BASELINES[name](table)))


class _Baseline:
    """The parts of ``Backend`` that are compared, and what a server needs to start and stop."""

    def __init__(self, entries: BaselineEntries) -> None:
        self.entries = entries
        self.accounts = _Accounts(entries)
        # Asked for with every route's dependencies, used by none that is compared.
        self.healer = None

    async def ready(self) -> bool:
        return True

    async def drain(self) -> None:
        pass


class _Accounts:
    def __init__(self, entries: BaselineEntries) -> None:
        self._entries = entries

    async def create(self, username: str, limit: int, enforcement: Enforcement) -> AccountView:
        now_ms = time.time_ns() // 1_000_000
        account = Account(id=str(uuid.uuid4()), username=username, created_at_ms=now_ms)
        await self._entries.open_account(account.id, limit)
        key = CounterKey(account.id, SERVICES)
        return AccountView(account, Counter(key=key, limit=limit, enforcement=enforcement))
