"""Between the model and DynamoDB's typed items.

Whatever stands in an item, reading it raises nothing: what cannot be read comes back as damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard, cast

import msgspec

from counters import keys
from counters.damage import DamagedAccount, DamagedCounter, DamagedEntry
from counters.errors import CounterDamagedError
from counters.keys import CounterKey, Ledger, PrimaryKey
from counters.model import Account, Census, Counter, Cut, Enforcement, Entry, LedgerPage
from counters.settlement import SEQUENCE_DIGITS_MAX
from counters.values.numbers import AMOUNT_MAX, WHOLE_MAX, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef, UniversalAttributeValueTypeDef

Value: TypeAlias = "UniversalAttributeValueTypeDef"
Item: TypeAlias = "Mapping[str, AttributeValueTypeDef]"
NewItem: TypeAlias = "dict[str, UniversalAttributeValueTypeDef]"

_TIME_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, after which no timestamp can be written."""

_ENFORCEMENTS: Final = {str(enforcement): enforcement for enforcement in Enforcement}


def string(value: str) -> Value:
    """Return a string as an attribute value."""
    return {"S": value}


def number(value: int) -> Value:
    """Return a whole number as an attribute value."""
    return {"N": str(value)}


def limit_value(limit: int | None) -> Value:
    """Return a limit as an attribute value."""
    return string(keys.NO_LIMIT) if limit is None else number(limit)


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


def read_account(account_id: str, item: Item) -> Account:
    """Return the account that an item stands for."""
    reading = _Reading(item)
    account = Account(
        id=account_id,
        username=reading.text(keys.USERNAME),
        created_at_ms=reading.time_ms(keys.CREATED_AT),
        username_nonce=reading.text_or_none(keys.USERNAME_NONCE),
    )
    if not reading.unreadable:
        return account
    return DamagedAccount(**msgspec.structs.asdict(account), unreadable=tuple(reading.unreadable), seen=item)


def tombstone_item(account_id: str, expires_at_s: int) -> NewItem:
    """Return what is left of a deleted account: it takes the key, until DynamoDB removes it."""
    return {**key_item(keys.account_key(account_id)), keys.EXPIRES_AT: number(expires_at_s)}


def is_tombstone(item: Item) -> bool:
    """Tell whether an item is what is left of a deleted account."""
    return keys.EXPIRES_AT in item


def exact_item(counter: Counter) -> NewItem:
    """Return a counter's exact side as it is stored, without marks.

    Their map is there from the start, as no update can make it.
    """
    item: NewItem = {
        **key_item(keys.exact_key(counter.key)),
        keys.EVENTUAL: number(counter.eventual),
        keys.MARKS: {"M": {}},
    }
    later = {
        keys.SETTLED_AT: counter.settled_at_ms,
        keys.LAST_CENSUS: counter.last_census,
        keys.LAST_CENSUS_AT: counter.last_census_at_ms,
    }
    item |= {attribute: number(value) for attribute, value in later.items() if value is not None}
    if counter.census is not None:
        item |= {attribute: value for attribute, value in census_steps(counter.census).items() if value is not None}
        item[keys.CENSUS_TOTAL] = number(counter.census.total)
        item[keys.CENSUS_ANSWERS] = number(counter.census.answers)
    return item


def census_steps(census: Census) -> dict[str, Value | None]:
    """Return how far a census has come as it is stored; None where it has not come yet."""
    steps = {
        keys.CENSUS: census.line,
        keys.CENSUS_SEEN_AT: census.seen_at_ms,
        keys.CENSUS_ASKED_AT: census.asked_at_ms,
        keys.CENSUS_PAGES: census.pages,
    }
    return {attribute: None if step is None else number(step) for attribute, step in steps.items()}


def counter_item(counter: Counter) -> NewItem:
    """Return a counter as it is stored, without its exact side."""
    item: NewItem = {
        **key_item(keys.counter_key(counter.key)),
        keys.ACCOUNT_ID: string(counter.key.account_id),
        keys.NAME: string(counter.key.name),
        keys.BEST_EFFORT: number(counter.best_effort),
        keys.LIMIT: limit_value(counter.limit),
        keys.ENFORCEMENT: string(counter.enforcement),
        keys.SLOTS: number(counter.slots),
        keys.EPOCH: number(counter.epoch),
        keys.REVISION: number(counter.revision),
        keys.TOUCHED_AT: number(counter.touched_at_ms),
    }
    later = {
        keys.CLOSED_AT: counter.closed_at_ms,
        keys.HEALED_AT: counter.healed_at_ms,
        keys.HEALED_REVISION: counter.healed_revision,
        keys.HEALED_CUT: counter.healed_cut,
        keys.HEALED_EPOCH: counter.healed_epoch,
        # A counter whose terms were never changed has no version.
        keys.TERMS_VERSION: counter.terms_version or None,
    }
    if counter.cut is not None:
        later[keys.CUT_REVISION] = counter.cut.revision
        later[keys.BEFORE_CUT] = counter.cut.amount
        later[keys.CUT_SEEN_AT] = counter.cut.seen_at_ms
    if counter.terms_nonce is not None:
        item[keys.TERMS_NONCE] = string(counter.terms_nonce)
    return item | {attribute: number(value) for attribute, value in later.items() if value is not None}


def read_counter(key: CounterKey, item: Item, exact: Item) -> Counter:
    """Return the counter that two items stand for; empty ones for what is not there.

    Raises:
        CounterDamagedError: Something in it cannot be read.
    """
    return _sound(read_counter_or_damage(key, item, exact))


def read_counter_or_damage(key: CounterKey, item: Item, exact: Item) -> Counter | DamagedCounter:
    """Return the counter that two items stand for, or what can be read of it."""
    # No attribute is in both.
    reading = _Reading({**exact, **item})
    counter = _counter(key, reading).with_exact_of(
        Counter(
            key=key,
            eventual=reading.whole(keys.EVENTUAL, -WHOLE_MAX),
            settled_at_ms=reading.time_ms_or_none(keys.SETTLED_AT),
            census=reading.census(),
            last_census=reading.whole_or_none(keys.LAST_CENSUS),
            last_census_at_ms=reading.time_ms_or_none(keys.LAST_CENSUS_AT),
        )
    )
    reading.marks()
    return _damaged_if_unreadable(counter, reading)


def read_written_counter(key: CounterKey, item: Item) -> Counter:
    """Return the counter that its own item stands for, without its exact side.

    Raises:
        CounterDamagedError: Something in it cannot be read.
    """
    reading = _Reading(item)
    return _sound(_damaged_if_unreadable(_counter(key, reading), reading))


def _counter(key: CounterKey, reading: _Reading) -> Counter:
    return Counter(
        key=key,
        best_effort=reading.whole(keys.BEST_EFFORT, -WHOLE_MAX),
        limit=reading.limit(),
        enforcement=reading.enforcement(),
        terms_version=reading.whole_or_none(keys.TERMS_VERSION) or 0,
        terms_nonce=reading.text_or_none(keys.TERMS_NONCE),
        closed_at_ms=reading.time_ms_or_none(keys.CLOSED_AT),
        slots=reading.whole(keys.SLOTS, 1, keys.SLOTS_MAX, instead=1),
        epoch=reading.whole(keys.EPOCH),
        revision=reading.whole(keys.REVISION),
        touched_at_ms=reading.time_ms(keys.TOUCHED_AT),
        healed_at_ms=reading.time_ms_or_none(keys.HEALED_AT),
        healed_revision=reading.whole_or_none(keys.HEALED_REVISION),
        healed_cut=reading.whole_or_none(keys.HEALED_CUT),
        healed_epoch=reading.whole_or_none(keys.HEALED_EPOCH),
        cut=reading.cut(),
    )


def _damaged_if_unreadable(counter: Counter, reading: _Reading) -> Counter | DamagedCounter:
    if not reading.unreadable:
        return counter
    return DamagedCounter(unreadable=tuple(reading.unreadable), readable=counter, seen=reading.item)


def _sound(counter: Counter | DamagedCounter) -> Counter:
    if isinstance(counter, DamagedCounter):
        raise CounterDamagedError(counter)
    return counter


def readable_marks(item: Item) -> Value:
    """Return the marks of an item that can be read."""
    marks = item.get(keys.MARKS, {}).get("M", {})
    return {"M": {shard: mark for shard, mark in marks.items() if _is_mark(mark)}}


def page_item(ledger: Ledger, entries: Sequence[Entry]) -> NewItem:
    """Return the entries of one page as they are stored."""
    first = entries[0]
    item: NewItem = {
        **key_item(ledger.page_key(first.id)),
        keys.CREATED_AT: number(first.created_at_ms),
        keys.REVISION: number(first.revision),
        keys.ENTRIES: {"M": {place_name(entry.id): entry_value(entry) for entry in entries}},
    }
    if first.nonce is not None:
        item[keys.NONCE] = string(first.nonce)
    return item


def place_name(entry_id: str) -> str:
    """Return what an entry is called in the map of its page."""
    return str(keys.place_of(entry_id))


def entry_value(entry: Entry) -> Value:
    """Return an entry as it is stored in its page: its name, or a short list when it was renamed or counts more."""
    if entry.amount == 1 and entry.name_nonce is None:
        return string(entry.name)
    values = [string(entry.name), number(entry.amount)]
    if entry.name_nonce is not None:
        values.append(string(entry.name_nonce))
    return {"L": values}


def renamed_value(seen: Entry, name: str, nonce: str) -> Value:
    """Return an entry as it is stored after a rename. An amount that cannot be read stays as it is."""
    amount: object = number(seen.amount)
    if isinstance(seen, DamagedEntry) and keys.AMOUNT in seen.unreadable:
        parts = [] if has_no_map(seen) else value_of(seen).get("L", [])
        amount = parts[1] if len(parts) > 1 else {"NULL": True}
    return cast("Value", {"L": [string(name), amount, string(nonce)]})


def has_no_map(seen: Entry) -> TypeGuard[DamagedEntry]:
    """Tell whether an entry stands for a page whose entries cannot be read at all."""
    return isinstance(seen, DamagedEntry) and "M" not in cast("Item", seen.seen).get(keys.ENTRIES, {})


def value_of(seen: DamagedEntry) -> AttributeValueTypeDef:
    """Return a damaged entry as it is stored in its page."""
    return cast("AttributeValueTypeDef", cast("Item", seen.seen)[keys.ENTRIES]["M"][place_name(seen.id)])


def read_page(item: Item) -> LedgerPage:
    """Return the page that an item stands for. Where its entries cannot be read at all, it has one damaged entry."""
    page_id = item[keys.SK]["S"]
    stored = item.get(keys.ENTRIES, {}).get("M")
    nonce = item.get(keys.NONCE, {}).get("S")
    places = keys.places_of(page_id)
    if stored is None:
        return LedgerPage(entries=(_read_entry(item, page_id, None),) if places else (), nonce=nonce)
    found = sorted((places[name], name) for name in stored if name in places)
    entries = [_read_entry(item, keys.id_at(page_id, place), stored[name]) for place, name in found]
    return LedgerPage(entries=tuple(entries), nonce=nonce)


def _read_entry(item: Item, entry_id: str, value: AttributeValueTypeDef | None) -> Entry:
    """Return an entry of a page."""
    reading = _Reading(item)
    created_at_ms, revision = reading.time_ms(keys.CREATED_AT), reading.whole(keys.REVISION)
    nonce = reading.text_or_none(keys.NONCE)
    if value is not None and "S" in value:
        # What nearly every entry is.
        name, amount, name_nonce = value["S"], 1, None
        unreadable = reading.unreadable
    else:
        parts = [] if value is None else value.get("L", [])
        fields = dict(zip((keys.NAME, keys.AMOUNT, keys.NAME_NONCE), parts, strict=False))
        of_entry = _Reading(fields)
        name = of_entry.text(keys.NAME)
        amount = of_entry.whole(keys.AMOUNT, 1, AMOUNT_MAX, instead=1)
        name_nonce = of_entry.text_or_none(keys.NAME_NONCE)
        unreadable = [*of_entry.unreadable, *reading.unreadable]
    entry = Entry(
        id=entry_id,
        name=name,
        amount=amount,
        created_at_ms=created_at_ms,
        revision=revision,
        nonce=nonce,
        name_nonce=name_nonce,
    )
    if not unreadable:
        return entry
    return DamagedEntry(**msgspec.structs.asdict(entry), unreadable=tuple(unreadable), seen=item)


class _Reading:
    """One item as it is read: what cannot be is replaced by a safe value, and noted.

    Attributes:
        item: The item.
        unreadable: Names of the attributes that could not be read.
    """

    __slots__ = ("item", "unreadable")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.unreadable: list[str] = []

    def whole(self, attribute: str, least: int = 0, most: int = WHOLE_MAX, *, instead: int = 0) -> int:
        try:
            found: int | None = int(self.item[attribute]["N"])
        except (KeyError, ValueError):
            found = whole_number(self.item.get(attribute, {}).get("N"))
        if found is not None and least <= found <= most:
            return found
        self.unreadable.append(attribute)
        return instead

    def whole_or_none(self, attribute: str) -> int | None:
        """Return a whole number; None when it is not there."""
        return self.whole(attribute) if attribute in self.item else None

    def cut(self) -> Cut | None:
        """Return the counter's cut; None when none of its parts is there."""
        if keys.CUT_REVISION not in self.item and keys.BEFORE_CUT not in self.item:
            return None
        return Cut(
            revision=self.whole(keys.CUT_REVISION),
            amount=self.whole(keys.BEFORE_CUT, -WHOLE_MAX),
            seen_at_ms=self.time_ms_or_none(keys.CUT_SEEN_AT),
        )

    def census(self) -> Census | None:
        """Return the counter's census; None when none is under way."""
        if keys.CENSUS not in self.item:
            return None
        return Census(
            line=self.whole(keys.CENSUS),
            seen_at_ms=self.time_ms_or_none(keys.CENSUS_SEEN_AT),
            asked_at_ms=self.time_ms_or_none(keys.CENSUS_ASKED_AT),
            pages=self.whole_or_none(keys.CENSUS_PAGES),
            total=self.whole(keys.CENSUS_TOTAL, -WHOLE_MAX),
            answers=self.whole(keys.CENSUS_ANSWERS),
        )

    def time_ms(self, attribute: str) -> int:
        return self.whole(attribute, 0, _TIME_MS_MAX)

    def time_ms_or_none(self, attribute: str) -> int | None:
        """Return a time; None when it is not there, as what it tells of has not happened."""
        return self.whole(attribute, 0, _TIME_MS_MAX) if attribute in self.item else None

    def text(self, attribute: str) -> str:
        try:
            return self.item[attribute]["S"]
        except KeyError:
            self.unreadable.append(attribute)
            return ""

    def text_or_none(self, attribute: str) -> str | None:
        """Return a text; None when it is not there."""
        return self.text(attribute) if attribute in self.item else None

    def limit(self) -> int | None:
        if self.item.get(keys.LIMIT, {}).get("S") == keys.NO_LIMIT:
            return None
        return self.whole(keys.LIMIT)

    def enforcement(self) -> Enforcement:
        found = _ENFORCEMENTS.get(self.item.get(keys.ENFORCEMENT, {}).get("S", ""))
        if found is not None:
            return found
        self.unreadable.append(keys.ENFORCEMENT)
        return Enforcement.TIGHTENING

    def marks(self) -> None:
        marks = self.item.get(keys.MARKS, {}).get("M")
        if not isinstance(marks, dict) or not all(map(_is_mark, marks.values())):
            self.unreadable.append(keys.MARKS)


def _is_mark(value: AttributeValueTypeDef) -> bool:
    """Tell whether a value is a mark: the sequence number is a number, or text of one width when it is a long one."""
    try:
        mark = value["M"]
        sequence = mark[keys.MARK_SEQUENCE]
        digits: str = sequence["N"] if "N" in sequence else sequence["S"]
        has_width = "N" in sequence or len(digits) == SEQUENCE_DIGITS_MAX
        at_ms = int(mark[keys.MARK_AT]["N"])
    except (KeyError, ValueError):
        return False
    return has_width and digits.isdigit() and digits.isascii() and -WHOLE_MAX <= at_ms <= WHOLE_MAX
