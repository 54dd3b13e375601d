"""Accounts, counters, entries and their changes (``docs/design/engine.md``, section 2)."""

from enum import StrEnum

import msgspec

from counters.keys import CounterKey, Ledger


class Enforcement(StrEnum):
    """How a counter keeps its limit."""

    STRICT = "strict"
    """Never over the limit, at any instant."""

    HYBRID = "hybrid"
    """Never held up by the counter; may go over the limit for a moment."""

    TIGHTENING = "tightening"
    """On the way from hybrid to strict: nothing is let in until a healing has counted all that hybrid let in."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of counters.

    Attributes:
        id: UUIDv7.
        username: Display name; not unique.
        created_at_ms: Milliseconds since the epoch.
        username_nonce: The nonce of the change that set the username; None before the first change.
    """

    id: str
    username: str
    created_at_ms: int
    username_nonce: str | None = None


class Cut(msgspec.Struct, frozen=True):
    """The line that a recount draws through a counter in use, so that it has to count only what was there before.

    Attributes:
        revision: The counter's revision when it was made. What was reserved up to it is before the cut.
        amount: How much of ``best_effort`` is of before the cut: what it was then, less what was taken away of that.
        seen_at_ms: When somebody first saw it in the counter, milliseconds since the epoch; None before that. It was
            made before, however late its request was.
    """

    revision: int
    amount: int
    seen_at_ms: int | None = None


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """A recount of ``eventual`` through the stream, in which each page is asked what it holds.

    Attributes:
        line: A revision that the counter had not reached when the census began. Pages with a revision up to it are
            asked; later ones count by their changes.
        seen_at_ms: When somebody first saw the counter past the line, milliseconds since the epoch; None before that.
        asked_at_ms: When somebody began to ask, milliseconds since the epoch; None before that.
        pages: How many pages were asked; None until all were.
        total: The sum of what was answered, and of what changed since.
        answers: How many pages have answered.
    """

    line: int
    seen_at_ms: int | None = None
    asked_at_ms: int | None = None
    pages: int | None = None
    total: int = 0
    answers: int = 0

    @property
    def is_answered(self) -> bool:
        """Whether all pages that were asked have answered."""
        return self.pages is not None and self.answers == self.pages


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A counter's item as it was at one instant.

    Attributes:
        key: Account and name.
        best_effort: The immediate counter. Strict: the sum of all reservations, never below the ledger's total. Hybrid:
            the sum of the written entries, above the ledger's total for a moment at most.
        eventual: Sum of all settled entries: exact, a moment late.
        limit: Most that may be in use; None for no limit.
        enforcement: How the limit is kept.
        terms_version: Number of changes of the terms, which are the limit and how it is kept.
        terms_nonce: The nonce of the last of these changes; None before the first.
        closed_at_ms: When the deletion of its account was begun; None while nobody deletes it. A closed counter lets
            nothing in, and its limit is zero.
        slots: Partitions of the ledger, 1 to 64, fixed when the counter is made.
        epoch: Number of times that the counter was healed or cut, or raised for a census. A write that takes away is
            refused unless the epoch is the one that it was planned with.
        revision: Rises with each change of ``best_effort`` and each cut by one, and with each census by a million.
        touched_at_ms: When a caller's operation last changed ``best_effort``, milliseconds since the epoch.
        settled_at_ms: When ``eventual`` was last settled; None before the first time.
        healed_at_ms: When the counter was last healed; None before the first time.
        healed_revision: The revision that the last healing made. While it is ``revision`` itself, ``best_effort`` is
            known to be the ledger's total or more, and nothing was changed since.
        healed_cut: What was reserved up to this revision, the last healing has counted; None before the first one.
        healed_epoch: The epoch that the last healing began. A release of what that healing has counted is dropped if
            its entry was deleted under an earlier one; None before the first healing.
        cut: The cut of the recount under way; None when there is none.
        census: The census under way; None when there is none.
        last_census: The line of the last census that ended; None before the first one.
        last_census_at_ms: When it ended; None before the first one.
    """

    key: CounterKey
    best_effort: int = 0
    eventual: int = 0
    limit: int | None = None
    enforcement: Enforcement = Enforcement.STRICT
    terms_version: int = 0
    terms_nonce: str | None = None
    closed_at_ms: int | None = None
    slots: int = 1
    epoch: int = 0
    revision: int = 0
    touched_at_ms: int = 0
    settled_at_ms: int | None = None
    healed_at_ms: int | None = None
    healed_revision: int | None = None
    healed_cut: int | None = None
    healed_epoch: int | None = None
    cut: Cut | None = None
    census: Census | None = None
    last_census: int | None = None
    last_census_at_ms: int | None = None

    def with_exact_of(self, other: "Counter") -> "Counter":
        """Return this counter with the exact side of another sight of it: ``eventual`` and what belongs to it."""
        return msgspec.structs.replace(
            self,
            eventual=other.eventual,
            settled_at_ms=other.settled_at_ms,
            census=other.census,
            last_census=other.last_census,
            last_census_at_ms=other.last_census_at_ms,
        )

    @property
    def ledger(self) -> Ledger:
        """Where its entries are stored."""
        return Ledger(self.key, self.slots)

    @property
    def is_closed(self) -> bool:
        """Whether its account is being deleted."""
        return self.closed_at_ms is not None

    @property
    def value(self) -> int:
        """What enforcement compares with the limit."""
        if self.enforcement is Enforcement.STRICT:
            return self.best_effort
        return max(self.best_effort, self.eventual)

    @property
    def remaining(self) -> int | None:
        """Room under the limit, never negative; None when there is no limit."""
        return None if self.limit is None else max(0, self.limit - self.value)

    def has_room_for(self, amount: int) -> bool:
        """Tell whether an amount fits under the limit."""
        return self.limit is None or amount <= self.limit - self.value

    @property
    def drift(self) -> int:
        """How far the immediate counter is ahead of the exact one; zero when all is settled."""
        return self.best_effort - self.eventual


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One counted thing in a counter.

    Attributes:
        id: UUIDv8, made with its page, or the caller's own id.
        name: Display name.
        amount: How much it counts, a positive whole number.
        created_at_ms: Milliseconds since the epoch.
        revision: The counter's revision by which it was reserved, or an earlier one, never a later one. A hybrid one
            has that of the sight by which it was let in.
        nonce: Tells it from another entry under the same caller's own id; None for an id of ours, which is used once.
        name_nonce: The nonce of the change that set the name; None before the first change.
    """

    id: str
    name: str
    amount: int = 1
    created_at_ms: int
    revision: int = 0
    nonce: str | None = None
    name_nonce: str | None = None

    def is_same(self, other: "Entry") -> bool:
        """Tell whether both are the same entry, perhaps renamed, and not two entries that had the same id."""
        return (self.id, self.nonce, self.created_at_ms) == (other.id, other.nonce, other.created_at_ms)

    @property
    def released(self) -> int:
        """The amount that its delete gives back."""
        return self.amount


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that are stored together, in one item.

    Attributes:
        entries: What is left of them, in order; none in an emptied page.
        nonce: Of the create that made it, when it is one under a caller's own id.
    """

    entries: tuple[Entry, ...]
    nonce: str | None = None


class Created(msgspec.Struct, frozen=True):
    """The outcome of a create.

    Attributes:
        entry: The durable entry.
        replayed: Whether it was there already, under the id that the caller chose.
    """

    entry: Entry
    replayed: bool


class Deletion(msgspec.Struct, frozen=True):
    """How far the deletion of all entries came in its time.

    Attributes:
        deleted: Number of entries that it deleted.
        more: Whether entries are left. Then the caller repeats the request.
    """

    deleted: int
    more: bool


class TermsChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a counter's terms, to be made if nobody else has changed them since.

    Attributes:
        limit: The new limit; None to leave it as it is.
        enforcement: The new enforcement; None to leave it as it is. Tightening touches the counter, so the counter is
            quiet only after every create that hybrid let in has ended.
        seen_version: The version of the terms that the change was decided on; the write is conditional on it.
        nonce: Tells this change from all others, so that a repeat finds out whether an earlier try made it.
        at_ms: The time of the change, milliseconds since the epoch.
    """

    limit: int | None = None
    enforcement: Enforcement | None = None
    seen_version: int
    nonce: str
    at_ms: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One flush: what a lane adds to ``best_effort`` in one write.

    Attributes:
        delta: What is added, negative to take away.
        admits: Whether it lets creates in. Then the write is conditional on the limit.
        limit: The limit that the lane admitted under; None for no limit.
        epoch: When given, the write is conditional on the counter's epoch being this one.
        enforcement: When given, the write is conditional on the counter's enforcement being this one.
        before_cut: The part of the delta that is of before the counter's cut, zero or negative. It needs the epoch.
        at_ms: The time of the change, milliseconds since the epoch.
    """

    delta: int
    admits: bool
    limit: int | None
    epoch: int | None
    enforcement: Enforcement | None = None
    before_cut: int = 0
    at_ms: int


class Healing(msgspec.Struct, frozen=True, kw_only=True):
    """One healing: what a recount found, to be written if nothing has changed since.

    Attributes:
        total: The ledger's total; the new ``best_effort``.
        revision: The counter's revision before the recount; the write is conditional on it.
        at_ms: The time of the healing, milliseconds since the epoch.
        tightened_version: When given, the counter was tightening and becomes strict; the write is conditional on this
            version of its terms.
    """

    total: int
    revision: int
    at_ms: int
    tightened_version: int | None = None


class CutHealing(msgspec.Struct, frozen=True, kw_only=True):
    """One healing of a counter in use: what a recount found of before the cut.

    Attributes:
        total: The total of the entries that were reserved up to the cut. What ``best_effort`` has of before the cut
            becomes that.
        amount: The amount of before the cut as it was seen; the write is conditional on it.
        epoch: The epoch that the cut began; the write is conditional on it.
        at_ms: The time of the healing, milliseconds since the epoch.
    """

    total: int
    amount: int
    epoch: int
    at_ms: int


class Changed(msgspec.Struct, frozen=True):
    """A flush or a healing was applied; the counter is as it was right after."""

    counter: Counter


class Refused(msgspec.Struct, frozen=True):
    """A flush or a healing was refused; the counter is as it was at that instant, None when it does not exist."""

    counter: Counter | None
