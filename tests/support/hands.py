"""What a person with a console does to a table, behind the store's back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, cast

from counters import keys
from counters.damage import DamagedCounter
from counters.keys import CounterKey, PrimaryKey
from counters.stores.dynamodb import items
from counters.stores.memory import MemoryStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

RawValue: TypeAlias = Mapping[str, object]
"""A value as DynamoDB types it, such as ``{"N": "2.5"}``."""


class Damage(NamedTuple):
    """What becomes of one attribute of an item; a value of None takes it away."""

    attribute: str
    value: RawValue | None


class Hand(Protocol):
    """Writes what it likes; a value of None takes the attribute away."""

    def set_counter(self, key: CounterKey, attribute: str, value: RawValue | None) -> None:
        """Set an attribute of a counter."""

    def set_entry(self, key: CounterKey, entry_id: str, attribute: str, value: RawValue | None) -> None:
        """Set an attribute of an entry in a ledger of one slot."""

    def set_account(self, account_id: str, attribute: str, value: RawValue | None) -> None:
        """Set an attribute of an account."""

    def delete_counter(self, key: CounterKey) -> None:
        """Delete a counter's item."""

    def delete_account(self, account_id: str) -> None:
        """Delete an account's own item; its line in the directory stays."""


class MemoryHand:
    """Works on a store in memory, which keeps what DynamoDB's items would be read as."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def set_counter(self, key: CounterKey, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        damaged = self._store.damaged.pop(key, None)
        stored = items.counter_item(self._store._counters.pop(key)) if damaged is None else damaged.seen
        counter = items.read_counter_or_damage(key, _changed(stored, attribute, value))
        if isinstance(counter, DamagedCounter):
            self._store.damaged[key] = counter
        else:
            self._store._counters[key] = counter

    def set_entry(self, key: CounterKey, entry_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        ledger = self._store._ledgers[key, 0]
        stored = items.entry_item(key, 1, ledger[entry_id])
        ledger[entry_id] = items.read_entry(_changed(stored, attribute, value))

    def set_account(self, account_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        stored = items.account_item(self._store._accounts[account_id])
        self._store._accounts[account_id] = items.read_account(account_id, _changed(stored, attribute, value))

    def delete_counter(self, key: CounterKey) -> None:
        """See ``Hand``."""
        del self._store._counters[key]

    def delete_account(self, account_id: str) -> None:
        """See ``Hand``."""
        del self._store._accounts[account_id]


class DynamoHand:
    """Works on a table."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def set_counter(self, key: CounterKey, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        self._set(keys.counter_key(key), attribute, value)

    def set_entry(self, key: CounterKey, entry_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        self._set(keys.entry_key(key, 1, entry_id), attribute, value)

    def set_account(self, account_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        self._set(keys.account_key(account_id), attribute, value)

    def delete_counter(self, key: CounterKey) -> None:
        """See ``Hand``."""
        self._client.delete_item(TableName=self._table_name, Key=items.key_item(keys.counter_key(key)))

    def delete_account(self, account_id: str) -> None:
        """See ``Hand``."""
        self._client.delete_item(TableName=self._table_name, Key=items.key_item(keys.account_key(account_id)))

    def _set(self, key: PrimaryKey, attribute: str, value: RawValue | None) -> None:
        stored = self._client.get_item(TableName=self._table_name, Key=items.key_item(key))["Item"]
        self._client.put_item(TableName=self._table_name, Item=_changed(stored, attribute, value))


def _changed(stored: object, attribute: str, value: RawValue | None) -> items.Item:
    item = dict(cast("items.Item", stored))
    item.pop(attribute, None)
    if value is not None:
        item[attribute] = cast("AttributeValueTypeDef", value)
    return item
