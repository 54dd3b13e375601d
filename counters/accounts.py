"""Accounts and the counters they own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Final, TypeVar

from counters.changes import compare_and_set
from counters.damage import DamagedCounter
from counters.entries import Entries
from counters.errors import AccountNotFoundError, CounterDamagedError, InvalidInputError, OverloadedError
from counters.healing.healer import Healer
from counters.keys import SERVICES, CounterKey
from counters.lanes.registry import Lanes
from counters.model import Account, Counter, Deletion, Enforcement, TermsChange
from counters.reading import AccountReader, AccountView
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock, check_id, new_nonce, uuid7
from counters.values.pages import Page, Position, check_page_limit, decode_cursor, encode_cursor

T = TypeVar("T")

DEFAULT_LIMIT: Final = 5000
"""The limit of a new account that names none."""

_ACCOUNTS_LIST: Final = "accounts"
_COUNTERS_LIST: Final = "counts"
_CLOSING_PAUSE_S: Final = 0.1

logger = logging.getLogger(__name__)


class Accounts:
    """What callers do with accounts. Every operation is answered within one deadline."""

    def __init__(  # noqa: PLR0913 - collaborators and settings, each under its name; a bundle would only hide them
        self,
        store: Store,
        entries: Entries,
        lanes: Lanes,
        healer: Healer,
        *,
        clock: Clock,
        random: Random,
        deadline_s: float,
        slots: int,
    ) -> None:
        self._store = store
        self._entries = entries
        self._lanes = lanes
        self._healer = healer
        self._reader = AccountReader(store, random=random, deadline_s=deadline_s)
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._slots = slots

    async def create(
        self, username: str, limit: int = DEFAULT_LIMIT, enforcement: Enforcement = Enforcement.STRICT
    ) -> AccountView:
        """Make an account whose ``services`` counter has this limit and this enforcement.

        Raises:
            OverloadedError: No answer in time. The account may exist all the same, under an id nobody knows.
        """
        now_ms = self._clock()
        account = Account(id=uuid7(now_ms, self._random), username=username, created_at_ms=now_ms)
        counter = Counter(
            key=CounterKey(account.id, SERVICES),
            limit=limit,
            enforcement=enforcement,
            slots=self._slots,
            touched_at_ms=now_ms,
        )
        await self._repeat(lambda: self._store.create_account(account, counter))
        logger.info("account.created", extra={"fields": {"account_id": account.id, "limit": limit}})
        return AccountView(account, counter)

    async def get(self, account_id: str) -> AccountView:
        """Return an account.

        Raises:
            InvalidInputError: An id that cannot be a key.
            AccountNotFoundError: There is no such account.
            OverloadedError: No answer in time.
        """
        return await self._get(account_id, self._deadline())

    async def _get(self, account_id: str, deadline: float) -> AccountView:
        check_id("account_id", account_id)
        return await self._reader.read_view(account_id, deadline)

    async def update(
        self,
        account_id: str,
        *,
        username: str | None = None,
        limit: int | None = None,
        enforcement: Enforcement | None = None,
    ) -> AccountView:
        """Change what is given and return the account.

        A limit below what is in use removes nothing: creates are refused until deletes have made room. A new limit
        holds for the next create of this process. Hybrid holds at once; a hybrid counter that is to be strict is
        tightening first. Username and terms are two steps, as they are in two items; a repeat after an error completes
        them.

        Raises:
            InvalidInputError: An id that cannot be a key, or an enforcement that nobody can ask for.
            AccountNotFoundError: There is no such account.
            CounterDamagedError: The counter whose terms are to be changed is damaged.
            ChangeConflictError: Somebody else made the same kind of change, and it is not known whether this one was
                made before.
            OverloadedError: No answer in time.
        """
        deadline = self._deadline()
        view = await self._get(account_id, deadline)
        account: Account | None = view.account
        counter: Counter | DamagedCounter | None = view.counter
        changes_terms = limit is not None or enforcement is not None
        if changes_terms:
            # Checked before anything is changed.
            _next_enforcement(_sound(view), enforcement)
        if username is not None:
            account = await self._rename(view.account, username, deadline)
        if changes_terms:
            counter = await self._update_terms(_sound(view), limit, enforcement, deadline)
        return _found(account_id, account, counter)

    async def _update_terms(
        self, counter: Counter, limit: int | None, enforcement: Enforcement | None, deadline: float
    ) -> Counter | None:
        if limit is None and _next_enforcement(counter, enforcement) is None:
            return counter
        changed = await self._change_terms(counter, limit, enforcement, deadline)
        fields = {"account_id": counter.key.account_id, "limit": limit, "enforcement": enforcement}
        logger.info("account.terms_changed", extra={"fields": fields})
        return changed

    async def _rename(self, account: Account, username: str, deadline: float) -> Account | None:
        nonce = new_nonce(self._random)
        return await compare_and_set(
            lambda seen: self._store.rename_account(seen, username, nonce),
            account,
            lambda now: now.username_nonce == nonce,
            deadline,
            self._random,
        )

    async def _change_terms(
        self, counter: Counter, limit: int | None, enforcement: Enforcement | None, deadline: float
    ) -> Counter | None:
        nonce = new_nonce(self._random)

        async def set_terms(seen: Counter) -> Counter | None:
            change = TermsChange(
                limit=limit,
                enforcement=_next_enforcement(seen, enforcement),
                seen_version=seen.terms_version,
                nonce=nonce,
                at_ms=self._clock(),
            )
            now = await self._store.set_terms(seen.key, change)
            return None if now is None or now.is_closed else now.with_exact_of(seen)

        changed = await compare_and_set(
            set_terms, counter, lambda now: now.terms_nonce == nonce, deadline, self._random
        )
        if changed is not None:
            self._lanes.learn(changed)
        return changed

    async def delete(self, account_id: str) -> Deletion:
        """Delete an account with its counters and their entries.

        It closes the counter first: from then on everybody but a deleter is told that there is no such account. After
        an error, or when there is more, a repeat goes on where this stopped. The items of the account go as soon as it
        is proven that no process has an entry under way. Otherwise the closed counter stays for a sweep.

        Raises:
            InvalidInputError: An id that cannot be a key.
            AccountNotFoundError: There is no such account.
            OverloadedError: No answer in time.
        """
        check_id("account_id", account_id)
        deadline = self._deadline()
        key = CounterKey(account_id, SERVICES)
        counter = await self._close(key, deadline)
        if counter is None:
            # Where only the counter is missing, it is damaged; unless it was repaired just now.
            _sound(await self._get(account_id, deadline))
            counter = await self._close(key, deadline)
        if counter is None:
            raise AccountNotFoundError(account_id)
        self._lanes.learn(counter)
        try:
            return await self._delete_closed(counter, deadline)
        except AccountNotFoundError:
            # Another deleter has ended it meanwhile.
            return Deletion(0, more=False)

    async def _close(self, key: CounterKey, deadline: float) -> Counter | None:
        return await self._repeat(lambda: self._store.close_counter(key, self._clock()), deadline)

    async def _delete_closed(self, counter: Counter, deadline: float) -> Deletion:
        key = counter.key
        # Asked before the ledger is read: entries of earlier admissions may be written until then.
        is_over = self._healer.is_over(counter)
        deletion = await self._entries.empty(counter, deadline)
        if not deletion.more and (is_over or await self._empties(counter, deadline)):
            await self._repeat(lambda: self._store.delete_account(key, self._clock()), deadline)
            logger.info("account.deleted", extra={"fields": {"account_id": key.account_id}})
        return deletion

    async def _empties(self, counter: Counter, deadline: float) -> bool:
        """Delete late entries of a closed ledger; return True when no more can come.

        Other processes may still write the entries that they reserved before the closing, until their deadlines. By the
        one-sided rule a ``best_effort`` of zero proves that no entry is left and none is under way. A hybrid counter
        follows the ledger, so its zero proves nothing. After faults ``best_effort`` may stay above zero.
        """
        key = counter.key
        if counter.enforcement is not Enforcement.STRICT:
            # Until then other processes may admit creates by a sight from before the closing.
            await asyncio.sleep(self._lanes.sight_lasts_s)
            with suppress(OverloadedError):
                await self._entries.empty(counter, deadline)
            return False
        with suppress(OverloadedError):
            while True:
                now = await self._repeat(lambda: self._store.read_counter(key), deadline)
                if now is None or now.best_effort <= 0:
                    return True
                await asyncio.sleep(min(_CLOSING_PAUSE_S, deadline - asyncio.get_running_loop().time()))
                await self._entries.empty(counter, deadline)
        return False

    async def page(self, limit: int, cursor: str | None) -> Page[AccountView]:
        """Return a page of all accounts, oldest first.

        Raises:
            InvalidInputError: A limit that is not 1 to 1000, or a cursor that this list did not give out.
            OverloadedError: No answer in time.
        """
        ids, next_cursor = await self._page_of_ids(_ACCOUNTS_LIST, limit, cursor)
        views = await self._reader.read_views(ids)
        return Page([view for view in views if not view.counter.is_closed], next_cursor)

    async def counters(self, account_id: str) -> Page[Counter | DamagedCounter]:
        """Return all counters of an account; raises what ``get`` does."""
        return Page([(await self.get(account_id)).counter], None)

    async def page_of_counters(self, limit: int, cursor: str | None) -> Page[Counter | DamagedCounter]:
        """Return a page of all accounts' counters; raises what ``page`` does."""
        ids, next_cursor = await self._page_of_ids(_COUNTERS_LIST, limit, cursor)
        counters = await self._reader.read_counters(ids)
        return Page([counters[id_] for id_ in ids if id_ in counters and not counters[id_].is_closed], next_cursor)

    async def _page_of_ids(self, list_name: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        check_page_limit(limit)
        after = None if cursor is None else decode_cursor(cursor, list_name).after
        ids, more = await self._repeat(lambda: self._store.list_account_ids(limit, after))
        return ids, encode_cursor(Position(list_name, 0, ids[-1])) if more else None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s

    async def _repeat(self, call: Callable[[], Awaitable[T]], deadline: float | None = None) -> T:
        return await repeat(call, self._deadline() if deadline is None else deadline, self._random)


def _sound(view: AccountView) -> Counter:
    """Return an account's counter; raises ``CounterDamagedError`` for one that is damaged."""
    if isinstance(view.counter, DamagedCounter):
        raise CounterDamagedError(view.counter)
    return view.counter


def _found(account_id: str, account: Account | None, counter: Counter | DamagedCounter | None) -> AccountView:
    if account is None or counter is None or counter.is_closed:
        raise AccountNotFoundError(account_id)
    return AccountView(account, counter)


def _next_enforcement(counter: Counter, wanted: Enforcement | None) -> Enforcement | None:
    """Return the next enforcement on the way to the wanted one; None when it is reached.

    Raises:
        InvalidInputError: Tightening is wanted, which is only a way to strict.
    """
    now = counter.enforcement
    if wanted is None or wanted is now:
        return None
    if wanted is Enforcement.TIGHTENING:
        raise InvalidInputError("enforcement", f"must be {Enforcement.STRICT} or {Enforcement.HYBRID}")
    if wanted is Enforcement.STRICT:
        return Enforcement.TIGHTENING if now is Enforcement.HYBRID else None
    return Enforcement.HYBRID
