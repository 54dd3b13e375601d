"""The store in memory: the model that every other implementation must agree with."""

from collections.abc import Sequence

import msgspec

from counters import keys
from counters.damage import DamagedCounter, closed_damage, mended_account, mended_entry
from counters.errors import CounterDamagedError, StoreRejectedError
from counters.keys import CounterKey, Ledger, page_id_of
from counters.model import (
    Account,
    Census,
    Change,
    Changed,
    Counter,
    Cut,
    CutHealing,
    Enforcement,
    Entry,
    Healing,
    LedgerPage,
    Refused,
    TermsChange,
)
from counters.settlement import Censuses, Mark, Settled, Settlement, Unsettled


class MemoryStore:
    """Implements ``Store`` and ``SettlementStore``; one event loop, so every method is one atomic step.

    Attributes:
        damaged: Counters that a hand damaged, in the place of those that can be read.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._directory: set[str] = set()
        self._counters: dict[CounterKey, Counter] = {}
        self._deleted: set[str] = set()
        self.damaged: dict[CounterKey, DamagedCounter] = {}
        self._marks: dict[CounterKey, dict[str, Mark]] = {}
        self._ledgers: dict[tuple[CounterKey, int], dict[str, Entry]] = {}
        self._nonces: dict[tuple[CounterKey, str], str | None] = {}
        self._revisions: dict[tuple[CounterKey, str], int] = {}
        self._asked: dict[tuple[CounterKey, str], int] = {}
        self._turns: dict[str, tuple[str, int]] = {}

    async def ping(self) -> None:
        """See ``Store``."""

    async def create_account(self, account: Account, counter: Counter) -> None:
        """See ``Store``."""
        if account.id in self._accounts or account.id in self._deleted:
            return
        self._accounts[account.id] = account
        self._directory.add(account.id)
        self._counters[counter.key] = counter
        self._marks[counter.key] = {}

    async def read_account(self, account_id: str) -> Account | None:
        """See ``Store``."""
        return self._accounts.get(account_id)

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        """See ``Store``."""
        account = self._accounts.get(seen.id)
        if account is None or account.username_nonce != seen.username_nonce:
            return account
        renamed = msgspec.structs.replace(account, username=username, username_nonce=nonce)
        self._accounts[seen.id] = renamed = mended_account(renamed, keys.USERNAME, keys.USERNAME_NONCE)
        return renamed

    async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
        """See ``Store``."""
        if key in self.damaged:
            now = closed_damage(self.damaged.pop(key), at_ms)
            if isinstance(now, DamagedCounter):
                self.damaged[key] = now
            else:
                self._counters[key] = now
        counter = self._find(key)
        if counter is None or counter.is_closed:
            return counter and _written(counter)
        self._counters[key] = closed = msgspec.structs.replace(
            counter, limit=0, closed_at_ms=at_ms, terms_version=counter.terms_version + 1
        )
        return _written(closed)

    async def delete_account(self, key: CounterKey, at_ms: int) -> None:
        """See ``Store``."""
        del at_ms
        counter = self._counters.get(key)
        if counter is not None and not counter.is_closed:
            raise StoreRejectedError(f"Counter {key} is not closed.")
        self._deleted.add(key.account_id)
        self._accounts.pop(key.account_id, None)
        self._directory.discard(key.account_id)
        self._counters.pop(key, None)
        self.damaged.pop(key, None)
        self._marks.pop(key, None)

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        """See ``Store``."""
        ids = sorted(id_ for id_ in self._directory if after is None or id_ > after)
        return ids[:limit], len(ids) > limit

    async def read_accounts(self, account_ids: Sequence[str]) -> dict[str, Account]:
        """See ``Store``."""
        return {id_: self._accounts[id_] for id_ in account_ids if id_ in self._accounts}

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""
        return self._find(key)

    async def read_counters(self, counter_keys: Sequence[CounterKey]) -> dict[CounterKey, Counter | DamagedCounter]:
        """See ``Store``."""
        stored = self._counters | self.damaged
        return {key: stored[key] for key in counter_keys if key in stored}

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None:
            return Refused(None)
        best_effort = counter.best_effort + change.delta
        if change.admits and (
            counter.limit != change.limit or (change.limit is not None and best_effort > change.limit)
        ):
            return _refused(counter)
        if change.epoch is not None and counter.epoch != change.epoch:
            return _refused(counter)
        if change.enforcement is not None and counter.enforcement is not change.enforcement:
            return _refused(counter)
        cut = counter.cut
        if cut is not None and change.before_cut:
            cut = msgspec.structs.replace(cut, amount=cut.amount + change.before_cut)
        self._counters[key] = changed = msgspec.structs.replace(
            counter, best_effort=best_effort, revision=counter.revision + 1, touched_at_ms=change.at_ms, cut=cut
        )
        return Changed(_written(changed))

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.revision != healing.revision:
            return _refused(counter)
        if healing.tightened_version is not None and counter.terms_version != healing.tightened_version:
            return _refused(counter)
        healed = msgspec.structs.replace(
            counter,
            best_effort=healing.total,
            epoch=counter.epoch + 1,
            revision=counter.revision + 1,
            healed_revision=counter.revision + 1,
            healed_at_ms=healing.at_ms,
            healed_cut=counter.revision,
            healed_epoch=counter.epoch + 1,
            cut=None,
        )
        if healing.tightened_version is not None:
            healed = msgspec.structs.replace(healed, enforcement=Enforcement.STRICT)
        self._counters[key] = healed
        return Changed(_written(healed))

    async def cut_counter(self, key: CounterKey, epoch: int) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.enforcement is not Enforcement.STRICT or counter.epoch != epoch:
            return _refused(counter)
        self._counters[key] = cut = msgspec.structs.replace(
            counter,
            cut=Cut(revision=counter.revision, amount=counter.best_effort),
            epoch=counter.epoch + 1,
            revision=counter.revision + 1,
        )
        return Changed(_written(cut))

    async def note_cut_seen(self, key: CounterKey, epoch: int, at_ms: int) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.cut is None or counter.cut.seen_at_ms is not None or counter.epoch != epoch:
            return _refused(counter)
        seen = msgspec.structs.replace(counter.cut, seen_at_ms=at_ms)
        self._counters[key] = noted = msgspec.structs.replace(counter, cut=seen)
        return Changed(_written(noted))

    async def heal_cut(self, key: CounterKey, healing: CutHealing) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.cut is None or counter.enforcement is not Enforcement.STRICT:
            return _refused(counter)
        if (counter.epoch, counter.cut.amount) != (healing.epoch, healing.amount):
            return _refused(counter)
        self._counters[key] = healed = msgspec.structs.replace(
            counter,
            best_effort=counter.best_effort + healing.total - healing.amount,
            epoch=counter.epoch + 1,
            revision=counter.revision + 1,
            healed_revision=counter.revision + 1,
            healed_at_ms=healing.at_ms,
            healed_cut=counter.cut.revision,
            healed_epoch=counter.epoch + 1,
            cut=None,
        )
        return Changed(_written(healed))

    async def change_census(self, key: CounterKey, seen: Census | None, census: Census) -> bool:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or _steps(counter.census) != _steps(seen) or (counter.last_census or 0) >= census.line:
            return False
        if counter.census is not None and counter.census.line == census.line:
            answered = counter.census
            census = msgspec.structs.replace(census, total=answered.total, answers=answered.answers)
        self._counters[key] = msgspec.structs.replace(counter, census=census)
        return True

    async def raise_revision(self, key: CounterKey, line: int, revision: int | None) -> Changed | Refused:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.revision > line or revision not in {None, counter.revision}:
            return _refused(counter)
        self._counters[key] = risen = msgspec.structs.replace(counter, revision=line + 1, epoch=counter.epoch + 1)
        return Changed(_written(risen))

    async def ask_page(self, ledger: Ledger, page_id: str, line: int) -> bool:
        """See ``Store``."""
        key = (ledger.counter, page_id)
        if key not in self._nonces or self._asked.get(key, 0) > line or self._revisions[key] > line:
            return False
        self._asked[key] = line
        return True

    async def end_census(self, key: CounterKey, line: int, at_ms: int) -> bool:
        """See ``Store`` and ``SettlementStore``."""
        counter = self._find(key)
        census = None if counter is None else counter.census
        if counter is None or census is None or census.line != line or not census.is_answered:
            return False
        self._counters[key] = msgspec.structs.replace(
            counter, eventual=census.total, census=None, last_census=line, last_census_at_ms=at_ms
        )
        return True

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        """See ``Store``."""
        counter = self._find(key)
        if counter is None or counter.is_closed or counter.terms_version != change.seen_version:
            return counter and _written(counter)
        self._counters[key] = changed = msgspec.structs.replace(
            counter,
            limit=counter.limit if change.limit is None else change.limit,
            enforcement=change.enforcement or counter.enforcement,
            touched_at_ms=change.at_ms if change.enforcement is Enforcement.TIGHTENING else counter.touched_at_ms,
            terms_version=counter.terms_version + 1,
            terms_nonce=change.nonce,
        )
        return _written(changed)

    async def repair_counter(self, damaged: DamagedCounter, repaired: Counter) -> bool:
        """See ``Store``."""
        if not self._is_as_seen(damaged):
            return False
        self.damaged.pop(damaged.key, None)
        self._counters[damaged.key] = repaired
        self._marks.setdefault(damaged.key, {})
        return True

    async def touch_damaged_counter(self, damaged: DamagedCounter, at_ms: int) -> None:
        """See ``Store``."""
        if not self._is_as_seen(damaged):
            return
        self.damaged[damaged.key] = msgspec.structs.replace(
            damaged,
            unreadable=tuple(attribute for attribute in damaged.unreadable if attribute != keys.TOUCHED_AT),
            readable=msgspec.structs.replace(damaged.readable, touched_at_ms=at_ms),
        )

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``."""
        slot = self._slot(ledger, entries[0].id)
        page_id = page_id_of(entries[0].id)
        key = (ledger.counter, page_id)
        is_there = key in self._nonces
        if is_there != (emptied is not None) or (emptied is not None and emptied.nonce != self._nonces[key]):
            found = [entry_id for entry_id in slot if page_id_of(entry_id) == page_id]
            return LedgerPage(entries=tuple(slot[entry_id] for entry_id in sorted(found)), nonce=self._nonces.get(key))
        self._nonces[key] = entries[0].nonce
        self._revisions[key] = entries[0].revision
        self._asked.pop(key, None)
        slot.update({entry.id: entry for entry in entries})
        return None

    async def read_entry(self, ledger: Ledger, entry_id: str) -> Entry | None:
        """See ``Store``."""
        return self._slot(ledger, entry_id).get(entry_id)

    async def read_entries(self, ledger: Ledger, entry_ids: Sequence[str]) -> dict[str, Entry]:
        """See ``Store``."""
        found = {entry_id: await self.read_entry(ledger, entry_id) for entry_id in entry_ids}
        return {entry_id: entry for entry_id, entry in found.items() if entry is not None}

    async def rename_entry(self, ledger: Ledger, seen: Entry, name: str, nonce: str) -> Entry | None:
        """See ``Store``."""
        slot = self._slot(ledger, seen.id)
        entry = slot.get(seen.id)
        if entry is None or not entry.is_same(seen) or entry.name_nonce != seen.name_nonce:
            return entry
        renamed = msgspec.structs.replace(entry, name=name, name_nonce=nonce)
        slot[seen.id] = renamed = mended_entry(renamed, keys.NAME, keys.NAME_NONCE)
        return renamed

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """See ``Store``."""
        del at_ms
        slot = self._slot(ledger, seen[0].id)
        for entry in seen:
            found = slot.get(entry.id)
            if found is None or not found.is_same(entry):
                return False
        for entry in seen:
            del slot[entry.id]
        return True

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """See ``Store``."""
        ledger = self._ledgers.get((key, slot), {})
        ids = sorted(id_ for id_ in ledger if after is None or id_ > after)
        return [ledger[id_] for id_ in ids[:limit]], len(ids) > limit

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """See ``Store``."""
        held_by, held_until_ms = self._turns.get(name, (holder, now_ms))
        if held_by != holder and held_until_ms > now_ms:
            return False
        self._turns[name] = (holder, until_ms)
        return True

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        marks = self._marks.get(key)
        if marks is None:
            return Unsettled(None)
        if key in self.damaged:
            return Unsettled(None, is_damaged=True)
        mark = marks.get(settlement.shard)
        counter = self._counters[key]
        census = counter.census
        censuses = Censuses(None if census is None else census.line, counter.last_census)
        if (mark is not None and mark.sequence >= settlement.first) or censuses != settlement.censuses:
            return Unsettled(dict(marks), censuses)
        marks[settlement.shard] = Mark(settlement.last, settlement.at_ms)
        if census is not None:
            total, answers = census.total + settlement.census_delta, census.answers + settlement.census_answers
            census = msgspec.structs.replace(census, total=total, answers=answers)
        self._counters[key] = msgspec.structs.replace(
            counter, eventual=counter.eventual + settlement.delta, settled_at_ms=settlement.at_ms, census=census
        )
        return Settled(dict(marks), is_answered=census is not None and census.is_answered)

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        """See ``SettlementStore``."""
        marks = self._marks.get(key, {})
        if all(shard in marks and marks[shard].at_ms < older_than_ms for shard in shards):
            for shard in shards:
                del marks[shard]

    def _find(self, key: CounterKey) -> Counter | None:
        if key in self.damaged:
            raise CounterDamagedError(self.damaged[key])
        return self._counters.get(key)

    def _is_as_seen(self, damaged: DamagedCounter) -> bool:
        if damaged.key in self.damaged:
            return self.damaged[damaged.key] == damaged
        return damaged.key not in self._counters and not damaged.seen

    def _slot(self, ledger: Ledger, entry_id: str) -> dict[str, Entry]:
        return self._ledgers.setdefault((ledger.counter, ledger.slot_of(entry_id)), {})


def _steps(census: Census | None) -> tuple[int | None, ...] | None:
    """Return how far a census has come, without what was answered."""
    return None if census is None else (census.line, census.seen_at_ms, census.asked_at_ms, census.pages)


def _written(counter: Counter) -> Counter:
    """Return a counter as the answer to a write has it, without its exact side."""
    return counter.with_exact_of(Counter(key=counter.key))


def _refused(counter: Counter | None) -> Refused:
    return Refused(counter and _written(counter))
