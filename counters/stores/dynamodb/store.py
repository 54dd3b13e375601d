"""``Store`` on DynamoDB: one item for a counter, so that each step of a counter is one conditional write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter, DamagedEntry
from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey, PrimaryKey
from counters.model import Account, Change, Changed, Counter, Enforcement, Entry, Healing, Refused, TermsChange
from counters.stores.dynamodb import conditions, items
from counters.stores.dynamodb.client import DynamoClient, open_client
from counters.stores.dynamodb.conditions import Condition
from counters.stores.dynamodb.failures import CONDITION_FAILED, cancellation_reasons, translated
from counters.stores.dynamodb.wire import AnswerError, ConditionFailedError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import (
        DeleteItemInputTypeDef,
        PutItemInputTypeDef,
        TransactWriteItemTypeDef,
        WriteRequestTypeDef,
    )

_EXISTS: Final = f"attribute_exists({keys.PK})"
_IS_NEW: Final = f"attribute_not_exists({keys.PK})"
_CANNOT_BE_UPDATED: Final = "ValidationException"

_TOMBSTONE_S: Final = 24 * 60 * 60
"""How long a deleted account's id stays taken. DynamoDB refuses a request that was signed more than 15 minutes ago."""


@asynccontextmanager
async def open_store(table_name: str, try_timeout_s: float = 2.5) -> AsyncIterator[DynamoStore]:
    """Open a store on a client of its own.

    Args:
        table_name: The table.
        try_timeout_s: See ``open_client``.

    Raises:
        StoreRejectedError: See ``open_client``.
    """
    async with open_client(try_timeout_s) as client:
        yield DynamoStore(client, table_name)


class DynamoStore:
    """Implements ``Store``; every read is strongly consistent."""

    def __init__(self, client: DynamoClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    async def ping(self) -> None:
        """See ``Store``."""
        await self._get(PrimaryKey(keys.DIRECTORY_PK, "-"))

    async def create_account(self, account: Account, counter: Counter) -> None:
        """See ``Store``."""
        new_items = [
            items.account_item(account),
            items.key_item(keys.directory_key(account.id)),
            items.counter_item(counter),
        ]
        writes: list[TransactWriteItemTypeDef] = [
            {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": _IS_NEW}} for item in new_items
        ]
        with translated():
            try:
                await self._client.transact_write_items(TransactItems=writes)
            except AnswerError as error:
                if CONDITION_FAILED not in cancellation_reasons(error):
                    raise
                # The account is there: an earlier try of this call made it, and its answer was lost. Or it was there,
                # and this is a late try, which must not bring it back.

    async def read_account(self, account_id: str) -> Account | None:
        """See ``Store``."""
        return _read_account(account_id, await self._get(keys.account_key(account_id)))

    async def rename_account(self, seen: Account, username: str, nonce: str) -> Account | None:
        """See ``Store``."""
        change = {keys.USERNAME: items.string(username), keys.USERNAME_NONCE: items.string(nonce)}
        condition = conditions.all_of(
            conditions.is_still(keys.EXPIRES_AT, None), _is_unchanged(keys.USERNAME_NONCE, seen.username_nonce, seen)
        )
        return _read_account(seen.id, await self._set(keys.account_key(seen.id), change, condition))

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
            {"Put": {"TableName": self._table, "Item": tombstone}},
            {"Delete": {"TableName": self._table, "Key": items.key_item(keys.directory_key(key.account_id))}},
            {
                "Delete": {
                    "TableName": self._table,
                    "Key": items.key_item(keys.counter_key(key)),
                    "ConditionExpression": f"{_IS_NEW} OR attribute_exists({keys.CLOSED_AT})",
                }
            },
        ]
        with translated():
            await self._client.transact_write_items(TransactItems=writes)

    async def list_account_ids(self, limit: int, after: str | None) -> tuple[list[str], bool]:
        """See ``Store``."""
        page, more = await self._query(keys.DIRECTORY_PK, limit, after)
        return [item[keys.SK]["S"] for item in page], more

    async def read_accounts(self, account_ids: Sequence[str]) -> dict[str, Account]:
        """See ``Store``."""
        by_key = {keys.account_key(account_id): account_id for account_id in account_ids}
        found = await self._get_all(list(by_key))
        accounts = [_read_account(by_key[key], item) for key, item in found.items()]
        return {account.id: account for account in accounts if account is not None}

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""
        item = await self._get(keys.counter_key(key))
        return items.read_counter(key, item) if item else None

    async def read_counters(self, counter_keys: Sequence[CounterKey]) -> dict[CounterKey, Counter | DamagedCounter]:
        """See ``Store``."""
        by_key = {keys.counter_key(key): key for key in counter_keys}
        found = await self._get_all(list(by_key))
        return {by_key[key]: items.read_counter_or_damage(by_key[key], item) for key, item in found.items()}

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
        update = "ADD #best_effort :delta, #revision :one SET #touched_at = :now"
        return await self._update_counter(key, update, condition, names, values)

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``."""
        names = {
            "#best_effort": keys.BEST_EFFORT,
            "#epoch": keys.EPOCH,
            "#revision": keys.REVISION,
            "#healed_revision": keys.HEALED_REVISION,
            "#healed_at": keys.HEALED_AT,
        }
        values = {
            ":total": items.number(healing.total),
            ":one": items.number(1),
            ":revision": items.number(healing.revision),
            ":healed_revision": items.number(healing.revision + 1),
            ":now": items.number(healing.at_ms),
        }
        assignments = ["#best_effort = :total", "#healed_revision = :healed_revision", "#healed_at = :now"]
        condition = "#revision = :revision"
        if healing.counted_from_ms is not None:
            names |= {"#eventual": keys.EVENTUAL, "#counted_from": keys.COUNTED_FROM, "#settled_at": keys.SETTLED_AT}
            if healing.settled_at_ms is None:
                condition += " AND attribute_not_exists(#settled_at)"
            else:
                condition += " AND #settled_at = :settled_at"
                values[":settled_at"] = items.number(healing.settled_at_ms)
            values[":counted_from"] = items.number(healing.counted_from_ms)
            assignments += ["#eventual = :total", "#counted_from = :counted_from"]
        if healing.tightened_version is not None:
            is_same_change = conditions.is_terms_version(healing.tightened_version)
            names |= {"#enforcement": keys.ENFORCEMENT, **is_same_change.names}
            values |= {":strict": items.string(Enforcement.STRICT), **is_same_change.values}
            condition += f" AND {is_same_change.text}"
            assignments.append("#enforcement = :strict")
        update = f"ADD #epoch :one, #revision :one SET {', '.join(assignments)}"
        return await self._update_counter(key, update, condition, names, values)

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
        item = await self._set(keys.counter_key(key), terms, condition)
        return items.read_counter(key, item) if item else None

    async def repair_counter(self, damaged: DamagedCounter, repaired: Counter) -> bool:
        """See ``Store``."""
        seen = cast("items.Item", damaged.seen)
        condition = conditions.is_still_counter(seen)
        put: PutItemInputTypeDef = {
            "TableName": self._table,
            "Item": {**items.counter_item(repaired), keys.MARKS: items.readable_marks(seen)},
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": condition.names,
        }
        if condition.values:
            put["ExpressionAttributeValues"] = condition.values
        with translated():
            try:
                await self._client.put_item(**put)
            except ConditionFailedError:
                return False
        return True

    async def touch_damaged_counter(self, damaged: DamagedCounter, at_ms: int) -> None:
        """See ``Store``."""
        condition = conditions.is_still_counter(cast("items.Item", damaged.seen))
        await self._set(keys.counter_key(damaged.key), {keys.TOUCHED_AT: items.number(at_ms)}, condition)

    async def write_entries(self, key: CounterKey, slots: int, entries: Sequence[Entry]) -> list[Entry]:
        """See ``Store``."""
        puts: list[WriteRequestTypeDef] = [
            {"PutRequest": {"Item": items.entry_item(key, slots, entry)}} for entry in entries
        ]
        with translated():
            answer = await self._client.batch_write_item(RequestItems={self._table: puts})
        unwritten = answer.get("UnprocessedItems", {}).get(self._table, [])
        return [items.read_entry(put["PutRequest"]["Item"]) for put in unwritten]

    async def insert_entry(self, key: CounterKey, slots: int, entry: Entry) -> Entry | None:
        """See ``Store``."""
        with translated():
            try:
                await self._client.put_item(
                    TableName=self._table,
                    Item=items.entry_item(key, slots, entry),
                    ConditionExpression=_IS_NEW,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ConditionFailedError as error:
                return items.read_entry(_item_of(error))
        return None

    async def read_entry(self, key: CounterKey, slots: int, entry_id: str) -> Entry | None:
        """See ``Store``."""
        item = await self._get(keys.entry_key(key, slots, entry_id))
        return items.read_entry(item) if item else None

    async def rename_entry(self, key: CounterKey, slots: int, seen: Entry, name: str, nonce: str) -> Entry | None:
        """See ``Store``."""
        change = {keys.NAME: items.string(name), keys.NAME_NONCE: items.string(nonce)}
        is_same_name = _is_unchanged(keys.NAME_NONCE, seen.name_nonce, seen)
        condition = conditions.all_of(conditions.is_still_entry(seen), is_same_name)
        item = await self._set(keys.entry_key(key, slots, seen.id), change, condition)
        return items.read_entry(item) if item else None

    async def delete_entry(self, key: CounterKey, slots: int, seen: Entry) -> bool:
        """See ``Store``."""
        condition = conditions.is_still_entry(seen)
        delete: DeleteItemInputTypeDef = {
            "TableName": self._table,
            "Key": items.key_item(keys.entry_key(key, slots, seen.id)),
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": condition.names,
        }
        if condition.values:
            delete["ExpressionAttributeValues"] = condition.values
        with translated():
            try:
                await self._client.delete_item(**delete)
            except ConditionFailedError:
                return False
        return True

    async def list_entries(self, key: CounterKey, slot: int, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """See ``Store``."""
        page, more = await self._query(keys.entries_pk(key, slot), limit, after)
        return [items.read_entry(item) for item in page], more

    async def take_turn(self, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
        """See ``Store``."""
        mine: items.NewItem = {keys.HOLDER: {"S": holder}, keys.HELD_UNTIL: items.number(until_ms)}
        turn = await self._set(keys.turn_key(name), mine, conditions.is_free_for(holder, now_ms))
        return turn.get(keys.HOLDER) == mine[keys.HOLDER]

    async def _get(self, key: PrimaryKey) -> items.Item | None:
        with translated():
            answer = await self._client.get_item(TableName=self._table, Key=items.key_item(key), ConsistentRead=True)
        return answer.get("Item")

    async def _get_all(self, wanted: Sequence[PrimaryKey]) -> dict[PrimaryKey, items.Item]:
        if not wanted:
            return {}
        with translated():
            answer = await self._client.batch_get_item(
                RequestItems={
                    self._table: {"Keys": [items.key_item(key) for key in wanted], "ConsistentRead": True},
                }
            )
        if answer.get("UnprocessedKeys"):
            raise NotAppliedError("DynamoDB did not get to read every key.")
        found = answer["Responses"].get(self._table, [])
        return {PrimaryKey(item[keys.PK]["S"], item[keys.SK]["S"]): item for item in found}

    async def _set(self, key: PrimaryKey, change: items.NewItem, condition: Condition) -> items.Item:
        """Set attributes, if a condition holds; return the item as it is now, empty when there is none."""
        assignments = ", ".join(f"#{attribute} = :{attribute}" for attribute in change)
        with translated():
            try:
                answer = await self._client.update_item(
                    TableName=self._table,
                    Key=items.key_item(key),
                    UpdateExpression=f"SET {assignments}",
                    ConditionExpression=condition.text,
                    ExpressionAttributeNames={
                        **{f"#{attribute}": attribute for attribute in change},
                        **condition.names,
                    },
                    ExpressionAttributeValues={
                        **{f":{attribute}": value for attribute, value in change.items()},
                        **condition.values,
                    },
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ConditionFailedError as error:
                return _item_of(error)
        return answer["Attributes"]

    async def _update_counter(
        self, key: CounterKey, update: str, condition: str, names: Mapping[str, str], values: items.NewItem
    ) -> Changed | Refused:
        with translated():
            try:
                answer = await self._client.update_item(
                    TableName=self._table,
                    Key=items.key_item(keys.counter_key(key)),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ConditionFailedError as error:
                item = _item_of(error)
                return Refused(items.read_counter(key, item) if item else None)
            except AnswerError as error:
                if error.code == _CANNOT_BE_UPDATED:
                    # Nothing can be added to what is no number; reading says that the counter is damaged.
                    with suppress(NotAppliedError, OutcomeUnknownError):
                        await self.read_counter(key)
                raise
        return Changed(items.read_counter(key, answer["Attributes"]))

    async def _query(self, pk: str, limit: int, after: str | None) -> tuple[Sequence[items.Item], bool]:
        """Return a partition's items past a sort key, and whether more follow."""
        # One item more than wanted tells whether more follow; DynamoDB's own sign may point at an empty page.
        values = {":pk": items.string(pk)}
        condition = f"{keys.PK} = :pk"
        if after is not None:
            condition += f" AND {keys.SK} > :after"
            values[":after"] = items.string(after)
        with translated():
            answer = await self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                Limit=limit + 1,
                ConsistentRead=True,
            )
        found = answer["Items"]
        # A page of 1 MB ends early.
        return found[:limit], len(found) > limit or "LastEvaluatedKey" in answer


def _read_account(account_id: str, item: items.Item | None) -> Account | None:
    """Return the account of an item; None when there is none, or when it was deleted."""
    return items.read_account(account_id, item) if item and not items.is_tombstone(item) else None


def _is_unchanged(attribute: str, nonce: str | None, seen: Account | Entry) -> Condition:
    """Return the condition that an item is there and has the nonce that was seen, or no nonce if none was."""
    value = None if nonce is None else items.string(nonce)
    if isinstance(seen, DamagedAccount | DamagedEntry):
        value = cast("items.Item", seen.seen).get(attribute)
    return conditions.all_of(conditions.EXISTS, conditions.is_still(attribute, value))


def _item_of(error: ConditionFailedError) -> items.Item:
    """Return the item that a refused condition was checked against; empty when there is none."""
    return cast("items.Item", error.fields.get("Item", {}))
