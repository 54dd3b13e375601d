"""Reconciliations of counters on the wire."""

from typing import Annotated, Self, TypeAlias

from litestar.params import QueryParameter
from msgspec import Meta, Struct

from api.schemas.fields import AccountId, Timestamp, to_timestamp_or_none
from counters.damage import DamagedCounter
from counters.healing.healer import Diagnosis
from counters.model import Counter, Enforcement

DryRun: TypeAlias = Annotated[bool, QueryParameter(description="Only look; works also while the counter is in use.")]
Force: TypeAlias = Annotated[
    bool,
    QueryParameter(description="Recount `eventual` too, through the stream, which takes a moment longer."),
]


class CounterState(Struct, frozen=True, kw_only=True):
    """The two counts of a counter at one instant. What cannot be read of a damaged counter is null."""

    best_effort: Annotated[int, Meta(description="The immediate counter.", examples=[2])] | None
    eventual: Annotated[int, Meta(description="The exact counter, a moment late.", examples=[2])] | None
    drift: Annotated[int, Meta(description="`best_effort` less `eventual`.", examples=[0])] | None

    @classmethod
    def of(cls, counter: Counter | DamagedCounter) -> Self:
        """Return a counter of the core as it goes over the wire."""
        return cls(
            best_effort=counter.best_effort,
            eventual=counter.eventual,
            drift=None if isinstance(counter, DamagedCounter) else counter.drift,
        )


class Repair(Struct, frozen=True, kw_only=True):
    """What a repair sets, or would set, of a damaged counter."""

    best_effort: Annotated[int, Meta(description="The ledger's total.", examples=[2])]
    eventual: Annotated[int, Meta(description="The ledger's total.", examples=[2])]
    limit: Annotated[int, Meta(description="As it was; 0 when it was lost.", examples=[5000])] | None
    enforcement: Annotated[Enforcement, Meta(description="As it was; `strict` when it was lost.", examples=["strict"])]
    slots: Annotated[int, Meta(description="As it was; when it was lost, what the entries fit.", examples=[1])]

    @classmethod
    def of(cls, counter: Counter) -> Self:
        """Return a repaired counter of the core as it goes over the wire."""
        return cls(
            best_effort=counter.best_effort,
            eventual=counter.eventual,
            limit=counter.limit,
            enforcement=counter.enforcement,
            slots=counter.slots,
        )


class Reconciliation(Struct, frozen=True, kw_only=True):
    """What a recount found, and what became of the counter."""

    account_id: AccountId
    name: Annotated[str, Meta(description="The counter's name.", examples=["services"])]
    ledger: Annotated[int, Meta(description="The truth: what the recount found.", examples=[2])]
    damaged_services: Annotated[
        int, Meta(description="Services whose own item cannot be read. Each counts in `ledger`.", examples=[0])
    ]
    dry_run: Annotated[bool, Meta(description="Whether this was only a look.", examples=[False])]
    healed: Annotated[bool, Meta(description="Whether the counter was set to `ledger`.", examples=[True])]
    damaged: Annotated[list[str], Meta(description="Attributes of the counter that could not be read.", examples=[[]])]
    repair: Annotated[Repair | None, Meta(description="Of a damaged counter; null for any other.")]
    before: CounterState
    after: CounterState
    healed_at: Timestamp | None

    @classmethod
    def of(cls, diagnosis: Diagnosis, *, dry_run: bool) -> Self:
        """Return a diagnosis of the core as it goes over the wire."""
        before, after = diagnosis.before, diagnosis.after
        return cls(
            account_id=after.key.account_id,
            name=after.key.name,
            ledger=diagnosis.total,
            damaged_services=diagnosis.unreadable,
            dry_run=dry_run,
            healed=diagnosis.healed,
            damaged=list(before.unreadable) if isinstance(before, DamagedCounter) else [],
            repair=None if diagnosis.repair is None else Repair.of(diagnosis.repair),
            before=CounterState.of(before),
            after=CounterState.of(after),
            healed_at=None if isinstance(after, DamagedCounter) else to_timestamp_or_none(after.healed_at_ms),
        )
