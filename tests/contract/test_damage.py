"""What every ``Store`` owes when a person wrote into the table, against every implementation and every backend."""

from collections.abc import AsyncIterator, Iterator

import boto3
import msgspec
import pytest

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter, DamagedEntry, missing_counter, repaired
from counters.errors import CounterDamagedError
from counters.keys import SERVICES, CounterKey, Ledger
from counters.model import Changed, Counter, Enforcement, LedgerPage
from counters.stores.dynamodb import open_store
from counters.stores.memory import MemoryStore
from counters.stores.port import Store
from stack.provision import create_table
from tests.support import factories
from tests.support.damage import ACCOUNT_DAMAGE, COUNTER_DAMAGE, ENTRY_DAMAGE
from tests.support.hands import DynamoHand, Hand, MemoryHand, RawValue
from tests.support.ledgers import put


async def make_counter(store: Store, *, best_effort: int = 2) -> CounterKey:
    account = factories.account()
    key = CounterKey(account.id, SERVICES)
    await store.create_account(account, factories.counter(key, limit=10, best_effort=best_effort))
    return key


async def read_damaged(store: Store, key: CounterKey) -> DamagedCounter:
    with pytest.raises(CounterDamagedError) as error:
        await store.read_counter(key)
    return error.value.counter


def mended(damaged: DamagedCounter) -> Counter:
    return repaired(damaged, total=7, slots=1, at_ms=factories.NOW_MS + 1)


class DamageContract:
    """The tests; a subclass says on which backend."""

    async def test_a_damaged_counter_is_told_and_hides_no_other(self, store: Store, hand: Hand) -> None:
        for damage in COUNTER_DAMAGE:
            key, other = await make_counter(store), await make_counter(store)
            hand.set_counter(key, *damage)
            damaged = await read_damaged(store, key)
            assert (damaged.key, damaged.unreadable) == (key, (damage.attribute,))
            assert await store.read_counters([key, other]) == {key: damaged, other: await store.read_counter(other)}

    async def test_a_damaged_counter_admits_nothing_and_releases_nothing(self, store: Store, hand: Hand) -> None:
        # A write looks at no time, and not at the exact side.
        overlooked = {"touched_at", "eventual", "marks", "settled_at"}
        for damage in [damage for damage in COUNTER_DAMAGE if damage.attribute not in overlooked]:
            key = await make_counter(store)
            hand.set_counter(key, *damage)
            for change in (factories.reserve(1, limit=10), factories.release(1)):
                with pytest.raises(CounterDamagedError):
                    await store.change_counter(key, change)

    async def test_a_counter_without_a_count_gets_none_by_a_release(self, store: Store, hand: Hand) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "best_effort", None)
        with pytest.raises(CounterDamagedError):
            await store.change_counter(key, factories.release(1))
        assert (await read_damaged(store, key)).best_effort is None

    async def test_a_repair_takes_the_place_of_what_it_saw(self, store: Store, hand: Hand) -> None:
        for damage in COUNTER_DAMAGE:
            key = await make_counter(store)
            hand.set_counter(key, *damage)
            damaged = await read_damaged(store, key)
            assert await store.repair_counter(damaged, mended(damaged))
            assert await store.read_counter(key) == mended(damaged)
            # A second one saw the same.
            assert not await store.repair_counter(damaged, mended(damaged))

    async def test_a_repair_does_not_overwrite_another_change(self, store: Store, hand: Hand) -> None:
        for attribute in ("best_effort", "limit", "touched_at", "revision", "settled_at"):
            key = await make_counter(store)
            hand.set_counter(key, "slots", {"N": "0"})
            damaged = await read_damaged(store, key)
            hand.set_counter(key, attribute, {"N": "4"})
            assert not await store.repair_counter(damaged, mended(damaged))
            assert await read_damaged(store, key) != damaged

    async def test_a_damaged_counter_is_closed_and_stays_damaged(self, store: Store, hand: Hand) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "best_effort", {"N": "2.5"})
        with pytest.raises(CounterDamagedError):
            await store.close_counter(key, factories.NOW_MS + 5)
        damaged = await read_damaged(store, key)
        assert (damaged.is_closed, damaged.limit, damaged.unreadable) == (True, 0, ("best_effort",))
        assert await store.repair_counter(damaged, mended(damaged))
        repaired = await self.read(store, key)
        assert (repaired.is_closed, repaired.limit) == (True, 0)

    async def test_a_counter_that_is_missing_is_made_anew_once(self, store: Store, hand: Hand) -> None:
        key = await make_counter(store)
        hand.delete_counter(key)
        assert await store.read_counter(key) is None
        damaged = missing_counter(key)
        assert await store.repair_counter(damaged, mended(damaged))
        assert not await store.repair_counter(damaged, mended(damaged))
        assert await store.read_counter(key) == mended(damaged)

    async def test_a_touched_counter_tells_when_it_is_quiet_and_stays_damaged(self, store: Store, hand: Hand) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "touched_at", {"S": "yesterday"})
        hand.set_counter(key, "slots", None)
        before = await read_damaged(store, key)
        await store.touch_damaged_counter(before, factories.NOW_MS + 5)
        after = await read_damaged(store, key)
        assert (after.unreadable, after.touched_at_ms) == (("slots",), factories.NOW_MS + 5)
        await store.touch_damaged_counter(before, factories.NOW_MS + 9)
        assert await read_damaged(store, key) == after

    async def test_a_mark_of_a_long_sequence_number_is_no_damage(self, store: Store, hand: Hand) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "marks", {"M": {"shard": {"M": {"s": {"S": "7".zfill(64)}, "t": {"N": "1"}}}}})
        assert await store.read_counter(key) is not None

    @pytest.mark.parametrize(("text", "number"), [("1E+2", 100), ("2.0", 2), ("-3", -3)])
    async def test_a_number_in_another_notation_is_that_number(
        self, store: Store, hand: Hand, text: str, number: int
    ) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "best_effort", {"N": text})
        assert (await self.read(store, key)).best_effort == number

    async def test_a_version_of_zero_is_that_of_terms_that_were_never_changed(self, store: Store, hand: Hand) -> None:
        for version in (None, "0", "0.0"):
            key = await make_counter(store)
            hand.set_counter(key, "terms_version", None if version is None else {"N": version})
            changed = await store.set_terms(key, factories.terms(7))
            assert changed is not None
            assert (changed.limit, changed.terms_version) == (7, 1)

    async def test_a_healing_ends_a_tightening_that_a_hand_wrote(self, store: Store, hand: Hand) -> None:
        for version in (None, "0"):
            key = await make_counter(store)
            hand.set_counter(key, "enforcement", {"S": "tightening"})
            hand.set_counter(key, "terms_version", None if version is None else {"N": version})
            healing = msgspec.structs.replace(factories.healing(4, revision=0), tightened_version=0)
            outcome = await store.heal_counter(key, healing)
            assert isinstance(outcome, Changed)
            assert (outcome.counter.enforcement, outcome.counter.best_effort) == (Enforcement.STRICT, 4)

    async def test_a_damaged_entry_is_listed_counts_and_can_be_renamed_and_deleted(
        self, store: Store, hand: Hand
    ) -> None:
        for damage in ENTRY_DAMAGE:
            key = factories.counter_key()
            entries = [factories.entry(f"e{n}", amount=3) for n in range(3)]
            await put(store, Ledger(key, 1), entries)
            hand.set_entry(key, "e1", *damage)
            (first, damaged, last), more = await store.list_entries(key, 0, 10, None)
            assert ([first, last], more) == ([entries[0], entries[2]], False)
            assert isinstance(damaged, DamagedEntry)
            assert (damaged.id, damaged.unreadable) == ("e1", (damage.attribute,))
            assert (damaged.amount, damaged.released) == ((1, 0) if damage.attribute == "amount" else (3, 3))
            assert await store.read_entry(Ledger(key, 1), "e1") == damaged
            taken = await store.insert_page(Ledger(key, 1), [factories.entry("e1")])
            assert taken == LedgerPage(entries=(damaged,))
            renamed = await store.rename_entry(Ledger(key, 1), damaged, "mail", "nonce")
            assert renamed is not None
            assert (renamed.name, isinstance(renamed, DamagedEntry)) == ("mail", damage.attribute != "name")
            assert await store.delete_entries(Ledger(key, 1), [renamed], factories.NOW_MS)
            assert not await store.delete_entries(Ledger(key, 1), [renamed], factories.NOW_MS)
            assert await store.read_entry(Ledger(key, 1), "e1") is None

    @pytest.mark.parametrize("value", [None, {"S": "x"}, {"L": []}, {"NULL": True}])
    async def test_a_page_without_a_map_is_one_damaged_entry_that_can_be_renamed_and_deleted(
        self, store: Store, hand: Hand, value: RawValue | None
    ) -> None:
        key = factories.counter_key()
        ledger = Ledger(key, 1)
        await put(store, ledger, [factories.entry(f"e{n}", nonce=f"n{n}") for n in range(3)])
        hand.set_entry(key, "e1", "entries", value)
        (_, damaged, _), _ = await store.list_entries(key, 0, 10, None)
        assert isinstance(damaged, DamagedEntry)
        assert (damaged.id, damaged.unreadable, damaged.amount) == ("e1", ("name", "amount"), 1)
        assert await store.read_entries(ledger, ["e1"]) == {"e1": damaged}
        taken = await store.insert_page(ledger, [factories.entry("e1", nonce="n9")])
        assert taken == LedgerPage(entries=(damaged,), nonce="n1")
        renamed = await store.rename_entry(ledger, damaged, "mail", "nonce")
        assert isinstance(renamed, DamagedEntry)
        assert (renamed.name, renamed.unreadable) == ("mail", ("amount",))
        assert await store.delete_entries(ledger, [renamed], factories.NOW_MS)
        assert await store.read_entry(ledger, "e1") is None

    @pytest.mark.parametrize("value", [None, {"S": "x"}])
    async def test_a_page_without_a_map_can_be_deleted_as_it_is(
        self, store: Store, hand: Hand, value: RawValue | None
    ) -> None:
        key = factories.counter_key()
        await put(store, Ledger(key, 1), [factories.entry("e1", nonce="n1")])
        hand.set_entry(key, "e1", "entries", value)
        damaged = await store.read_entry(Ledger(key, 1), "e1")
        assert damaged is not None
        assert await store.delete_entries(Ledger(key, 1), [damaged], factories.NOW_MS)
        assert not await store.delete_entries(Ledger(key, 1), [damaged], factories.NOW_MS)
        assert await store.list_entries(key, 0, 10, None) == ([], False)

    async def test_places_that_are_none_are_left_out(self, store: Store, hand: Hand) -> None:
        key = factories.counter_key()
        entry = factories.entry("e1", nonce="n1")
        await put(store, Ledger(key, 1), [entry])
        foreign = {place: {"S": "x"} for place in ("1", "5", "64", "01", "-1", "x", "1E+0", "999999999999")}
        hand.set_entry(key, "e1", "entries", {"M": {"0": {"S": entry.name}, **foreign}})
        assert await store.list_entries(key, 0, 10, None) == ([entry], False)
        assert await store.delete_entries(Ledger(key, 1), [entry], factories.NOW_MS)
        assert await store.list_entries(key, 0, 10, None) == ([], False)

    async def test_a_damaged_account_is_told_and_hides_no_other(self, store: Store, hand: Hand) -> None:
        for damage in ACCOUNT_DAMAGE:
            id_, other = (await make_counter(store)).account_id, (await make_counter(store)).account_id
            hand.set_account(id_, *damage)
            damaged = await store.read_account(id_)
            assert isinstance(damaged, DamagedAccount)
            assert damaged.unreadable == (damage.attribute,)
            assert await store.read_accounts([id_, other]) == {id_: damaged, other: await store.read_account(other)}
            renamed = await store.rename_account(damaged, "grace", "nonce")
            assert renamed is not None
            assert (renamed.username, isinstance(renamed, DamagedAccount)) == ("grace", damage.attribute != "username")

    @staticmethod
    async def read(store: Store, key: CounterKey) -> Counter:
        counter = await store.read_counter(key)
        assert counter is not None
        return counter


class TestDamagedMemoryStore(DamageContract):
    """The model."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return memory

    @pytest.fixture
    def hand(self, memory: MemoryStore) -> Hand:
        return MemoryHand(memory)


@pytest.fixture(scope="module")
def table_name(dynamodb_endpoint: str) -> str:
    """Make a table on the backend whose turn it is."""
    return create_table(dynamodb_endpoint)


class TestDamagedDynamoStore(DamageContract):
    """The real thing, on each backend in turn."""

    @pytest.fixture
    async def store(
        self, dynamodb_endpoint: str, table_name: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Store]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
        async with open_store(table_name) as store:
            yield store

    @pytest.fixture
    def hand(self, dynamodb_endpoint: str, table_name: str) -> Iterator[Hand]:
        client = boto3.client("dynamodb", endpoint_url=dynamodb_endpoint)
        yield DynamoHand(client, table_name)
        client.close()

    @pytest.mark.parametrize("value", [{"S": "x"}, {"N": "9" * 17}])
    async def test_a_flush_mends_the_time_that_it_sets(self, store: Store, hand: Hand, value: RawValue) -> None:
        key = await make_counter(store)
        hand.set_counter(key, "touched_at", value)
        assert isinstance(await store.change_counter(key, factories.reserve(1, limit=10)), Changed)
        assert (await self.read(store, key)).best_effort == 3

    async def test_a_turn_that_cannot_be_read_is_free(
        self, store: Store, dynamodb_endpoint: str, table_name: str
    ) -> None:
        client = boto3.client("dynamodb", endpoint_url=dynamodb_endpoint)
        for attribute, value in ((keys.HELD_UNTIL, {"S": "for ever"}), (keys.HELD_UNTIL, None), (keys.HOLDER, None)):
            name = f"turn of {attribute} {value}"
            assert await store.take_turn(name, "one", now_ms=1_000, until_ms=2_000)
            DynamoHand(client, table_name)._set(keys.turn_key(name), attribute, value)
            assert await store.take_turn(name, "other", now_ms=1_500, until_ms=3_000) == (attribute != keys.HOLDER)
        client.close()
