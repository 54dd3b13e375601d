"""Conditions of writes, put together from parts; each part brings the names and the values that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from counters import keys
from counters.damage import DamagedEntry
from counters.stores.dynamodb import items

if TYPE_CHECKING:
    from counters.model import Entry


class Condition(NamedTuple):
    """A condition of a write.

    Attributes:
        text: The expression.
        names: What stands for its attributes' names.
        values: What stands for its values.
    """

    text: str
    names: dict[str, str]
    values: items.NewItem


_COMPARED: Final = (
    keys.BEST_EFFORT,
    keys.LIMIT,
    keys.ENFORCEMENT,
    keys.SLOTS,
    keys.EPOCH,
    keys.REVISION,
    keys.TOUCHED_AT,
    keys.TERMS_VERSION,
    keys.TERMS_NONCE,
    keys.CLOSED_AT,
    keys.HEALED_AT,
    keys.HEALED_REVISION,
    keys.HEALED_CUT,
    keys.HEALED_EPOCH,
    keys.CUT_REVISION,
    keys.BEFORE_CUT,
    keys.CUT_SEEN_AT,
)
"""Every write to a counter's own item changes one of these."""

_COMPARED_EXACT: Final = (
    keys.EVENTUAL,
    keys.SETTLED_AT,
    keys.CENSUS,
    keys.CENSUS_SEEN_AT,
    keys.CENSUS_ASKED_AT,
    keys.CENSUS_PAGES,
    keys.LAST_CENSUS,
)
"""Every write to a counter's exact side changes one of these: a settlement sets a mark and ``settled_at`` together."""

PLACE_PATH: Final = "#entries.#place{}"
"""Path to an entry in its page, to be formatted with the number of the entry in the call."""

EXISTS = Condition(f"attribute_exists({keys.PK})", {}, {})
"""The item is there."""

IS_NEW = Condition(f"attribute_not_exists({keys.PK})", {}, {})
"""No item has the key."""


def all_of(*conditions: Condition) -> Condition:
    """Return the condition that all of these hold."""
    names: dict[str, str] = {}
    values: items.NewItem = {}
    for one in conditions:
        names |= one.names
        values |= one.values
    return Condition(" AND ".join(one.text for one in conditions), names, values)


def is_free_for(holder: str, now_ms: int) -> Condition:
    """Return the condition that nobody but this holder has the turn now.

    A time that is no number holds nothing: it is missing where nobody had it, or a hand wrote it.
    """
    until = f"#{keys.HELD_UNTIL}"
    return Condition(
        f"NOT attribute_type({until}, :number) OR {until} <= :now OR #{keys.HOLDER} = :{keys.HOLDER}",
        {f"#{attribute}": attribute for attribute in (keys.HOLDER, keys.HELD_UNTIL)},
        {":number": {"S": "N"}, ":now": items.number(now_ms), f":{keys.HOLDER}": {"S": holder}},
    )


def is_still(attribute: str, seen: items.Value | None) -> Condition:
    """Return the condition that an attribute is as it was seen; None: it was not there."""
    names = {f"#{attribute}": attribute}
    if seen is None:
        return Condition(f"attribute_not_exists(#{attribute})", names, {})
    return Condition(f"#{attribute} = :seen_{attribute}", names, {f":seen_{attribute}": seen})


def is_terms_version(version: int) -> Condition:
    """Return the condition that a counter's terms have this version; terms that were never changed may have none."""
    attribute, value = f"#{keys.TERMS_VERSION}", f":seen_{keys.TERMS_VERSION}"
    text = f"{attribute} = {value}" if version else f"(attribute_not_exists({attribute}) OR {attribute} = {value})"
    return Condition(text, {attribute: keys.TERMS_VERSION}, {value: items.number(version)})


def is_still_entry(seen: Entry, number: int = 0) -> Condition:
    """Return the condition that an entry is the one that was seen, renamed at most.

    An id of ours is used once. A caller's own id may have been used again, by another create.

    Args:
        seen: The entry.
        number: Tells it from other entries of its page in the same call.
    """
    created_at: items.Value | None = items.number(seen.created_at_ms)
    nonce = None if seen.nonce is None else items.string(seen.nonce)
    if isinstance(seen, DamagedEntry):
        item = cast("items.Item", seen.seen)
        created_at, nonce = item.get(keys.CREATED_AT), item.get(keys.NONCE)
    if items.has_no_map(seen):
        there = all_of(EXISTS, is_still(keys.ENTRIES, cast("items.Item", seen.seen).get(keys.ENTRIES)))
    else:
        there = Condition(f"attribute_exists({PLACE_PATH.format(number)})", _place_names(seen, number), {})
    return all_of(there, is_still(keys.CREATED_AT, created_at), is_still(keys.NONCE, nonce))


def is_still_nonce(nonce: str | None) -> Condition:
    """Return the condition that a page is still that of the create with this nonce."""
    return all_of(EXISTS, is_still(keys.NONCE, None if nonce is None else items.string(nonce)))


def is_still_name(seen: Entry) -> Condition:
    """Return the condition that an entry was not renamed since it was seen."""
    if items.has_no_map(seen):
        return EXISTS
    value = items.entry_value(seen)
    if isinstance(seen, DamagedEntry):
        value = cast("items.Value", items.value_of(seen))
    return Condition(f"{PLACE_PATH.format(0)} = :seen_entry", _place_names(seen, 0), {":seen_entry": value})


def _place_names(entry: Entry, number: int) -> dict[str, str]:
    """Return what stands for the names in ``PLACE_PATH``."""
    return {"#entries": keys.ENTRIES, f"#place{number}": items.place_name(entry.id)}


def is_still_counter(seen: items.Item) -> Condition:
    """Return the condition that a counter's own item is as it was seen, whatever stood in it; nothing is like none."""
    return all_of(*(is_still(attribute, seen.get(attribute)) for attribute in _COMPARED))


def is_still_exact(seen: items.Item) -> Condition:
    """Return the same condition for a counter's exact side."""
    return all_of(*(is_still(attribute, seen.get(attribute)) for attribute in _COMPARED_EXACT))
