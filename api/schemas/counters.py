"""Counters on the wire."""

from typing import Annotated, Self

from msgspec import Meta, Struct

from api.schemas.accounts import EnforcementShown
from api.schemas.fields import AccountId, Damaged, NextCursor, Timestamp, to_timestamp_or_none
from counters.damage import DamagedCounter
from counters.model import Counter
from counters.values.pages import Page


class Count(Struct, frozen=True, kw_only=True):
    """A counter as it is at one instant. What cannot be read of a damaged counter is null."""

    account_id: AccountId
    name: Annotated[str, Meta(description="The counter's name.", examples=["services"])]
    value: Annotated[int, Meta(description="What enforcement compares with the limit.", examples=[2])] | None
    best_effort: Annotated[int, Meta(description="The immediate counter: right now.", examples=[2])] | None
    eventual: Annotated[int, Meta(description="The exact counter: right always, a moment late.", examples=[2])] | None
    limit: Annotated[int, Meta(description="Most that may be in use; null for no limit.", examples=[5000])] | None
    remaining: Annotated[int, Meta(description="Room under the limit; null for no limit.", examples=[4998])] | None
    drift: (
        Annotated[int, Meta(description="`best_effort` less `eventual`; 0 when all is settled.", examples=[0])] | None
    )
    enforcement: EnforcementShown | None
    settled_at: Timestamp | None
    healed_at: Timestamp | None
    damaged: Damaged

    @classmethod
    def of(cls, counter: Counter | DamagedCounter) -> Self:
        """Return a counter of the core as it goes over the wire."""
        if isinstance(counter, DamagedCounter):
            return cls._of_damaged(counter)
        return cls(
            account_id=counter.key.account_id,
            name=counter.key.name,
            value=counter.value,
            best_effort=counter.best_effort,
            eventual=counter.eventual,
            limit=counter.limit,
            remaining=counter.remaining,
            drift=counter.drift,
            enforcement=counter.enforcement,
            settled_at=to_timestamp_or_none(counter.settled_at_ms),
            healed_at=to_timestamp_or_none(counter.healed_at_ms),
            damaged=[],
        )

    @classmethod
    def _of_damaged(cls, counter: DamagedCounter) -> Self:
        return cls(
            account_id=counter.key.account_id,
            name=counter.key.name,
            value=None,
            best_effort=counter.best_effort,
            eventual=counter.eventual,
            limit=counter.limit,
            remaining=None,
            drift=None,
            enforcement=counter.enforcement,
            settled_at=None,
            healed_at=None,
            damaged=list(counter.unreadable),
        )


class CountPage(Struct, frozen=True):
    """Part of a list of counters."""

    items: list[Count]
    next_cursor: NextCursor

    @classmethod
    def of(cls, page: Page[Counter | DamagedCounter]) -> Self:
        """Return a page of the core as it goes over the wire."""
        return cls([Count.of(counter) for counter in page.items], page.next_cursor)
