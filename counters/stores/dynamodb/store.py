"""``Store`` on DynamoDB: one item for a counter, so that each step of a counter is one conditional write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter
from counters.errors import CounterDamagedError, NotAppliedError, OutcomeUnknownError, TableLayoutError
from counters.keys import CounterKey, Ledger, PrimaryKey
from counters.model import (
    Account,
    Census,
    Change,
    Changed,
    Counter,
    CutHealing,
    Enforcement,
    Entry,
    Healing,
    LedgerPage,
    Refused,
    TermsChange,
)
from counters.stores.dynamodb import conditions, items
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from counters.stores.dynamodb.client import DynamoClient, open_client
from counters.stores.dynamodb.conditions import Condition
from counters.stores.dynamodb.failures import CONDITION_FAILED, cancellation_reasons, translated
from counters.stores.dynamodb.inserts import Inserts
from counters.stores.dynamodb.table import Table, item_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        PutTypeDef,
        TransactWriteItemTypeDef,
        UpdateItemInputTypeDef,
    )

_EXISTS: Final = f"attribute_exists({keys.PK})"
_IS_NEW: Final = f"attribute_not_exists({keys.PK})"
_CANNOT_BE_UPDATED: Final = "ValidationException"

_EXPIRE: Final = "SET #expires_at = :expires_at"
_EXPIRY_NAME: Final = {"#expires_at": keys.EXPIRES_AT}

_CUT_NAMES: Final = {
    "#epoch": keys.EPOCH,
    "#cut_revision": keys.CUT_REVISION,
    "#before_cut": keys.BEFORE_CUT,
    "#cut_seen_at": keys.CUT_SEEN_AT,
}
_HEALED_CUT_NAMES: Final = {**_CUT_NAMES, "#healed_cut": keys.HEALED_CUT, "#healed_epoch": keys.HEALED_EPOCH}
_END_CUT: Final = "REMOVE #cut_revision, #before_cut, #cut_seen_at"

_TOMBSTONE_S: Final = 24 * 60 * 60
"""How long the key of a deleted account or of an emptied page stays taken. DynamoDB refuses a request that was signed
more than 15 minutes ago."""


@asynccontextmanager
async def open_store(
    table_name: str, try_timeout_s: float = 2.5, *, own_ids_in_batches: bool = True
) -> AsyncIterator[DynamoStore]:
    """Open a store on a client of its own.

    Args:
        table_name: The table.
        try_timeout_s: See ``open_client``.
        own_ids_in_batches: See ``DynamoStore``.

    Raises:
        StoreRejectedError: See ``open_client``.
    """
    async with open_client(try_timeout_s) as client:
        yield DynamoStore(client, table_name, own_ids_in_batches=own_ids_in_batches)


class DynamoStore:
    """Implements ``Store``; every read is strongly consistent.

    Args:
        client: What makes the calls.
        table_name: The table.
        own_ids_in_batches: Whether entries under callers' own ids that come together are stored with one call. Not
            where the table's stream misses what PartiQL writes, as MiniStack's does: nothing would settle them.
    """

    def __init__(self, client: DynamoClient, table_name: str, *, own_ids_in_batches: bool = True) -> None:
        self._client = client
        self._table = Table(client, table_name)
        self._inserts = Inserts(client, self._table) if own_ids_in_batches else None

    async def ping(self) -> None:
        """See ``Store``."""
        key = PrimaryKey(keys.LAYOUT_PK, keys.LAYOUT_SK)
        layout = await self._table.get(key)
        if layout is None:
            accounts, _ = await self._table.query(keys.DIRECTORY_PK, 1, None)
            mine: items.NewItem = {keys.LAYOUT: items.number(keys.LAYOUT_VERSION)}
            # A table with accounts that says nothing is of a version that did not say.
            layout = {} if accounts else await self._table.set(key, mine, conditions.IS_NEW)
        found = layout.get(keys.LAYOUT, {}).get("N")
        if found != str(keys.LAYOUT_VERSION):
            raise TableLayoutError(
                f"The table {self._table.name} was made by another version of this service: its layout is "
                f"{found or 'not known'}, and this version needs {keys.LAYOUT_VERSION}. Use another table."
            )

    async def create_account(self, account: Account, counter: Counter) -> None:
        """See ``Store``."""
        new_items = [
            items.account_item(account),
            items.key_item(keys.directory_key(account.id)),
            items.counter_item(counter),
            items.exact_item(counter),
        ]
        writes: list[TransactWriteItemTypeDef] = [
            {"Put": {"TableName": self._table.name, "Item": item, "ConditionExpression": _IS_NEW}} for item in new_items
        ]
        # Where a condition does not hold, the account is there: an earlier try of this call made it, and its answer was
        # lost. Or it was there, and this is a late try, which must not bring it back.
        await self._write_all(writes)

    async def read_account(self, account_id: str) -> Account | None:
        """See ``Store``."""
        return _read_account(account_id, await self._table.get(keys.account_key(account_id)))

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        """See ``Store``."""
        change = {keys.USERNAME: items.string(username), keys.USERNAME_NONCE: items.string(nonce)}
        condition = conditions.all_of(conditions.is_still(keys.EXPIRES_AT, None), _is_same_name(seen))
        return _read_account(seen.id, await self._table.set(keys.account_key(seen.id), change, condition))

    async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
        """See ``Store``."""
        names = {"#limit": keys.LIMIT, "#terms_version": keys.TERMS_VERSION, "#closed_at": keys.CLOSED_AT}
        values = {":none": items.number(0), ":one": items.number(1), ":now": items.number(at_ms)}
        update = "SET #limit = :none, #closed_at = :now ADD #terms_version :one"
        condition = f"{_EXISTS} AND attribute_not_exists(#closed_at)"
        return (await self._update_counter(key, update, condition, names, values)).counter

    async def delete_account(self, key: CounterKey, at_ms: int) -> None:
        """See ``Store``."""
        tombstone = items.tombstone_item(key.account_id, at_ms // 1000 + _TOMBSTONE_S)
        writes: list[TransactWriteItemTypeDef] = [
            {"Put": {"TableName": self._table.name, "Item": tombstone}},
            {"Delete": {"TableName": self._table.name, "Key": items.key_item(keys.directory_key(key.account_id))}},
            {
                "Delete": {
                    "TableName": self._table.name,
                    "Key": items.key_item(keys.counter_key(key)),
                    "ConditionExpression": f"{_IS_NEW} OR attribute_exists({keys.CLOSED_AT})",
                }
            },
            {"Delete": {"TableName": self._table.name, "Key": items.key_item(keys.exact_key(key))}},
        ]
        with translated():
            await self._client.transact_write_items(TransactItems=writes)

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        """See ``Store``."""
        page, more = await self._table.query(keys.DIRECTORY_PK, limit, after)
        return [item[keys.SK]["S"] for item in page], more

    async def read_accounts(self, account_ids: Sequence[str]) -> dict[str, Account]:
        """See ``Store``."""
        by_key = {keys.account_key(account_id): account_id for account_id in account_ids}
        found = await self._table.get_all(list(by_key))
        accounts = [_read_account(by_key[key], item) for key, item in found.items()]
        return {account.id: account for account in accounts if account is not None}

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""
        found = (await self.read_counters([key])).get(key)
        if isinstance(found, DamagedCounter):
            raise CounterDamagedError(found)
        return found

    async def read_counters(self, counter_keys: Sequence[CounterKey]) -> dict[CounterKey, Counter | DamagedCounter]:
        """See ``Store``."""
        wanted = [where(key) for key in counter_keys for where in (keys.counter_key, keys.exact_key)]
        found = await self._table.get_all(wanted)
        both = {key: (found.get(keys.counter_key(key)), found.get(keys.exact_key(key))) for key in counter_keys}
        return {
            key: items.read_counter_or_damage(key, item, exact or {}) for key, (item, exact) in both.items() if item
        }

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``."""
        values = {":delta": items.number(change.delta), ":one": items.number(1), ":now": items.number(change.at_ms)}
        names = {"#best_effort": keys.BEST_EFFORT, "#revision": keys.REVISION, "#touched_at": keys.TOUCHED_AT}
        # ADD would make a count of its own where there is none: where the item, or only the count, is missing.
        condition = "attribute_exists(#best_effort)"
        if change.admits:
            names["#limit"] = keys.LIMIT
            values[":limit"] = items.limit_value(change.limit)
            condition += " AND #limit = :limit"
            if change.limit is not None:
                # DynamoDB has no arithmetic in conditions: the room is worked out for the limit that we know.
                condition = "#best_effort <= :room AND #limit = :limit"
                values[":room"] = items.number(change.limit - change.delta)
        if change.epoch is not None:
            names["#epoch"] = keys.EPOCH
            values[":epoch"] = items.number(change.epoch)
            condition += " AND #epoch = :epoch"
        if change.enforcement is not None:
            names["#enforcement"] = keys.ENFORCEMENT
            values[":enforcement"] = items.string(change.enforcement)
            condition += " AND #enforcement = :enforcement"
        adding = "#best_effort :delta, #revision :one"
        if change.before_cut:
            names["#before_cut"] = keys.BEFORE_CUT
            values[":before_cut"] = items.number(change.before_cut)
            adding += ", #before_cut :before_cut"
        update = f"ADD {adding} SET #touched_at = :now"
        return await self._update_counter(key, update, condition, names, values)

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``."""
        names = {
            "#best_effort": keys.BEST_EFFORT,
            "#epoch": keys.EPOCH,
            "#revision": keys.REVISION,
            "#healed_revision": keys.HEALED_REVISION,
            "#healed_at": keys.HEALED_AT,
            **_HEALED_CUT_NAMES,
        }
        values = {
            ":total": items.number(healing.total),
            ":one": items.number(1),
            ":revision": items.number(healing.revision),
            ":healed_revision": items.number(healing.revision + 1),
            ":now": items.number(healing.at_ms),
        }
        assignments = ["#best_effort = :total", "#healed_revision = :healed_revision", "#healed_at = :now"]
        assignments += ["#healed_cut = #revision", "#healed_epoch = #epoch + :one"]
        condition = "#revision = :revision"
        if healing.tightened_version is not None:
            is_same_change = conditions.is_terms_version(healing.tightened_version)
            names |= {"#enforcement": keys.ENFORCEMENT, **is_same_change.names}
            values |= {":strict": items.string(Enforcement.STRICT), **is_same_change.values}
            condition += f" AND {is_same_change.text}"
            assignments.append("#enforcement = :strict")
        update = f"ADD #epoch :one, #revision :one SET {', '.join(assignments)} {_END_CUT}"
        return await self._update_counter(key, update, condition, names, values)

    async def _write_all(self, writes: Sequence[TransactWriteItemTypeDef]) -> bool:
        """Make all of these writes or none; return whether their conditions held."""
        with translated():
            try:
                await self._client.transact_write_items(TransactItems=writes)
            except AnswerError as error:
                if CONDITION_FAILED not in cancellation_reasons(error):
                    raise
                return False
        return True

    async def cut_counter(self, key: CounterKey, epoch: int) -> Changed | Refused:
        """See ``Store``."""
        update = (
            "SET #cut_revision = #revision, #before_cut = #best_effort"
            " ADD #epoch :one, #revision :one REMOVE #cut_seen_at"
        )
        names = {"#best_effort": keys.BEST_EFFORT, "#revision": keys.REVISION, **_CUT_NAMES}
        condition = conditions.all_of(
            conditions.is_still(keys.EPOCH, items.number(epoch)),
            conditions.is_still(keys.ENFORCEMENT, items.string(Enforcement.STRICT)),
        )
        values = {":one": items.number(1), **condition.values}
        return await self._update_counter(key, update, condition.text, names | condition.names, values)

    async def note_cut_seen(self, key: CounterKey, epoch: int, at_ms: int) -> Changed | Refused:
        """See ``Store``."""
        condition = conditions.all_of(
            conditions.is_still(keys.EPOCH, items.number(epoch)), conditions.is_still(keys.CUT_SEEN_AT, None)
        )
        text = f"{condition.text} AND attribute_exists(#cut_revision)"
        names = {**condition.names, "#cut_revision": keys.CUT_REVISION}
        values = {**condition.values, ":now": items.number(at_ms)}
        return await self._update_counter(key, "SET #cut_seen_at = :now", text, names, values)

    async def heal_cut(self, key: CounterKey, healing: CutHealing) -> Changed | Refused:
        """See ``Store``."""
        update = (
            "SET #best_effort = #best_effort + :change, #healed_revision = #revision + :one, #healed_at = :now,"
            " #healed_cut = #cut_revision, #healed_epoch = #epoch + :one"
            f" ADD #epoch :one, #revision :one {_END_CUT}"
        )
        condition = conditions.all_of(
            conditions.is_still(keys.EPOCH, items.number(healing.epoch)),
            conditions.is_still(keys.BEFORE_CUT, items.number(healing.amount)),
            conditions.is_still(keys.ENFORCEMENT, items.string(Enforcement.STRICT)),
        )
        names = {
            "#best_effort": keys.BEST_EFFORT,
            "#revision": keys.REVISION,
            "#healed_revision": keys.HEALED_REVISION,
            "#healed_at": keys.HEALED_AT,
            **_HEALED_CUT_NAMES,
            **condition.names,
        }
        values = {
            ":change": items.number(healing.total - healing.amount),
            ":one": items.number(1),
            ":now": items.number(healing.at_ms),
            **condition.values,
        }
        return await self._update_counter(key, update, condition.text, names, values)

    async def change_census(self, key: CounterKey, seen: Census | None, census: Census) -> bool:
        """See ``Store``."""
        before = {keys.CENSUS: None} if seen is None else items.census_steps(seen)
        is_later = Condition(
            f"(attribute_not_exists(#{keys.LAST_CENSUS}) OR #{keys.LAST_CENSUS} < :{keys.CENSUS})",
            {f"#{keys.LAST_CENSUS}": keys.LAST_CENSUS},
            {},
        )
        is_as_seen = (conditions.is_still(attribute, value) for attribute, value in before.items())
        condition = conditions.all_of(conditions.EXISTS, is_later, *is_as_seen)
        steps = items.census_steps(census)
        change: items.NewItem = {attribute: value for attribute, value in steps.items() if value is not None}
        if seen is None or seen.line != census.line:
            change |= {keys.CENSUS_TOTAL: items.number(0), keys.CENSUS_ANSWERS: items.number(0)}
        gone = [attribute for attribute, value in steps.items() if value is None]
        update = "SET " + ", ".join(f"#{attribute} = :{attribute}" for attribute in change)
        update += " REMOVE " + ", ".join(f"#{attribute}" for attribute in gone) if gone else ""
        names = {f"#{attribute}": attribute for attribute in (*change, *gone)}
        values = {f":{attribute}": value for attribute, value in change.items()}
        return await self._table.change(keys.exact_key(key), update, names, values, condition)

    async def raise_revision(self, key: CounterKey, line: int, revision: int | None) -> Changed | Refused:
        """See ``Store``."""
        names = {"#revision": keys.REVISION, "#epoch": keys.EPOCH}
        values = {":past": items.number(line + 1), ":one": items.number(1)}
        condition = "#revision < :past"
        if revision is not None:
            values[":revision"] = items.number(revision)
            condition += " AND #revision = :revision"
        return await self._update_counter(key, "SET #revision = :past ADD #epoch :one", condition, names, values)

    async def ask_page(self, ledger: Ledger, page_id: str, line: int) -> bool:
        """See ``Store``."""
        # A revision that cannot be compared is listed as zero.
        is_up_to_line = "(attribute_not_exists(#census) OR #census <= :line) AND NOT #revision > :line"
        condition = Condition(f"{_EXISTS} AND {is_up_to_line}", {}, {})
        names, values = {"#census": keys.CENSUS, "#revision": keys.REVISION}, {":line": items.number(line)}
        item = await self._table.update(ledger.page_key(page_id), "SET #census = :line", names, values, condition)
        return item.get(keys.CENSUS) == values[":line"]

    async def end_census(self, key: CounterKey, line: int, at_ms: int) -> bool:
        """See ``Store``."""
        gone = (
            keys.CENSUS,
            keys.CENSUS_SEEN_AT,
            keys.CENSUS_ASKED_AT,
            keys.CENSUS_PAGES,
            keys.CENSUS_TOTAL,
            keys.CENSUS_ANSWERS,
        )
        named = (*gone, keys.EVENTUAL, keys.LAST_CENSUS, keys.LAST_CENSUS_AT)
        condition = Condition("#census = :line AND #census_pages = #census_answers", {}, {})
        update = "SET #eventual = #census_total, #last_census = :line, #last_census_at = :at REMOVE "
        update += ", ".join(f"#{attribute}" for attribute in gone)
        values = {":line": items.number(line), ":at": items.number(at_ms)}
        names = {f"#{attribute}": attribute for attribute in named}
        return await self._table.change(keys.exact_key(key), update, names, values, condition)

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        """See ``Store``."""
        terms = {
            keys.TERMS_VERSION: items.number(change.seen_version + 1),
            keys.TERMS_NONCE: items.string(change.nonce),
        }
        if change.limit is not None:
            terms[keys.LIMIT] = items.number(change.limit)
        if change.enforcement is not None:
            terms[keys.ENFORCEMENT] = items.string(change.enforcement)
        if change.enforcement is Enforcement.TIGHTENING:
            terms[keys.TOUCHED_AT] = items.number(change.at_ms)
        condition = conditions.all_of(
            conditions.EXISTS,
            conditions.is_still(keys.CLOSED_AT, None),
            conditions.is_terms_version(change.seen_version),
        )
        item = await self._table.set(keys.counter_key(key), terms, condition)
        return items.read_written_counter(key, item) if item else None

    async def repair_counter(self, damaged: DamagedCounter, repaired: Counter) -> bool:
        """See ``Store``."""
        seen = cast("items.Item", damaged.seen)
        # Of a counter whose own item is missing only that was seen.
        exact = seen or await self._table.get(keys.exact_key(damaged.key)) or {}
        new_exact = {**items.exact_item(repaired), keys.MARKS: items.readable_marks(exact)}
        return await self._write_all(
            [
                self._put_if(items.counter_item(repaired), conditions.is_still_counter(seen)),
                self._put_if(new_exact, conditions.is_still_exact(exact)),
            ]
        )

    def _put_if(self, item: items.NewItem, condition: Condition) -> TransactWriteItemTypeDef:
        put: PutTypeDef = {
            "TableName": self._table.name,
            "Item": item,
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": condition.names,
        }
        if condition.values:
            put["ExpressionAttributeValues"] = condition.values
        return {"Put": put}

    async def touch_damaged_counter(self, damaged: DamagedCounter, at_ms: int) -> None:
        """See ``Store``."""
        condition = conditions.is_still_counter(cast("items.Item", damaged.seen))
        await self._table.set(keys.counter_key(damaged.key), {keys.TOUCHED_AT: items.number(at_ms)}, condition)

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``."""
        item = items.page_item(ledger, entries)
        if emptied is not None:
            found = await self._table.put(item, conditions.is_still_nonce(emptied.nonce))
        elif self._inserts is None or keys.is_ours(entries[0].id):
            found = await self._table.put(item, conditions.IS_NEW)
        else:
            found = await self._inserts.insert(ledger.page_key(entries[0].id), item)
        if found is None:
            return None
        return items.read_page(found) if found else LedgerPage(entries=())

    async def read_entry(self, ledger: Ledger, entry_id: str) -> Entry | None:
        """See ``Store``."""
        return _find(await self._table.get(ledger.page_key(entry_id)), entry_id)

    async def read_entries(self, ledger: Ledger, entry_ids: Sequence[str]) -> dict[str, Entry]:
        """See ``Store``."""
        by_id = {entry_id: ledger.page_key(entry_id) for entry_id in entry_ids}
        pages = await self._table.get_all([*dict.fromkeys(by_id.values())])
        found = {entry_id: _find(pages.get(key), entry_id) for entry_id, key in by_id.items()}
        return {entry_id: entry for entry_id, entry in found.items() if entry is not None}

    async def rename_entry(self, ledger: Ledger, seen: Entry, name: str, nonce: str) -> Entry | None:
        """See ``Store``."""
        condition = conditions.all_of(conditions.is_still_entry(seen), conditions.is_still_name(seen))
        path, value = conditions.PLACE_PATH, items.renamed_value(seen, name, nonce)
        names = {"#entries": keys.ENTRIES, "#place0": items.place_name(seen.id)}
        if items.has_no_map(seen):
            path, value = "#entries", {"M": {names.pop("#place0"): value}}
        update = f"SET {path.format(0)} = :renamed"
        item = await self._table.update(ledger.page_key(seen.id), update, names, {":renamed": value}, condition)
        return _find(item, seen.id)

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """See ``Store``."""
        key = ledger.page_key(seen[0].id)
        condition = conditions.all_of(*(conditions.is_still_entry(entry, n) for n, entry in enumerate(seen)))
        expiry = {":expires_at": items.number(at_ms // 1000 + _TOMBSTONE_S)}
        names = {"#entries": keys.ENTRIES}
        values: items.NewItem = {}
        update = "REMOVE " + ", ".join(conditions.PLACE_PATH.format(number) for number in range(len(seen)))
        if items.has_no_map(seen[0]):
            update, values = f"{_EXPIRE}, #entries = :none", {":none": {"M": {}}, **expiry}
        elif keys.place_of(seen[0].id) == keys.ALONE:
            update, values = f"{update} {_EXPIRE}", expiry
        if values:
            names |= _EXPIRY_NAME
        call: UpdateItemInputTypeDef = {
            "TableName": self._table.name,
            "Key": items.key_item(key),
            "UpdateExpression": update,
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": {**names, **condition.names},
            "ExpressionAttributeValues": {**values, **condition.values},
            "ReturnValues": "NONE" if values else "ALL_NEW",
        }
        with translated():
            try:
                answer = await self._client.update_item(**call)
            except ConditionFailedError:
                return False
        if not values and not items.read_page(answer["Attributes"]).entries:
            # They are deleted, whatever becomes of this; a page that stays costs nothing but its room.
            with suppress(NotAppliedError, OutcomeUnknownError):
                await self._table.update(key, _EXPIRE, _EXPIRY_NAME, expiry, conditions.EXISTS)
        return True

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """See ``Store``."""
        found: list[Entry] = []
        pages = 0
        position = None if after is None else keys.page_id_of(after)
        # The page of the last entry may have more of them.
        operator, more = ">=", True
        while more and len(found) <= limit:
            # As many pages as hold what is missing, by those that were read; at first by what a full page holds. When
            # only emptied pages were read, there may be many of them: twice as many at once as so far.
            wanted = (limit + 1 - len(found)) * pages // len(found) if found else max(limit // 32, 2 * pages)
            page_items, more = await self._table.query(keys.entries_pk(key, slot), wanted + 1, position, operator)
            entries = [entry for item in page_items for entry in items.read_page(item).entries]
            found += entries if after is None else [entry for entry in entries if entry.id > after]
            pages += len(page_items)
            position, operator = (page_items[-1][keys.SK]["S"] if page_items else position), ">"
            more = more and bool(page_items)
        return found[:limit], more or len(found) > limit

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """See ``Store``."""
        mine: items.NewItem = {keys.HOLDER: {"S": holder}, keys.HELD_UNTIL: items.number(until_ms)}
        turn = await self._table.set(keys.turn_key(name), mine, conditions.is_free_for(holder, now_ms))
        return turn.get(keys.HOLDER) == mine[keys.HOLDER]

    async def _update_counter(
        self, key: CounterKey, update: str, condition: str, names: Mapping[str, str], values: items.NewItem
    ) -> Changed | Refused:
        with translated():
            try:
                answer = await self._client.update_item(
                    TableName=self._table.name,
                    Key=items.key_item(keys.counter_key(key)),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ConditionFailedError as error:
                item = item_of(error)
                return Refused(items.read_written_counter(key, item) if item else None)
            except AnswerError as error:
                if error.code == _CANNOT_BE_UPDATED:
                    # Nothing can be added to what is no number; reading says that the counter is damaged.
                    with suppress(NotAppliedError, OutcomeUnknownError):
                        await self.read_counter(key)
                raise
        return Changed(items.read_written_counter(key, answer["Attributes"]))


def _read_account(account_id: str, item: items.Item | None) -> Account | None:
    """Return the account of an item; None when there is none, or when it was deleted."""
    return items.read_account(account_id, item) if item and not items.is_tombstone(item) else None


def _find(item: items.Item | None, entry_id: str) -> Entry | None:
    """Return the entry of this id in a page's item; None when it is not there, or the page is not."""
    entries = items.read_page(item).entries if item else ()
    return next((entry for entry in entries if entry.id == entry_id), None)


def _is_same_name(seen: Account) -> Condition:
    """Return the condition that an account is there and was not renamed since it was seen."""
    value = None if seen.username_nonce is None else items.string(seen.username_nonce)
    if isinstance(seen, DamagedAccount):
        value = cast("items.Item", seen.seen).get(keys.USERNAME_NONCE)
    return conditions.all_of(conditions.EXISTS, conditions.is_still(keys.USERNAME_NONCE, value))
