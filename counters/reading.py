"""Reading accounts with their counters, also those that a hand damaged."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Final, TypeVar

import msgspec

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter, missing_counter
from counters.errors import AccountNotFoundError, CounterDamagedError
from counters.keys import SERVICES, CounterKey
from counters.model import Account, Counter
from counters.retry import repeat
from counters.stores.port import Store

T = TypeVar("T")

_READ_MAX: Final = 100
"""Most items in one batch read; DynamoDB's limit for BatchGetItem."""


class AccountView(msgspec.Struct, frozen=True):
    """An account with its ``services`` counter, each as it was when read."""

    account: Account
    counter: Counter | DamagedCounter


class AccountReader:
    """Reads accounts and their counters.

    An account and its counter are two items, made and deleted together. So one without the other is damage, unless a
    deletion came between the two reads. To find out, the item that exists is read a second time.
    """

    def __init__(self, store: Store, *, random: Random, deadline_s: float) -> None:
        self._store = store
        self._random = random
        self._deadline_s = deadline_s

    async def read_view(self, account_id: str, deadline: float) -> AccountView:
        """Return an account.

        Raises:
            AccountNotFoundError: There is no such account, or it is being deleted.
            OverloadedError: No answer in time.
        """
        read_account = partial(self._read_account, account_id, deadline)
        read_counter = partial(self._read_counter, account_id, deadline)
        account, counter = await asyncio.gather(read_account(), read_counter())
        if account is None and counter is not None and await read_counter() is not None:
            account = _missing_account(account_id)
        if counter is None and account is not None and await read_account() is not None:
            counter = missing_counter(CounterKey(account_id, SERVICES))
        if account is None or counter is None or counter.is_closed:
            raise AccountNotFoundError(account_id)
        return AccountView(account, counter)

    async def read_views(self, account_ids: Sequence[str]) -> list[AccountView]:
        """Return the existing ones of these accounts, in the same order.

        Raises:
            OverloadedError: No answer in time.
        """
        accounts, counters = await asyncio.gather(self._read_accounts(account_ids), self.read_counters(account_ids))
        lost = [id_ for id_ in account_ids if id_ in counters and id_ not in accounts]
        if lost:
            accounts |= {id_: _missing_account(id_) for id_ in await self._read_stored_counters(lost)}
        return [AccountView(accounts[id_], counters[id_]) for id_ in account_ids if id_ in accounts and id_ in counters]

    async def read_counters(self, account_ids: Sequence[str]) -> dict[str, Counter | DamagedCounter]:
        """Return the counters of the existing ones of these accounts, by account id.

        Raises:
            OverloadedError: No answer in time.
        """
        counters = await self._read_stored_counters(account_ids)
        lost = [id_ for id_ in account_ids if id_ not in counters]
        if lost:
            counters |= {id_: missing_counter(CounterKey(id_, SERVICES)) for id_ in await self._read_accounts(lost)}
        return counters

    async def _read_account(self, account_id: str, deadline: float) -> Account | None:
        return await repeat(lambda: self._store.read_account(account_id), deadline, self._random)

    async def _read_counter(self, account_id: str, deadline: float) -> Counter | DamagedCounter | None:
        key = CounterKey(account_id, SERVICES)
        try:
            return await repeat(lambda: self._store.read_counter(key), deadline, self._random)
        except CounterDamagedError as error:
            return error.counter

    async def _read_accounts(self, ids: Sequence[str]) -> dict[str, Account]:
        reads = [partial(self._store.read_accounts, part) for part in _parts(ids)]
        found: dict[str, Account] = {}
        for part in await asyncio.gather(*map(self._repeat, reads)):
            found |= part
        return found

    async def _read_stored_counters(self, ids: Sequence[str]) -> dict[str, Counter | DamagedCounter]:
        wanted = [[CounterKey(id_, SERVICES) for id_ in part] for part in _parts(ids)]
        reads = [partial(self._store.read_counters, part) for part in wanted]
        parts = await asyncio.gather(*map(self._repeat, reads))
        return {key.account_id: counter for part in parts for key, counter in part.items()}

    async def _repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        return await repeat(call, asyncio.get_running_loop().time() + self._deadline_s, self._random)


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _READ_MAX] for start in range(0, len(ids), _READ_MAX)]


def _missing_account(account_id: str) -> Account:
    """Return the stand-in for an account whose item is missing while its counter exists."""
    return DamagedAccount(
        id=account_id, username="", created_at_ms=0, unreadable=(keys.USERNAME, keys.CREATED_AT), seen={}
    )
