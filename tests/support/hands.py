"""What a person with a console does to a table, behind the store's back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias, cast

from counters import keys
from counters.damage import DamagedCounter
from counters.keys import CounterKey, PrimaryKey
from counters.stores.dynamodb import items
from counters.stores.memory import MemoryStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_EXACT: Final = {
    keys.EVENTUAL,
    keys.SETTLED_AT,
    keys.MARKS,
    keys.CENSUS,
    keys.CENSUS_PAGES,
    keys.CENSUS_TOTAL,
    keys.LAST_CENSUS,
}
"""Attributes of a counter's exact side."""

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
        """Set an attribute of an entry, or of its page, in a ledger of one slot."""

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
        if damaged is None:
            counter = self._store._counters.pop(key)
            stored: object = {**items.exact_item(counter), **items.counter_item(counter)}
        else:
            stored = damaged.seen
        changed = items.read_counter_or_damage(key, _changed(stored, attribute, value), {})
        if isinstance(changed, DamagedCounter):
            self._store.damaged[key] = changed
        else:
            self._store._counters[key] = changed

    def set_entry(self, key: CounterKey, entry_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        ledger = self._store._ledgers[key, 0]
        stored: items.NewItem = items.page_item(keys.Ledger(key, 1), [ledger[entry_id]])
        (ledger[entry_id],) = items.read_page(
            _changed_entry(cast("items.Item", stored), entry_id, attribute, value)
        ).entries

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
        where = keys.exact_key if attribute in _EXACT else keys.counter_key
        self._set(where(key), attribute, value)

    def set_entry(self, key: CounterKey, entry_id: str, attribute: str, value: RawValue | None) -> None:
        """See ``Hand``."""
        page_key = keys.Ledger(key, 1).page_key(entry_id)
        stored = self._client.get_item(TableName=self._table_name, Key=items.key_item(page_key))["Item"]
        changed = _changed_entry(cast("items.Item", stored), entry_id, attribute, value)
        self._client.put_item(TableName=self._table_name, Item=changed)

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


def _changed_entry(page: items.Item, entry_id: str, attribute: str, value: RawValue | None) -> items.Item:
    parts = (keys.NAME, keys.AMOUNT, keys.NAME_NONCE)
    if attribute not in parts:
        return _changed(page, attribute, value)
    place = items.place_name(entry_id)
    entry = page[keys.ENTRIES]["M"][place]
    values = dict(zip(parts, entry.get("L", [entry, {"N": "1"}]), strict=False))
    values[attribute] = cast("AttributeValueTypeDef", {"NULL": True} if value is None else value)
    entries = {**page[keys.ENTRIES]["M"], place: {"L": [*values.values()]}}
    return _changed(page, keys.ENTRIES, {"M": entries})


def _changed(stored: object, attribute: str, value: RawValue | None) -> items.Item:
    item = dict(cast("items.Item", stored))
    item.pop(attribute, None)
    if value is not None:
        item[attribute] = cast("AttributeValueTypeDef", value)
    return item
