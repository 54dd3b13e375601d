"""Items that a person changed by hand and the service cannot read (``docs/design/engine.md``, section 7).

A damaged counter is shown as damaged and takes no creates, deletes or limits until it is repaired. A damaged account
or entry only lacks something to show, so it stays in use.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from counters import keys
from counters.keys import CounterKey
from counters.model import Account, Counter, Enforcement, Entry

_SETTINGS: Final = frozenset({keys.LIMIT, keys.ENFORCEMENT})
"""Attributes that a caller chose. No recount can find them again."""


class DamagedCounter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter of which something cannot be read.

    Attributes:
        unreadable: Names of the attributes that are missing or cannot be read.
        readable: The rest of the counter. In the place of each unreadable attribute is its safe value: a limit of 0,
            an enforcement that is tightening, one slot, zero or None for the others.
        seen: The attributes as they are stored, in the store's own form. A repair is conditional on them.
    """

    unreadable: tuple[str, ...]
    readable: Counter
    seen: Mapping[str, object]

    @property
    def key(self) -> CounterKey:
        """Account and name."""
        return self.readable.key

    @property
    def is_closed(self) -> bool:
        """See ``Counter``."""
        return keys.CLOSED_AT not in self.unreadable and self.readable.is_closed

    @property
    def needs_person(self) -> bool:
        """Whether a caller has to set the limit or the enforcement again; never for a closed counter."""
        return not self.is_closed and not _SETTINGS.isdisjoint(self.unreadable)

    @property
    def best_effort(self) -> int | None:
        """See ``Counter``; None when it cannot be read."""
        return None if keys.BEST_EFFORT in self.unreadable else self.readable.best_effort

    @property
    def eventual(self) -> int | None:
        """See ``Counter``; None when it cannot be read."""
        return None if keys.EVENTUAL in self.unreadable else self.readable.eventual

    @property
    def limit(self) -> int | None:
        """See ``Counter``; None also when it cannot be read."""
        return None if keys.LIMIT in self.unreadable else self.readable.limit

    @property
    def enforcement(self) -> Enforcement | None:
        """See ``Counter``; None when it cannot be read."""
        return None if keys.ENFORCEMENT in self.unreadable else self.readable.enforcement

    @property
    def touched_at_ms(self) -> int | None:
        """See ``Counter``; None when it cannot be read."""
        return None if keys.TOUCHED_AT in self.unreadable else self.readable.touched_at_ms

    @property
    def slots(self) -> int | None:
        """See ``Counter``; None when it cannot be read."""
        return None if keys.SLOTS in self.unreadable else self.readable.slots


class DamagedAccount(Account, frozen=True, kw_only=True):
    """An account of which something cannot be read: an empty username or the time zero stands in its place.

    Attributes:
        unreadable: Names of the attributes that are missing or cannot be read.
        seen: See ``DamagedCounter``.
    """

    unreadable: tuple[str, ...]
    seen: Mapping[str, object]


class DamagedEntry(Entry, frozen=True, kw_only=True):
    """An entry of which something cannot be read: an empty name or the time zero stands in its place.

    An amount that cannot be read counts as 1, the amount of every entry that was made over HTTP. Its delete gives
    nothing back, as the amount that was counted for it is unknown. The next recount corrects that.

    Attributes:
        unreadable: Names of the attributes that are missing or cannot be read.
        seen: See ``DamagedCounter``.
    """

    unreadable: tuple[str, ...]
    seen: Mapping[str, object]

    @property
    def released(self) -> int:
        """What its delete gives back."""
        return 0 if keys.AMOUNT in self.unreadable else self.amount


def missing_counter(key: CounterKey) -> DamagedCounter:
    """Return the stand-in for a counter that is missing while its account exists."""
    safe = Counter(key=key, limit=0, enforcement=Enforcement.TIGHTENING)
    return DamagedCounter(unreadable=keys.COUNTER_ATTRIBUTES, readable=safe, seen={})


def repaired(damaged: DamagedCounter, total: int, slots: int, at_ms: int) -> Counter:
    """Return a damaged counter as a repair leaves it.

    Args:
        damaged: The counter as it was seen.
        total: The ledger's total.
        slots: Number of the ledger's slots.
        at_ms: The time of the repair, milliseconds since the epoch.
    """
    lost = damaged.unreadable
    # The recount has counted all that hybrid let in before.
    is_counted = damaged.readable.enforcement is Enforcement.TIGHTENING
    # An epoch or a revision that was never there before, and above all that were: no counter is healed or changed
    # once a millisecond.
    revision = at_ms if keys.REVISION in lost else damaged.readable.revision + 1
    if damaged.readable.census is not None:
        # The census ends here, and a late write of it is not to raise the revision.
        revision = max(revision, damaged.readable.census.line + 1)
    epoch = at_ms if keys.EPOCH in lost else damaged.readable.epoch + 1
    return msgspec.structs.replace(
        damaged.readable,
        best_effort=total,
        eventual=total,
        enforcement=Enforcement.STRICT if is_counted else damaged.readable.enforcement,
        slots=slots,
        # A change that was decided on the terms as they were must not come after the repair.
        terms_version=at_ms if keys.TERMS_VERSION in lost else damaged.readable.terms_version + 1,
        terms_nonce=None,
        closed_at_ms=None if keys.CLOSED_AT in lost else damaged.readable.closed_at_ms,
        epoch=epoch,
        revision=revision,
        settled_at_ms=None if keys.SETTLED_AT in lost else damaged.readable.settled_at_ms,
        healed_at_ms=at_ms,
        healed_revision=revision,
        healed_cut=revision,
        healed_epoch=epoch,
        cut=None,
        census=None,
        last_census=None if keys.LAST_CENSUS in lost else damaged.readable.last_census,
        last_census_at_ms=None if keys.LAST_CENSUS_AT in lost else damaged.readable.last_census_at_ms,
    )


def closed_damage(damaged: DamagedCounter, at_ms: int) -> Counter | DamagedCounter:
    """Return a damaged counter after it was closed; one that is closed stays as it is."""
    if damaged.is_closed:
        return damaged
    unreadable = tuple(attribute for attribute in damaged.unreadable if attribute != keys.LIMIT)
    closed = msgspec.structs.replace(damaged.readable, limit=0, closed_at_ms=at_ms)
    return msgspec.structs.replace(damaged, unreadable=unreadable, readable=closed) if unreadable else closed


def mended_account(account: Account, *attributes: str) -> Account:
    """Return an account after these attributes were written anew."""
    if not isinstance(account, DamagedAccount):
        return account
    unreadable = tuple(attribute for attribute in account.unreadable if attribute not in attributes)
    if unreadable:
        return msgspec.structs.replace(account, unreadable=unreadable)
    fields = msgspec.structs.asdict(account)
    return Account(**{name: fields[name] for name in Account.__struct_fields__})


def mended_entry(entry: Entry, *attributes: str) -> Entry:
    """Return an entry after these attributes were written anew."""
    if not isinstance(entry, DamagedEntry):
        return entry
    unreadable = tuple(attribute for attribute in entry.unreadable if attribute not in attributes)
    if unreadable:
        return msgspec.structs.replace(entry, unreadable=unreadable)
    fields = msgspec.structs.asdict(entry)
    return Entry(**{name: fields[name] for name in Entry.__struct_fields__})
