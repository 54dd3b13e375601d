"""Between the model and DynamoDB's typed items."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from counters import keys
from counters.keys import CounterKey, PrimaryKey
from counters.model import Account, Counter, Enforcement, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef, UniversalAttributeValueTypeDef

Value: TypeAlias = "UniversalAttributeValueTypeDef"
Item: TypeAlias = "Mapping[str, AttributeValueTypeDef]"
NewItem: TypeAlias = "dict[str, UniversalAttributeValueTypeDef]"


def string(value: str) -> Value:
    """Return a string as an attribute value."""
    return {"S": value}


def number(value: int) -> Value:
    """Return a whole number as an attribute value."""
    return {"N": str(value)}


def key_item(key: PrimaryKey) -> NewItem:
    """Return the key attributes of an item."""
    return {keys.PK: string(key.pk), keys.SK: string(key.sk)}


def account_item(account: Account) -> NewItem:
    """Return an account as it is stored."""
    return {
        **key_item(keys.account_key(account.id)),
        keys.ACCOUNT_ID: string(account.id),
        keys.USERNAME: string(account.username),
        keys.CREATED_AT: number(account.created_at_ms),
    }


def read_account(item: Item) -> Account:
    """Return the account that an item stands for."""
    return Account(
        id=item[keys.ACCOUNT_ID]["S"],
        username=item[keys.USERNAME]["S"],
        created_at_ms=int(item[keys.CREATED_AT]["N"]),
        username_nonce=_optional_text(item, keys.USERNAME_NONCE),
    )


def tombstone_item(account_id: str, expires_at_s: int) -> NewItem:
    """Return what is left of a deleted account: it takes the key, until DynamoDB removes it."""
    return {**key_item(keys.account_key(account_id)), keys.EXPIRES_AT: number(expires_at_s)}


def is_tombstone(item: Item) -> bool:
    """Tell whether an item is what is left of a deleted account."""
    return keys.EXPIRES_AT in item


def counter_item(counter: Counter) -> NewItem:
    """Return a new counter as it is stored; its marks are there from the start, as no update can make the map."""
    item: NewItem = {
        **key_item(keys.counter_key(counter.key)),
        keys.ACCOUNT_ID: string(counter.key.account_id),
        keys.NAME: string(counter.key.name),
        keys.BEST_EFFORT: number(counter.best_effort),
        keys.EVENTUAL: number(counter.eventual),
        keys.ENFORCEMENT: string(counter.enforcement),
        keys.SLOTS: number(counter.slots),
        keys.EPOCH: number(counter.epoch),
        keys.REVISION: number(counter.revision),
        keys.TOUCHED_AT: number(counter.touched_at_ms),
        keys.MARKS: {"M": {}},
    }
    if counter.limit is not None:
        item[keys.LIMIT] = number(counter.limit)
    return item


def read_counter(item: Item) -> Counter:
    """Return the counter that an item stands for."""
    return Counter(
        key=CounterKey(item[keys.ACCOUNT_ID]["S"], item[keys.NAME]["S"]),
        best_effort=int(item[keys.BEST_EFFORT]["N"]),
        eventual=int(item[keys.EVENTUAL]["N"]),
        limit=_optional(item, keys.LIMIT),
        enforcement=Enforcement(item[keys.ENFORCEMENT]["S"]),
        terms_version=_optional(item, keys.TERMS_VERSION) or 0,
        terms_nonce=_optional_text(item, keys.TERMS_NONCE),
        closed_at_ms=_optional(item, keys.CLOSED_AT),
        slots=int(item[keys.SLOTS]["N"]),
        epoch=int(item[keys.EPOCH]["N"]),
        revision=int(item[keys.REVISION]["N"]),
        touched_at_ms=int(item[keys.TOUCHED_AT]["N"]),
        settled_at_ms=_optional(item, keys.SETTLED_AT),
        healed_at_ms=_optional(item, keys.HEALED_AT),
        healed_revision=_optional(item, keys.HEALED_REVISION),
        counted_from_ms=_optional(item, keys.COUNTED_FROM),
    )


def _optional(item: Item, attribute: str) -> int | None:
    value = item.get(attribute)
    return None if value is None else int(value["N"])


def _optional_text(item: Item, attribute: str) -> str | None:
    value = item.get(attribute)
    return None if value is None else value["S"]


def entry_item(key: CounterKey, slots: int, entry: Entry) -> NewItem:
    """Return an entry as it is stored."""
    item: NewItem = {
        **key_item(keys.entry_key(key, slots, entry.id)),
        keys.AMOUNT: number(entry.amount),
        keys.NAME: string(entry.name),
        keys.CREATED_AT: number(entry.created_at_ms),
    }
    if entry.nonce is not None:
        item[keys.NONCE] = string(entry.nonce)
    return item


def read_entry(item: Item) -> Entry:
    """Return the entry that an item stands for."""
    return Entry(
        id=item[keys.SK]["S"],
        amount=int(item[keys.AMOUNT]["N"]),
        name=item[keys.NAME]["S"],
        created_at_ms=int(item[keys.CREATED_AT]["N"]),
        nonce=_optional_text(item, keys.NONCE),
        name_nonce=_optional_text(item, keys.NAME_NONCE),
    )
