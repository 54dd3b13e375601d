"""Entries of a counter: create within the limit, delete and release, read and list."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

from counters.changes import compare_and_set
from counters.damage import DamagedCounter
from counters.errors import (
    AccountNotFoundError,
    CounterDamagedError,
    EntryNotFoundError,
    LimitReachedError,
    OutcomeUnknownError,
    OverloadedError,
)
from counters.keys import CounterKey, Ledger, page_id_of
from counters.lanes.lane import Lane
from counters.lanes.registry import Lanes
from counters.lanes.tickets import Ticket
from counters.model import Counter, Created, Deletion, Enforcement, Entry
from counters.parts import Parts
from counters.reading import AccountReader
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock, check_id, check_own_id, new_nonce
from counters.values.pages import PAGE_LIMIT_MAX, Page, Position, check_page_limit, decode_cursor, encode_cursor

_DELETE_PARTS: Final = 4
"""Parts under way at a time. While one part waits for its last delete or its release, the others go on."""


class Entries:
    """What callers do with the entries of a counter. Every operation is answered within one deadline."""

    def __init__(self, store: Store, lanes: Lanes, *, clock: Clock, random: Random, deadline_s: float) -> None:
        self._store = store
        self._lanes = lanes
        self._reader = AccountReader(store, random=random, deadline_s=deadline_s)
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry of amount 1, if the counter has room for it.

        Args:
            key: The counter.
            name: Display name of the entry.
            entry_id: The caller's own id, which makes the create idempotent; None for an id of ours.

        Raises:
            InvalidInputError: An id that cannot be a key.
            AccountNotFoundError: There is no such counter.
            CounterDamagedError: A part of the counter that this needs cannot be read.
            LimitReachedError: There is no room.
            OverloadedError: No answer in time. The entry may exist all the same: a retry under the caller's own id
                finds out.
        """
        check_id("account_id", key.account_id)
        now_ms = self._clock()
        has_own_id = entry_id is not None
        entry = Entry(
            id=check_own_id("id", entry_id) if entry_id is not None else "",
            name=name,
            created_at_ms=now_ms,
            nonce=new_nonce(self._random) if has_own_id else None,
        )
        deadline = self._deadline()
        lane = self._lanes.open(key)
        ticket = Ticket(entry, has_own_id=has_own_id, deadline=deadline)
        lane.submit(ticket)
        # A timer instead of asyncio.timeout, which took nearly a third of this method's processor time.
        timer = asyncio.get_running_loop().call_at(deadline, ticket.expire)
        try:
            return await ticket.answer
        except AccountNotFoundError:
            await self._raise_if_damaged(key, deadline)
            raise
        except LimitReachedError:
            is_unknown = has_own_id and not ticket.is_looked_up
            stored = await self._find_replayed(lane, entry.id, deadline) if is_unknown else None
            if stored is None:
                raise
            return Created(stored, replayed=True)
        finally:
            timer.cancel()

    async def get(self, key: CounterKey, entry_id: str) -> Entry:
        """Return an entry.

        Raises:
            InvalidInputError: An id that cannot be a key.
            AccountNotFoundError: There is no such counter.
            CounterDamagedError: A part of the counter that this needs cannot be read.
            EntryNotFoundError: There is no such entry.
            OverloadedError: No answer in time.
        """
        check_id("id", entry_id)
        deadline = self._deadline()
        return await self._read_entry(await self._ledger(key, deadline), entry_id, deadline)

    async def rename(self, key: CounterKey, entry_id: str, name: str) -> Entry:
        """Set an entry's name and return the entry; raises what ``get`` does, and more.

        Raises:
            ChangeConflictError: Somebody else renamed it, and it is not known whether this rename was made before.
        """
        check_id("id", entry_id)
        deadline = self._deadline()
        ledger = await self._ledger(key, deadline)
        entry = await self._read_entry(ledger, entry_id, deadline)
        nonce = new_nonce(self._random)
        renamed = await compare_and_set(
            lambda seen: self._store.rename_entry(ledger, seen, name, nonce),
            entry,
            lambda now: now.name_nonce == nonce,
            deadline,
            self._random,
        )
        return _found(entry_id, renamed)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and give its amount back; a create right after it finds the room. Raises what ``get`` does.

        The delete decides the winner between two deleters, and only the winner releases. It deletes the entry that it
        read. An entry made later under the same id stays.
        """
        check_id("account_id", key.account_id)
        check_id("id", entry_id)
        deadline = self._deadline()
        lane = self._lanes.open(key)
        try:
            counter = _open(await lane.look(deadline))
        except AccountNotFoundError:
            await self._raise_if_damaged(key, deadline)
            raise
        entry = await self._read_entry(counter.ledger, entry_id, deadline)
        if counter.enforcement is Enforcement.STRICT:
            _raise_first(await self._delete_strict(lane, counter, [entry], deadline))
        else:
            _raise_first(await self._delete_hybrid(lane, counter, [entry], deadline))

    async def delete_all(self, key: CounterKey) -> Deletion:
        """Delete as many entries of a counter as the time allows, and release their amounts.

        This is not one atomic step: entries made meanwhile may stay. After an error, or when entries are left, a repeat
        goes on where this stopped.

        Raises:
            InvalidInputError: An id that cannot be a key.
            AccountNotFoundError: There is no such counter.
            CounterDamagedError: A part of the counter that this needs cannot be read.
            OverloadedError: No entry could be deleted in time.
        """
        deadline = self._deadline()
        return await self.empty(_open(await self._counter(key, deadline)), deadline)

    async def empty(self, counter: Counter, deadline: float) -> Deletion:
        """Delete the entries of a counter, also while its account is being deleted; see ``delete_all``.

        Args:
            counter: As it was read.
            deadline: Event loop time in seconds by which to answer.

        Raises:
            AccountNotFoundError: The counter is gone.
            OverloadedError: No entry could be deleted in time.
        """
        key = counter.key

        def read(slot: int, after: str | None) -> Awaitable[tuple[list[Entry], bool]]:
            return self._read_page(key, slot, PAGE_LIMIT_MAX, after, deadline)

        parts = Parts(read, counter.slots, deadline)
        workers = (self._delete_parts(key, parts, deadline) for _ in range(_DELETE_PARTS))
        # Each worker goes on when another fails: a delete that is cut off may be done and stay counted.
        errors = [error for error in await asyncio.gather(*workers, return_exceptions=True) if error is not None]
        for error in errors:
            if not parts.deleted or not isinstance(error, OverloadedError):
                raise error
        return Deletion(parts.deleted, more=bool(errors) or not parts.ended)

    async def page(self, key: CounterKey, limit: int, cursor: str | None) -> Page[Entry]:
        """Return a page of the ledger, slot by slot, each in the order of ids.

        Raises:
            InvalidInputError: A limit that is not 1 to 1000, or a cursor that this list did not give out.
            AccountNotFoundError: There is no such counter.
            CounterDamagedError: A part of the counter that this needs cannot be read.
            OverloadedError: No answer in time.
        """
        check_page_limit(limit)
        deadline = self._deadline()
        slots = (await self._ledger(key, deadline)).slots
        list_name = f"{key.account_id}/{key.name}"
        position = Position(list_name, 0, "") if cursor is None else decode_cursor(cursor, list_name, slots)
        slot, after = position.slot, position.after
        items: list[Entry] = []
        while slot < slots and len(items) < limit:
            entries, more = await self._read_page(key, slot, limit - len(items), after or None, deadline)
            items += entries
            slot, after = (slot, entries[-1].id) if more else (slot + 1, "")
        next_cursor = encode_cursor(Position(list_name, slot, after)) if slot < slots else None
        return Page(items, next_cursor)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s

    async def _counter(self, key: CounterKey, deadline: float) -> Counter:
        check_id("account_id", key.account_id)
        counter = await repeat(lambda: self._store.read_counter(key), deadline, self._random)
        if counter is None:
            await self._raise_if_damaged(key, deadline)
            raise AccountNotFoundError(key.account_id)
        return counter

    async def _raise_if_damaged(self, key: CounterKey, deadline: float) -> None:
        """Raise ``CounterDamagedError`` when a counter is missing while its account is there."""
        with suppress(AccountNotFoundError):
            view = await self._reader.read_view(key.account_id, deadline)
            if isinstance(view.counter, DamagedCounter):
                raise CounterDamagedError(view.counter)

    async def _read_entry(self, ledger: Ledger, entry_id: str, deadline: float) -> Entry:
        read = partial(self._store.read_entry, ledger, entry_id)
        return _found(entry_id, await repeat(read, deadline, self._random))

    async def _ledger(self, key: CounterKey, deadline: float) -> Ledger:
        """Return the counter's ledger. A damaged counter has one too, unless its slots are lost."""
        try:
            return _open(await self._counter(key, deadline)).ledger
        except CounterDamagedError as error:
            if error.counter.slots is None:
                raise
            return Ledger(key, error.counter.slots)

    async def _read_page(
        self, key: CounterKey, slot: int, limit: int, after: str | None, deadline: float
    ) -> tuple[list[Entry], bool]:
        return await repeat(lambda: self._store.list_entries(key, slot, limit, after), deadline, self._random)

    async def _find_replayed(self, lane: Lane, entry_id: str, deadline: float) -> Entry | None:
        """Return the stored entry if a create that finds no room repeats an earlier one; None if it does not."""
        counter = await lane.look(deadline)
        return await repeat(lambda: self._store.read_entry(counter.ledger, entry_id), deadline, self._random)

    async def _delete_parts(self, key: CounterKey, parts: Parts, deadline: float) -> None:
        """Delete one part after the other, until no part is left or the time is over."""
        while entries := await parts.take():
            lane = self._lanes.open(key)
            counter = await lane.look(deadline)
            delete = self._delete_strict if counter.enforcement is Enforcement.STRICT else self._delete_hybrid
            outcomes = await delete(lane, counter, entries, deadline)
            parts.deleted += sum(not isinstance(outcome, BaseException) for outcome in outcomes)
            with suppress(EntryNotFoundError):
                _raise_first(outcomes)

    async def _delete_strict(
        self, lane: Lane, counter: Counter, entries: Sequence[Entry], deadline: float
    ) -> list[int | BaseException]:
        """Delete, then release. An entry whose delete failed stays counted. Returns what ``_delete_entries`` does."""
        outcomes = await self._delete_entries(counter, entries, deadline)
        released = _by_revision(
            (entry, -outcome) for entry, outcome in zip(entries, outcomes, strict=True) if isinstance(outcome, int)
        )
        if released:
            # Released even when a part failed: those entries are gone.
            await lane.adjust(released, counter.epoch, deadline)
        return outcomes

    async def _delete_hybrid(
        self, lane: Lane, counter: Counter, entries: Sequence[Entry], deadline: float
    ) -> list[int | BaseException]:
        """Release, then delete; count again what somebody else deleted.

        Returns what ``_delete_entries`` does.
        """
        # The counter gets half of the time. When it is throttled for longer, the delete goes on without it.
        halfway = (asyncio.get_running_loop().time() + deadline) / 2
        await lane.adjust(_by_revision((entry, -entry.released) for entry in entries), None, halfway)
        outcomes = await self._delete_entries(counter, entries, deadline)
        lost = _by_revision(
            (entry, entry.released)
            for entry, outcome in zip(entries, outcomes, strict=True)
            if isinstance(outcome, EntryNotFoundError)
        )
        if lost:
            await lane.adjust(lost, counter.epoch, deadline)
        return outcomes

    async def _delete_entries(
        self, counter: Counter, entries: Sequence[Entry], deadline: float
    ) -> list[int | BaseException]:
        """Delete entries, those of each page together; return for each the amount to release, or the error."""
        pages: dict[str, list[Entry]] = {}
        for entry in entries:
            pages.setdefault(page_id_of(entry.id), []).append(entry)
        deletes = [self._delete_page(counter, page, deadline) for page in pages.values()]
        outcomes = {
            entry.id: outcome
            for page, done in zip(pages.values(), await asyncio.gather(*deletes), strict=True)
            for entry, outcome in zip(page, done, strict=True)
        }
        return [outcomes[entry.id] for entry in entries]

    async def _delete_page(
        self, counter: Counter, entries: Sequence[Entry], deadline: float, *, in_doubt: bool = False
    ) -> list[int | BaseException]:
        """Delete entries of one page: with one write, unless others delete some of them too.

        Args:
            counter: Whose entries they are.
            entries: The entries.
            deadline: Event loop time, in seconds, by which to answer.
            in_doubt: Whether an earlier try may have deleted them.

        Returns:
            For each the amount to release, which is zero when another deleter may have won; or the error.
        """

        async def delete_once() -> bool:
            nonlocal in_doubt
            try:
                return await self._store.delete_entries(counter.ledger, entries, self._clock())
            except OutcomeUnknownError:
                in_doubt = True
                raise

        try:
            if await repeat(delete_once, deadline, self._random):
                return [entry.released for entry in entries]
        except Exception as error:  # noqa: BLE001 - raised once what the other pages freed was released
            return [error] * len(entries)
        if len(entries) == 1:
            return [0 if in_doubt else EntryNotFoundError(entries[0].id)]
        singly = (self._delete_page(counter, [entry], deadline, in_doubt=in_doubt) for entry in entries)
        return [outcome for (outcome,) in await asyncio.gather(*singly)]


def _by_revision(amounts: Iterable[tuple[Entry, int]]) -> dict[int, int]:
    """Return the sums of what entries change, by the revision that they were reserved by; nothing for a sum of zero."""
    sums: dict[int, int] = {}
    for entry, amount in amounts:
        if amount:
            sums[entry.revision] = sums.get(entry.revision, 0) + amount
    return sums


def _raise_first(outcomes: Sequence[int | BaseException]) -> None:
    """Raise an error that matters before one that says that an entry was gone already."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    errors.sort(key=lambda error: isinstance(error, EntryNotFoundError))
    if errors:
        raise errors[0]


def _open(counter: Counter) -> Counter:
    """Return a counter whose account nobody deletes."""
    if counter.is_closed:
        raise AccountNotFoundError(counter.key.account_id)
    return counter


def _found(entry_id: str, entry: Entry | None) -> Entry:
    if entry is None:
        raise EntryNotFoundError(entry_id)
    return entry
