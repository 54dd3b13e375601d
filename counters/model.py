"""What the core talks about: accounts, counters and entries (``docs/design.md``, section 2)."""

from enum import StrEnum

import msgspec

from counters.keys import CounterKey


class Enforcement(StrEnum):
    """How a counter keeps its limit."""

    STRICT = "strict"
    """Never over the limit, at any instant."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of counters.

    Attributes:
        id: UUIDv7.
        username: Display name; not unique.
        created_at_ms: Milliseconds since the epoch.
    """

    id: str
    username: str
    created_at_ms: int


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter's item as it was at one instant.

    Attributes:
        key: Account and name.
        best_effort: Sum of all reservations: right now, never below the ledger's total in strict mode.
        eventual: Sum of all settled entries: exact, a moment late.
        limit: Most that may be in use; None for no limit.
        enforcement: How the limit is kept.
        slots: Partitions of the ledger, 1 to 64, fixed when the counter is made.
        epoch: Number of times that the counter was healed.
        revision: Number of changes of ``best_effort``.
        touched_at_ms: When ``best_effort`` last changed, milliseconds since the epoch.
        settled_at_ms: When ``eventual`` last changed; None before the first time.
    """

    key: CounterKey
    best_effort: int = 0
    eventual: int = 0
    limit: int | None = None
    enforcement: Enforcement = Enforcement.STRICT
    slots: int = 1
    epoch: int = 0
    revision: int = 0
    touched_at_ms: int = 0
    settled_at_ms: int | None = None

    @property
    def value(self) -> int:
        """What enforcement compares with the limit."""
        return self.best_effort

    @property
    def remaining(self) -> int | None:
        """Room under the limit, never negative; None when there is no limit."""
        return None if self.limit is None else max(0, self.limit - self.value)

    @property
    def drift(self) -> int:
        """How far the immediate counter is ahead of the exact one; zero when all is settled."""
        return self.best_effort - self.eventual


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One counted thing in a counter.

    Attributes:
        id: UUIDv7, or the caller's own id.
        name: Display name.
        amount: How much it counts, a positive whole number.
        created_at_ms: Milliseconds since the epoch.
    """

    id: str
    name: str
    amount: int = 1
    created_at_ms: int


class Created(msgspec.Struct, frozen=True):
    """The outcome of a create.

    Attributes:
        entry: The durable entry.
        replayed: Whether it was there already, under the id that the caller chose.
    """

    entry: Entry
    replayed: bool


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One flush: what a lane adds to and takes from ``best_effort`` in one write.

    Attributes:
        reserve: Sum of the admitted amounts; when positive, the write is conditional on the limit.
        release: Sum of the amounts whose entries were deleted.
        limit: The limit that the lane admitted under; None for no limit.
        at_ms: The time of the change, milliseconds since the epoch.
    """

    reserve: int
    release: int
    limit: int | None
    at_ms: int


class Changed(msgspec.Struct, frozen=True):
    """A flush was applied; the counter is as it was right after."""

    counter: Counter


class Refused(msgspec.Struct, frozen=True):
    """A flush was refused; the counter is as it was at that instant, None when it does not exist."""

    counter: Counter | None
