"""What every ``Store`` owes, run against every implementation and every backend."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import boto3
import msgspec
import pytest

from counters.errors import StoreRejectedError
from counters.keys import PLACE_MAX, SERVICES, CounterKey, Ledger, page_id_of, slot_of
from counters.model import Census, Changed, Counter, Cut, CutHealing, Enforcement, Entry, LedgerPage, Refused
from counters.settlement import Censuses, Mark, Settled, Settlement, SettlementStore
from counters.stores.dynamodb import open_store
from counters.stores.memory import MemoryStore
from counters.stores.port import Store
from stack.provision import create_table
from stream_lambda.store import Boto3SettlementStore
from tests.support import factories
from tests.support.factories import NOW_MS
from tests.support.ledgers import entries_of_one_page, put

NOT_YET_EXPIRED_MS = time.time_ns() // 1_000_000
"""The time now, as a backend that removes what expired has to leave alone what a test looks at."""

MakeCounter = Callable[..., Awaitable[CounterKey]]


@pytest.fixture
def make_counter(store: Store) -> MakeCounter:
    """Store an account with a counter and return the counter's key."""

    async def make(*, limit: int | None = 10, best_effort: int = 0, slots: int = 1) -> CounterKey:
        account = factories.account()
        key = CounterKey(account.id, SERVICES)
        await store.create_account(account, factories.counter(key, limit=limit, best_effort=best_effort, slots=slots))
        return key

    return make


async def read(store: Store, key: CounterKey) -> Counter:
    counter = await store.read_counter(key)
    assert counter is not None
    return counter


class AccountsContract:
    """Accounts, their directory and their counters."""

    async def test_created_account_is_read_back_with_its_counter(self, store: Store) -> None:
        account = factories.account(username="Ada Lovelace ∆ 😀")
        counter = factories.counter(CounterKey(account.id, SERVICES), limit=7, slots=3)
        await store.create_account(account, counter)
        assert await store.read_account(account.id) == account
        assert await store.read_counter(counter.key) == counter

    async def test_counter_without_a_limit_is_read_back_without_one(self, store: Store) -> None:
        account = factories.account()
        counter = factories.counter(CounterKey(account.id, SERVICES), limit=None)
        await store.create_account(account, counter)
        assert await read(store, counter.key) == counter

    async def test_creating_again_does_no_harm_and_overwrites_nothing(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10)
        await store.change_counter(key, factories.reserve(4, limit=10))
        await store.create_account(factories.account(key.account_id, "eve"), factories.counter(key, limit=99))
        assert (await read(store, key)).best_effort == 4
        account = await store.read_account(key.account_id)
        assert account is not None
        assert account.username == "ada"

    async def test_unknown_account_and_counter_are_none(self, store: Store) -> None:
        key = factories.counter_key()
        assert await store.read_account(key.account_id) is None
        assert await store.read_counter(key) is None
        assert await store.rename_account(factories.account(key.account_id), "eve", "n1") is None
        assert await store.set_terms(key, factories.terms(5)) is None
        assert await store.set_terms(key, factories.terms(5, seen_version=1)) is None
        assert await store.read_account(key.account_id) is None
        assert await store.read_counter(key) is None

    async def test_rename_returns_the_account_as_it_is_now(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter()
        made = factories.account(key.account_id)
        renamed = await store.rename_account(made, "grace", "n1")
        assert renamed == msgspec.structs.replace(made, username="grace", username_nonce="n1")
        assert await store.read_account(key.account_id) == renamed

    async def test_rename_of_an_account_is_refused_once_its_name_was_changed(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        made = factories.account(key.account_id)
        renamed = await store.rename_account(made, "grace", "n1")
        assert await store.rename_account(made, "eve", "n2") == renamed
        assert renamed is not None
        again = await store.rename_account(renamed, made.username, "n3")
        assert await store.rename_account(made, "eve", "n2") == again
        assert await store.rename_account(renamed, "eve", "n2") == again
        assert await store.read_account(key.account_id) == again

    async def test_set_terms_changes_only_the_terms(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        await store.change_counter(key, factories.reserve(4, limit=10))
        before = await read(store, key)
        changed = await store.set_terms(key, factories.terms(2, nonce="n1"))
        assert changed == msgspec.structs.replace(before, limit=2, terms_version=1, terms_nonce="n1")
        assert await read(store, key) == changed

    async def test_set_terms_leaves_what_is_not_given(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        before = await read(store, key)
        changed = await store.set_terms(key, factories.terms(enforcement=Enforcement.HYBRID, nonce="n1"))
        assert changed == msgspec.structs.replace(
            before, enforcement=Enforcement.HYBRID, terms_version=1, terms_nonce="n1"
        )
        assert await read(store, key) == changed

    async def test_tightening_touches_the_counter_and_a_healing_ends_it(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10)
        before = await read(store, key)
        tightening = await store.set_terms(key, factories.terms(7, Enforcement.TIGHTENING))
        assert tightening is not None
        assert (tightening.limit, tightening.enforcement) == (7, Enforcement.TIGHTENING)
        assert tightening.touched_at_ms > before.touched_at_ms
        assert tightening.revision == before.revision
        healing = factories.healing(4, revision=0)
        healed = await store.heal_counter(key, msgspec.structs.replace(healing, tightened_version=1))
        strict = await read(store, key)
        assert healed == Changed(strict)
        assert (strict.enforcement, strict.best_effort) == (Enforcement.STRICT, 4)

    async def test_a_healing_ends_no_tightening_that_is_newer(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        await store.set_terms(key, factories.terms(enforcement=Enforcement.TIGHTENING))
        await store.set_terms(key, factories.terms(enforcement=Enforcement.HYBRID, seen_version=1))
        hybrid = await read(store, key)
        late = msgspec.structs.replace(factories.healing(4, revision=0), tightened_version=1)
        assert await store.heal_counter(key, late) == Refused(hybrid)
        assert await read(store, key) == hybrid

    async def test_a_flush_for_a_hybrid_counter_is_refused_by_a_strict_one(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10)
        release = msgspec.structs.replace(factories.release(1), epoch=None, enforcement=Enforcement.HYBRID)
        assert await store.change_counter(key, release) == Refused(await read(store, key))
        await store.set_terms(key, factories.terms(enforcement=Enforcement.HYBRID))
        assert await store.change_counter(key, release) == Changed(await read(store, key))
        assert (await read(store, key)).best_effort == -1

    async def test_set_terms_is_refused_under_an_old_version(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        await store.set_terms(key, factories.terms(2, nonce="n1"))
        changed = await store.set_terms(key, factories.terms(10, seen_version=1, nonce="n2"))
        assert changed == await read(store, key)
        assert changed is not None
        assert (changed.limit, changed.terms_version, changed.terms_nonce) == (10, 2, "n2")
        for seen_version in (0, 1, 3):
            assert await store.set_terms(key, factories.terms(99, seen_version=seen_version)) == changed
        assert await read(store, key) == changed

    async def test_of_concurrent_changes_of_the_terms_one_is_made(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10)
        nonces = [f"n{number}" for number in range(8)]
        changes = [factories.terms(20 + number, nonce=nonce) for number, nonce in enumerate(nonces)]
        outcomes = await asyncio.gather(*(store.set_terms(key, change) for change in changes))
        made = [nonce for nonce, now in zip(nonces, outcomes, strict=True) if now and now.terms_nonce == nonce]
        assert made == [(await read(store, key)).terms_nonce]
        assert (await read(store, key)).terms_version == 1

    async def test_delete_takes_account_directory_line_and_counter(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        await store.close_counter(key, factories.NOW_MS)
        await store.delete_account(key, NOT_YET_EXPIRED_MS)
        await store.delete_account(key, NOT_YET_EXPIRED_MS)
        assert await store.read_account(key.account_id) is None
        assert await store.read_accounts([key.account_id]) == {}
        assert await store.read_counter(key) is None
        assert key.account_id not in await all_account_ids(store)

    async def test_a_deleted_account_is_neither_made_again_nor_renamed(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        made = await store.read_account(key.account_id)
        assert made is not None
        await store.close_counter(key, factories.NOW_MS)
        await store.delete_account(key, NOT_YET_EXPIRED_MS)
        await store.create_account(made, factories.counter(key))
        assert await store.rename_account(made, "eve", "n1") is None
        assert await store.read_account(key.account_id) is None
        assert await store.read_counter(key) is None
        assert key.account_id not in await all_account_ids(store)

    async def test_an_account_whose_counter_is_open_is_not_deleted(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        before = await read(store, key)
        with pytest.raises(StoreRejectedError):
            await store.delete_account(key, NOT_YET_EXPIRED_MS)
        assert await read(store, key) == before
        assert await store.read_account(key.account_id) is not None
        assert key.account_id in await all_account_ids(store)

    @pytest.mark.parametrize("limit", [10, None])
    async def test_a_closed_counter_lets_nothing_in_and_still_releases(
        self, store: Store, make_counter: MakeCounter, limit: int | None
    ) -> None:
        key = await make_counter(limit=limit)
        await store.change_counter(key, factories.reserve(4, limit=limit))
        before = await read(store, key)
        closed = await store.close_counter(key, factories.NOW_MS + 7)
        assert closed == await read(store, key)
        assert closed == msgspec.structs.replace(
            before, limit=0, closed_at_ms=factories.NOW_MS + 7, terms_version=before.terms_version + 1
        )
        assert await store.change_counter(key, factories.reserve(1, limit=limit)) == Refused(closed)
        assert await store.set_terms(key, factories.terms(9)) == closed
        assert await store.set_terms(key, factories.terms(9, seen_version=1)) == closed
        released = await store.change_counter(key, factories.release(4))
        assert isinstance(released, Changed)
        assert released.counter.best_effort == 0

    async def test_a_counter_is_closed_once(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter()
        await store.set_terms(key, factories.terms(20))
        closed = await store.close_counter(key, factories.NOW_MS)
        assert closed is not None
        assert closed.terms_version == 2
        assert await store.close_counter(key, factories.NOW_MS + 7) == closed
        assert await store.close_counter(factories.counter_key(), factories.NOW_MS) is None

    async def test_directory_lists_every_account_once_in_order(self, store: Store, make_counter: MakeCounter) -> None:
        made = [(await make_counter()).account_id for _ in range(5)]
        listed = await all_account_ids(store, page=2)
        assert listed == sorted(listed)
        assert len(set(listed)) == len(listed)
        assert set(made) <= set(listed)

    async def test_directory_says_that_no_more_follow_on_the_exact_last_page(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        await make_counter()
        listed = await all_account_ids(store)
        assert await store.list_account_ids(len(listed), None) == (listed, False)
        assert await store.list_account_ids(1, listed[-1]) == ([], False)

    async def test_batch_reads_return_what_exists(self, store: Store, make_counter: MakeCounter) -> None:
        here = [await make_counter() for _ in range(2)]
        gone = factories.counter_key()
        accounts = await store.read_accounts([key.account_id for key in [*here, gone]])
        assert accounts == {key.account_id: await store.read_account(key.account_id) for key in here}
        counters = await store.read_counters([*here, gone])
        assert counters == {key: await store.read_counter(key) for key in here}
        assert await store.read_accounts([]) == {}
        assert await store.read_counters([]) == {}


async def all_account_ids(store: Store, page: int = 1000) -> list[str]:
    ids: list[str] = []
    more = True
    while more:
        part, more = await store.list_account_ids(page, ids[-1] if ids else None)
        assert len(part) <= page
        ids += part
    return ids


class ChangeContract:
    """One flush: the conditional write that everything rests on."""

    async def test_reserve_within_the_limit_is_applied(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        outcome = await store.change_counter(key, factories.reserve(10, limit=10))
        assert isinstance(outcome, Changed)
        assert outcome.counter == await read(store, key)
        assert outcome.counter.best_effort == 10
        assert outcome.counter.revision == 1
        assert outcome.counter.touched_at_ms == factories.NOW_MS + 1

    async def test_reserve_past_the_limit_is_refused_with_the_counter(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10, best_effort=8)
        assert await store.change_counter(key, factories.reserve(3, limit=10)) == Refused(await read(store, key))
        assert (await read(store, key)).best_effort == 8

    async def test_reserve_under_an_old_limit_is_refused(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        assert await store.change_counter(key, factories.reserve(1, limit=11)) == Refused(await read(store, key))
        assert await store.change_counter(key, factories.reserve(1, limit=None)) == Refused(await read(store, key))

    async def test_reserve_without_a_limit_is_applied_only_while_there_is_none(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=None)
        assert isinstance(await store.change_counter(key, factories.reserve(10**12, limit=None)), Changed)
        assert isinstance(await store.change_counter(key, factories.reserve(1, limit=10**13)), Refused)

    @pytest.mark.parametrize(("amount", "applied"), [(5, True), (6, False)])
    async def test_release_in_the_same_flush_makes_room(
        self, store: Store, make_counter: MakeCounter, amount: int, *, applied: bool
    ) -> None:
        key = await make_counter(limit=10, best_effort=8)
        outcome = await store.change_counter(key, factories.reserve(amount, release=3, limit=10))
        assert isinstance(outcome, Changed) is applied

    async def test_equal_reserve_and_release_still_need_room(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=5, best_effort=8)
        assert isinstance(await store.change_counter(key, factories.reserve(2, release=2, limit=5)), Refused)

    async def test_release_alone_needs_no_room_and_no_limit(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=5, best_effort=8)
        outcome = await store.change_counter(key, factories.release(2))
        assert isinstance(outcome, Changed)
        assert outcome.counter.best_effort == 6
        assert outcome.counter.limit == 5

    async def test_change_of_an_unknown_counter_is_refused_and_makes_none(self, store: Store) -> None:
        key = factories.counter_key()
        assert await store.change_counter(key, factories.reserve(1, limit=10)) == Refused(None)
        assert await store.change_counter(key, factories.reserve(1, limit=None)) == Refused(None)
        assert await store.change_counter(key, factories.release(1)) == Refused(None)
        assert await store.read_counter(key) is None

    async def test_release_under_the_current_epoch_is_applied(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10, best_effort=8)
        await store.heal_counter(key, factories.healing(7, revision=0))
        outcome = await store.change_counter(key, factories.release(2, epoch=1))
        assert isinstance(outcome, Changed)
        assert (outcome.counter.best_effort, outcome.counter.epoch, outcome.counter.revision) == (5, 1, 2)

    @pytest.mark.parametrize("epoch", [0, 2])
    async def test_release_under_another_epoch_is_refused_and_changes_nothing(
        self, store: Store, make_counter: MakeCounter, epoch: int
    ) -> None:
        key = await make_counter(limit=10, best_effort=8)
        await store.heal_counter(key, factories.healing(7, revision=0))
        before = await read(store, key)
        assert await store.change_counter(key, factories.release(2, epoch=epoch)) == Refused(before)
        assert await read(store, key) == before

    async def test_release_under_an_old_epoch_takes_the_reserve_of_its_flush_along(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10, best_effort=8)
        await store.heal_counter(key, factories.healing(5, revision=0))
        before = await read(store, key)
        assert await store.change_counter(key, factories.reserve(1, release=2, limit=10)) == Refused(before)
        assert await read(store, key) == before
        together = await store.change_counter(key, factories.reserve(1, release=2, limit=10, epoch=1))
        assert isinstance(together, Changed)
        assert together.counter.best_effort == 4

    async def test_reserve_alone_does_not_ask_for_the_epoch(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        await store.heal_counter(key, factories.healing(5, revision=0))
        outcome = await store.change_counter(key, factories.reserve(1, limit=10))
        assert isinstance(outcome, Changed)
        assert outcome.counter.best_effort == 6

    async def test_concurrent_reserves_never_pass_the_limit(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10)
        outcomes = await asyncio.gather(*(store.change_counter(key, factories.reserve(3, limit=10)) for _ in range(20)))
        assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 3
        assert (await read(store, key)).best_effort == 9


class HealContract:
    """Setting a counter to what a recount found."""

    async def test_healing_sets_the_total_and_leaves_the_rest(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10, slots=3)
        await store.change_counter(key, factories.reserve(8, limit=10))
        before = await read(store, key)
        healing = factories.healing(5, revision=1)

        outcome = await store.heal_counter(key, healing)

        healed = msgspec.structs.replace(
            before,
            best_effort=5,
            epoch=1,
            revision=2,
            healed_revision=2,
            healed_at_ms=healing.at_ms,
            healed_cut=1,
            healed_epoch=1,
        )
        assert outcome == Changed(healed)
        assert await read(store, key) == healed

    async def test_total_may_be_zero_or_past_the_limit(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=3, best_effort=1)
        for revision, total in enumerate([0, 9]):
            await store.heal_counter(key, factories.healing(total, revision=revision))
            healed = await read(store, key)
            assert (healed.best_effort, healed.eventual, healed.limit) == (total, 0, 3)

    @pytest.mark.parametrize("revision", [0, 2])
    async def test_healing_from_another_revision_is_refused_and_changes_nothing(
        self, store: Store, make_counter: MakeCounter, revision: int
    ) -> None:
        key = await make_counter(limit=10)
        await store.change_counter(key, factories.reserve(8, limit=10))
        before = await read(store, key)
        assert await store.heal_counter(key, factories.healing(5, revision=revision)) == Refused(before)
        assert await read(store, key) == before

    async def test_of_two_healers_one_heals(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10, best_effort=8)
        outcomes = await asyncio.gather(*(store.heal_counter(key, factories.healing(5, revision=0)) for _ in range(8)))
        assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 1
        assert (await read(store, key)).epoch == 1

    async def test_healing_an_unknown_counter_is_refused_and_makes_none(self, store: Store) -> None:
        key = factories.counter_key()
        assert await store.heal_counter(key, factories.healing(0, revision=0)) == Refused(None)
        assert await store.read_counter(key) is None


class CensusContract:
    """Recounting ``eventual`` through the stream: a line, a wait, and a question to each page."""

    async def test_census_goes_from_step_to_step_and_keeps_what_was_answered(
        self, store: Store, settler: SettlementStore, make_counter: MakeCounter
    ) -> None:
        """Two stores write one item: what one writes, the other has to read."""
        key = await make_counter()
        begun = Census(line=7)
        assert await store.change_census(key, None, begun)
        by_census = Settlement("shard", 1, 1, 2, NOW_MS, Censuses(7), census_delta=5, census_answers=1)
        assert await settler.settle(key, by_census) == Settled({"shard": Mark(1, NOW_MS)})

        answered = Census(line=7, total=5, answers=1)
        assert (await read(store, key)).census == answered
        steps: list[dict[str, int]] = [{"seen_at_ms": 1}, {"asked_at_ms": 2}, {"pages": 1}]
        for step in steps:
            begun, before = msgspec.structs.replace(begun, **step), begun
            assert await store.change_census(key, before, begun)
            answered = msgspec.structs.replace(answered, **step)
            assert (await read(store, key)).census == answered

        assert await store.end_census(key, 7, NOW_MS)
        assert not await store.end_census(key, 7, NOW_MS)
        counter = await read(store, key)
        assert (counter.eventual, counter.census, counter.last_census) == (5, None, 7)
        assert counter.last_census_at_ms == NOW_MS

    async def test_step_from_another_one_is_refused_and_changes_nothing(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        now = Census(line=7, seen_at_ms=1, asked_at_ms=2)
        await store.change_census(key, None, now)
        others = [
            None,
            Census(line=7),
            Census(line=6, seen_at_ms=1, asked_at_ms=2),
            Census(line=7, seen_at_ms=2, asked_at_ms=2),
            Census(line=7, seen_at_ms=1, asked_at_ms=3),
            Census(line=7, seen_at_ms=1, asked_at_ms=2, pages=0),
        ]
        for other in others:
            assert not await store.change_census(key, other, Census(line=9))
            assert (await read(store, key)).census == now

    async def test_of_many_who_take_a_step_one_does(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter()
        await store.change_census(key, None, Census(line=7))
        step = Census(line=7, asked_at_ms=1)
        assert sum(await asyncio.gather(*(store.change_census(key, Census(line=7), step) for _ in range(8)))) == 1

    async def test_new_census_in_the_place_of_a_lost_one_has_no_answers(
        self, store: Store, settler: SettlementStore, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        lost = Census(line=7, seen_at_ms=1, asked_at_ms=2, pages=3)
        await store.change_census(key, None, lost)
        await settler.settle(key, Settlement("shard", 1, 1, 2, NOW_MS, Censuses(7), census_delta=5, census_answers=1))
        assert await store.change_census(key, lost, Census(line=8))
        assert (await read(store, key)).census == Census(line=8)

    @pytest.mark.parametrize("line", [6, 7])
    async def test_late_begin_of_a_census_is_refused_after_a_later_one(
        self, store: Store, make_counter: MakeCounter, line: int
    ) -> None:
        key = await make_counter()
        await store.change_census(key, None, Census(line=7, pages=0))
        await store.end_census(key, 7, NOW_MS)
        assert not await store.change_census(key, None, Census(line=line))
        assert (await read(store, key)).census is None
        assert await store.change_census(key, None, Census(line=8))

    async def test_census_of_an_unknown_counter_is_refused_and_makes_none(self, store: Store) -> None:
        key = factories.counter_key()
        assert not await store.change_census(key, None, Census(line=7))
        assert not await store.end_census(key, 7, NOW_MS)
        assert await store.raise_revision(key, 7, None) == Refused(None)
        assert await store.read_counter(key) is None

    async def test_revision_is_raised_once(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(best_effort=3)
        before = await read(store, key)
        risen = msgspec.structs.replace(before, revision=1001, epoch=before.epoch + 1)
        assert await store.raise_revision(key, 1000, None) == Changed(risen)
        assert await store.raise_revision(key, 1000, None) == Refused(risen)
        assert await store.raise_revision(key, 999, None) == Refused(risen)
        assert await read(store, key) == risen

    async def test_revision_is_raised_from_the_one_that_was_seen(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter()
        before = await read(store, key)
        assert await store.raise_revision(key, 1000, before.revision + 1) == Refused(before)
        assert isinstance(await store.raise_revision(key, 1000, before.revision), Changed)

    async def test_asked_page_keeps_its_entries_and_is_deleted_as_before(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        ledger = Ledger(key, 1)
        entries = entries_of_one_page(2)
        await store.insert_page(ledger, entries)
        page_id = page_id_of(entries[0].id)
        for line in (7, 7, 8):
            assert await store.ask_page(ledger, page_id, line)
        assert not await store.ask_page(ledger, page_id, 7)
        assert await store.read_entry(ledger, entries[0].id) == entries[0]
        assert await store.delete_entries(ledger, entries, NOT_YET_EXPIRED_MS)

    async def test_page_past_the_line_is_not_asked(self, store: Store, make_counter: MakeCounter) -> None:
        """It may have come in the place of an emptied one after the pages were listed."""
        ledger = Ledger(await make_counter(), 1)
        first, second = (
            msgspec.structs.replace(factories.entry("own", nonce=f"n{revision}"), revision=revision)
            for revision in (7, 8)
        )
        await store.insert_page(ledger, [first])
        await store.delete_entries(ledger, [first], NOT_YET_EXPIRED_MS)
        emptied = LedgerPage(entries=(), nonce="n7")
        assert await store.insert_page(ledger, [second], emptied) is None
        assert not await store.ask_page(ledger, "own", 7)
        assert await store.ask_page(ledger, "own", 8)

    async def test_page_that_is_not_there_is_not_asked_and_not_made(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter()
        entry = factories.entry()
        assert not await store.ask_page(Ledger(key, 1), page_id_of(entry.id), 7)
        assert await store.insert_page(Ledger(key, 1), [entry]) is None


class CutContract:
    """Healing a counter in use: a cut, a wait, and a recount of what was there before the cut."""

    async def test_a_cut_copies_what_is_there_and_begins_an_epoch(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=10)
        await store.change_counter(key, factories.reserve(8, limit=10))
        before = await read(store, key)
        cut = msgspec.structs.replace(before, epoch=1, revision=2, cut=Cut(revision=1, amount=8))
        assert await store.cut_counter(key, 0) == Changed(cut)
        assert await read(store, key) == cut

    async def test_a_cut_of_another_epoch_or_of_none_is_refused(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10, best_effort=8)
        before = await read(store, key)
        assert await store.cut_counter(key, 1) == Refused(before)
        assert await store.cut_counter(factories.counter_key(), 0) == Refused(None)
        await store.set_terms(key, factories.terms(enforcement=Enforcement.HYBRID))
        hybrid = await read(store, key)
        assert await store.cut_counter(key, 0) == Refused(hybrid)
        assert await read(store, key) == hybrid

    async def test_a_cut_is_noted_once(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=10, best_effort=8)
        uncut = await read(store, key)
        assert await store.note_cut_seen(key, 0, factories.NOW_MS) == Refused(uncut)
        await store.cut_counter(key, 0)
        unseen = await read(store, key)
        assert await store.note_cut_seen(key, 0, factories.NOW_MS) == Refused(unseen)
        noted = await store.note_cut_seen(key, 1, factories.NOW_MS)
        seen = msgspec.structs.replace(unseen, cut=Cut(revision=0, amount=8, seen_at_ms=factories.NOW_MS))
        assert noted == Changed(seen)
        assert await store.note_cut_seen(key, 1, factories.NOW_MS + 1) == Refused(seen)
        # A new cut was seen by nobody.
        await store.cut_counter(key, 1)
        assert (await read(store, key)).cut == Cut(revision=1, amount=8)

    async def test_what_is_reserved_after_the_cut_leaves_what_is_of_before_it(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=20, best_effort=8)
        await store.cut_counter(key, 0)
        await store.change_counter(key, factories.reserve(5, limit=20))
        release = msgspec.structs.replace(factories.release(4, epoch=1), before_cut=-3)
        outcome = await store.change_counter(key, release)
        assert isinstance(outcome, Changed)
        assert (outcome.counter.best_effort, outcome.counter.cut) == (9, Cut(revision=0, amount=5))

    @pytest.mark.parametrize("total", [0, 3, 5, 6])
    async def test_healing_sets_what_is_of_before_the_cut_and_ends_it(
        self, store: Store, make_counter: MakeCounter, total: int
    ) -> None:
        key = await make_counter(limit=20, best_effort=5)
        await store.cut_counter(key, 0)
        await store.note_cut_seen(key, 1, factories.NOW_MS)
        await store.change_counter(key, factories.reserve(2, limit=20))
        before = await read(store, key)
        healing = CutHealing(total=total, amount=5, epoch=1, at_ms=factories.NOW_MS + 9)
        healed = msgspec.structs.replace(
            before,
            best_effort=total + 2,
            epoch=2,
            revision=3,
            healed_revision=3,
            healed_at_ms=factories.NOW_MS + 9,
            healed_cut=0,
            healed_epoch=2,
            cut=None,
        )
        assert await store.heal_cut(key, healing) == Changed(healed)
        assert await read(store, key) == healed
        assert await store.heal_cut(key, healing) == Refused(healed)

    @pytest.mark.parametrize(("amount", "epoch"), [(4, 1), (6, 1), (5, 0), (5, 2)])
    async def test_healing_from_another_amount_or_epoch_is_refused(
        self, store: Store, make_counter: MakeCounter, amount: int, epoch: int
    ) -> None:
        key = await make_counter(limit=20, best_effort=5)
        await store.cut_counter(key, 0)
        before = await read(store, key)
        healing = CutHealing(total=3, amount=amount, epoch=epoch, at_ms=factories.NOW_MS)
        assert await store.heal_cut(key, healing) == Refused(before)
        assert await read(store, key) == before

    async def test_a_counter_that_is_no_longer_strict_is_not_healed_by_its_cut(
        self, store: Store, make_counter: MakeCounter
    ) -> None:
        key = await make_counter(limit=20, best_effort=5)
        await store.cut_counter(key, 0)
        await store.set_terms(key, factories.terms(enforcement=Enforcement.HYBRID))
        before = await read(store, key)
        healing = CutHealing(total=3, amount=5, epoch=1, at_ms=factories.NOW_MS)
        assert await store.heal_cut(key, healing) == Refused(before)
        assert await store.heal_cut(factories.counter_key(), healing) == Refused(None)

    async def test_the_healing_of_a_quiet_counter_ends_its_cut(self, store: Store, make_counter: MakeCounter) -> None:
        key = await make_counter(limit=20, best_effort=5)
        await store.cut_counter(key, 0)
        await store.note_cut_seen(key, 1, factories.NOW_MS)
        await store.heal_counter(key, factories.healing(4, revision=1))
        healed = await read(store, key)
        assert (healed.best_effort, healed.cut, healed.healed_cut, healed.healed_epoch) == (4, None, 1, 2)


class EntriesContract:
    """The ledger."""

    async def test_written_entries_are_read_back(self, store: Store) -> None:
        key = factories.counter_key()
        entries = [factories.entry(name=f"name {n} ∆", amount=n + 1) for n in range(25)]
        await put(store, Ledger(key, 4), entries)
        assert [await store.read_entry(Ledger(key, 4), entry.id) for entry in entries] == entries

    async def test_writing_again_does_no_harm(self, store: Store) -> None:
        key = factories.counter_key()
        entry = factories.entry()
        await store.insert_page(Ledger(key, 1), [entry])
        assert await store.insert_page(Ledger(key, 1), [entry]) == LedgerPage(entries=(entry,))
        assert await store.list_entries(key, 0, 10, None) == ([entry], False)

    async def test_insert_stores_once_and_then_returns_what_is_stored(self, store: Store) -> None:
        key = factories.counter_key()
        first = factories.entry("mine", name="first")
        second = factories.entry("mine", name="second", amount=9)
        assert await store.insert_page(Ledger(key, 1), [first]) is None
        assert await store.insert_page(Ledger(key, 1), [second]) == LedgerPage(entries=(first,))
        assert await store.read_entry(Ledger(key, 1), "mine") == first

    async def test_the_nonce_of_an_insert_is_stored_with_it(self, store: Store) -> None:
        key = factories.counter_key()
        first = factories.entry("mine", nonce="n1")
        second = factories.entry("mine", nonce="n2")
        assert await store.insert_page(Ledger(key, 1), [first]) is None
        assert await store.insert_page(Ledger(key, 1), [second]) == LedgerPage(entries=(first,), nonce="n1")
        assert await store.list_entries(key, 0, 10, None) == ([first], False)

    @pytest.mark.parametrize("nonce", [None, "n1"])
    async def test_of_two_deleters_one_does_it(self, store: Store, nonce: str | None) -> None:
        key = factories.counter_key()
        entry = factories.entry(nonce=nonce)
        await store.insert_page(Ledger(key, 1), [entry])
        outcomes = await asyncio.gather(*(store.delete_entries(Ledger(key, 1), [entry], NOW_MS) for _ in range(8)))
        assert sum(outcomes) == 1
        assert await store.read_entry(Ledger(key, 1), entry.id) is None

    @pytest.mark.parametrize(
        ("seen_nonce", "other_nonce", "later_ms"), [(None, "n2", 0), (None, None, 1), ("n1", "n2", 0), ("n1", None, 0)]
    )
    async def test_neither_delete_nor_rename_takes_another_entry_for_the_one_that_was_seen(
        self, store: Store, seen_nonce: str | None, other_nonce: str | None, later_ms: int
    ) -> None:
        key = factories.counter_key()
        seen = factories.entry("mine", nonce=seen_nonce)
        other = msgspec.structs.replace(seen, nonce=other_nonce, created_at_ms=seen.created_at_ms + later_ms)
        await store.insert_page(Ledger(key, 1), [other])
        assert not await store.delete_entries(Ledger(key, 1), [seen], NOW_MS)
        assert await store.rename_entry(Ledger(key, 1), seen, "late", "n9") == other
        assert await store.read_entry(Ledger(key, 1), "mine") == other

    @pytest.mark.parametrize("nonce", [None, "n1"])
    async def test_an_entry_that_was_renamed_is_the_same_to_a_deleter(self, store: Store, nonce: str | None) -> None:
        key = factories.counter_key()
        seen = factories.entry("mine", nonce=nonce)
        await store.insert_page(Ledger(key, 1), [seen])
        await store.rename_entry(Ledger(key, 1), seen, "mail", "n9")
        assert await store.delete_entries(Ledger(key, 1), [seen], NOW_MS)
        assert await store.read_entry(Ledger(key, 1), "mine") is None

    async def test_rename_changes_only_the_name(self, store: Store) -> None:
        key = factories.counter_key()
        entry = factories.entry("e", amount=3)
        await store.insert_page(Ledger(key, 1), [entry])
        renamed = await store.rename_entry(Ledger(key, 1), entry, "mail", "n1")
        assert renamed == msgspec.structs.replace(entry, name="mail", name_nonce="n1")
        assert await store.read_entry(Ledger(key, 1), "e") == renamed

    async def test_rename_of_an_entry_is_refused_once_its_name_was_changed(self, store: Store) -> None:
        key = factories.counter_key()
        entry = factories.entry("e")
        await store.insert_page(Ledger(key, 1), [entry])
        renamed = await store.rename_entry(Ledger(key, 1), entry, "mail", "n1")
        assert await store.rename_entry(Ledger(key, 1), entry, "late", "n2") == renamed
        assert renamed is not None
        again = await store.rename_entry(Ledger(key, 1), renamed, entry.name, "n3")
        assert await store.rename_entry(Ledger(key, 1), entry, "late", "n2") == again
        assert await store.read_entry(Ledger(key, 1), "e") == again

    async def test_entries_are_read_together_and_absent_ones_are_left_out(self, store: Store) -> None:
        ledger = Ledger(factories.counter_key(), 4)
        entries = [factories.entry(f"e{number}") for number in range(5)]
        await put(store, ledger, entries)
        wanted = [entry.id for entry in entries[:3]]
        assert await store.read_entries(ledger, [*wanted, "nobody", wanted[0]]) == {one.id: one for one in entries[:3]}
        assert await store.read_entries(ledger, []) == {}

    async def test_unknown_entry_is_none_and_stays_so(self, store: Store) -> None:
        key = factories.counter_key()
        assert await store.read_entry(Ledger(key, 1), "nobody") is None
        assert await store.rename_entry(Ledger(key, 1), factories.entry("nobody"), "mail", "n1") is None
        assert not await store.delete_entries(Ledger(key, 1), [factories.entry("nobody")], NOW_MS)
        assert not await store.delete_entries(Ledger(key, 1), [factories.entry("nobody", nonce="n1")], NOW_MS)
        assert await store.read_entry(Ledger(key, 1), "nobody") is None

    async def test_list_pages_through_a_slot_in_order(self, store: Store) -> None:
        key = factories.counter_key()
        entries = [factories.entry(f"e{n}") for n in range(5)]
        await put(store, Ledger(key, 1), list(reversed(entries)))
        assert await store.list_entries(key, 0, 2, None) == (entries[:2], True)
        assert await store.list_entries(key, 0, 3, "e1") == (entries[2:], False)
        assert await store.list_entries(key, 0, 2, "e4") == ([], False)

    async def test_slots_part_the_ledger(self, store: Store) -> None:
        key = factories.counter_key()
        entries = [factories.entry() for _ in range(20)]
        await put(store, Ledger(key, 4), entries)
        for slot in range(4):
            listed, _ = await store.list_entries(key, slot, 100, None)
            assert listed == sorted((e for e in entries if slot_of(e.id, 4) == slot), key=lambda e: e.id)

    async def test_counters_do_not_see_each_others_entries(self, store: Store) -> None:
        here, there = factories.counter_key(), factories.counter_key()
        await put(store, Ledger(here, 1), [factories.entry("same")])
        assert await store.read_entry(Ledger(there, 1), "same") is None
        assert await store.list_entries(there, 0, 10, None) == ([], False)


class PagesContract:
    """Entries that are stored together."""

    async def test_a_page_is_stored_whole_and_each_entry_is_found_in_it(self, store: Store) -> None:
        ledger, entries = Ledger(factories.counter_key(), 4), entries_of_one_page(PLACE_MAX)
        assert await store.insert_page(ledger, entries) is None
        assert [await store.read_entry(ledger, entry.id) for entry in entries] == entries
        assert await store.read_entries(ledger, [entry.id for entry in entries]) == {one.id: one for one in entries}

    async def test_a_page_that_is_sent_again_changes_nothing_whatever_became_of_its_entries(self, store: Store) -> None:
        ledger, entries = Ledger(factories.counter_key(), 1), entries_of_one_page(3)
        await store.insert_page(ledger, entries)
        for left in (2, 1, 0):
            assert await store.delete_entries(ledger, [entries[left]], NOT_YET_EXPIRED_MS)
            assert await store.insert_page(ledger, entries) == LedgerPage(entries=tuple(entries[:left]))
        assert await store.list_entries(ledger.counter, 0, 10, None) == ([], False)

    async def test_of_two_deleters_of_one_entry_in_a_page_one_does_it_and_the_others_stay(self, store: Store) -> None:
        ledger, entries = Ledger(factories.counter_key(), 1), entries_of_one_page(8)
        await store.insert_page(ledger, entries)
        doomed = [entry for entry in entries[:4] for _ in range(3)]
        outcomes = await asyncio.gather(*(store.delete_entries(ledger, [one], NOT_YET_EXPIRED_MS) for one in doomed))
        assert sum(outcomes) == 4
        assert await store.list_entries(ledger.counter, 0, 10, None) == (entries[4:], False)

    async def test_a_rename_leaves_the_rest_of_the_page_as_it_is(self, store: Store) -> None:
        ledger, entries = Ledger(factories.counter_key(), 1), entries_of_one_page(3)
        await store.insert_page(ledger, entries)
        renamed = await store.rename_entry(ledger, entries[1], "mail", "n1")
        assert renamed == msgspec.structs.replace(entries[1], name="mail", name_nonce="n1")
        assert await store.list_entries(ledger.counter, 0, 10, None) == ([entries[0], renamed, entries[2]], False)

    async def test_a_list_may_be_cut_anywhere_in_a_page(self, store: Store) -> None:
        ledger = Ledger(factories.counter_key(), 1)
        pages = [entries_of_one_page(size, number=number) for number, size in enumerate((5, 1, 3, 60, 2))]
        for page in pages:
            await store.insert_page(ledger, page)
        for entry in pages[2]:
            assert await store.delete_entries(ledger, [entry], NOT_YET_EXPIRED_MS)
        entries = [entry for page in (*pages[:2], *pages[3:]) for entry in page]
        for limit in (1, 2, 4, 7, 30, 100):
            listed: list[Entry] = []
            more = True
            while more:
                after = listed[-1].id if listed else None
                part, more = await store.list_entries(ledger.counter, 0, limit, after)
                assert len(part) == limit or not more
                listed += part
            assert listed == entries

    async def test_an_emptied_page_is_replaced_only_by_who_saw_it(self, store: Store) -> None:
        ledger = Ledger(factories.counter_key(), 1)
        first, second, third = (factories.entry("mine", nonce=nonce) for nonce in ("n1", "n2", "n3"))
        await store.insert_page(ledger, [first])
        assert await store.delete_entries(ledger, [first], NOT_YET_EXPIRED_MS)
        emptied = await store.insert_page(ledger, [second])
        assert emptied == LedgerPage(entries=(), nonce="n1")
        assert await store.insert_page(ledger, [second], emptied) is None
        assert await store.insert_page(ledger, [third], emptied) == LedgerPage(entries=(second,), nonce="n2")
        assert await store.delete_entries(ledger, [second], NOT_YET_EXPIRED_MS)
        assert await store.insert_page(ledger, [first], emptied) == LedgerPage(entries=(), nonce="n2")
        assert await store.read_entry(ledger, "mine") is None

    async def test_an_emptied_page_that_is_gone_is_not_replaced(self, store: Store) -> None:
        ledger, gone = Ledger(factories.counter_key(), 1), LedgerPage(entries=(), nonce="n1")
        assert await store.insert_page(ledger, [factories.entry("mine", nonce="n2")], gone) == LedgerPage(entries=())
        assert await store.read_entry(ledger, "mine") is None


class TurnContract:
    """Turns: who may do the work of a name, and until when."""

    async def test_only_one_has_a_turn(self, store: Store) -> None:
        name = factories.account().id
        assert await store.take_turn(name, "one", now_ms=1_000, until_ms=2_000)
        assert not await store.take_turn(name, "other", now_ms=1_999, until_ms=3_000)
        assert await store.take_turn(f"{name}-2", "other", now_ms=1_999, until_ms=3_000)

    async def test_a_turn_that_ran_out_goes_to_the_next(self, store: Store) -> None:
        name = factories.account().id
        await store.take_turn(name, "one", now_ms=1_000, until_ms=2_000)
        assert await store.take_turn(name, "other", now_ms=2_000, until_ms=3_000)
        assert not await store.take_turn(name, "one", now_ms=2_000, until_ms=3_000)

    async def test_its_holder_may_have_it_for_longer_or_give_it_back(self, store: Store) -> None:
        name = factories.account().id
        await store.take_turn(name, "one", now_ms=1_000, until_ms=2_000)
        assert await store.take_turn(name, "one", now_ms=1_500, until_ms=3_000)
        assert not await store.take_turn(name, "other", now_ms=2_500, until_ms=4_000)
        assert await store.take_turn(name, "one", now_ms=2_600, until_ms=2_600)
        assert await store.take_turn(name, "other", now_ms=2_600, until_ms=4_000)


class StoreContract(
    AccountsContract,
    ChangeContract,
    HealContract,
    CensusContract,
    CutContract,
    EntriesContract,
    PagesContract,
    TurnContract,
):
    """All of it; a subclass says for which implementation."""


class TestMemoryStore(StoreContract):
    """The model."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return memory

    @pytest.fixture
    def settler(self, memory: MemoryStore) -> SettlementStore:
        return memory


@pytest.fixture(scope="module")
def table_name(dynamodb_endpoint: str) -> str:
    """Make a table on the backend whose turn it is."""
    return create_table(dynamodb_endpoint)


class TestDynamoStore(StoreContract):
    """The real thing, on each backend in turn."""

    @pytest.fixture
    async def store(
        self, dynamodb_endpoint: str, table_name: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Store]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
        async with open_store(table_name) as store:
            yield store

    @pytest.fixture
    def settler(self, dynamodb_endpoint: str, table_name: str) -> Iterator[SettlementStore]:
        client = boto3.client("dynamodb", endpoint_url=dynamodb_endpoint)
        yield Boto3SettlementStore(client, table_name)
        client.close()
