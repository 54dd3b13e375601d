"""Reconciliations of counters on the wire."""

from typing import Annotated, Self, TypeAlias

from litestar.params import QueryParameter
from msgspec import Meta, Struct

from api.schemas.fields import AccountId, Timestamp, to_timestamp_or_none
from counters.healing import Diagnosis
from counters.model import Counter

DryRun: TypeAlias = Annotated[bool, QueryParameter(description="Only look; works also while the counter is in use.")]
Force: TypeAlias = Annotated[
    bool, QueryParameter(description="Set `eventual` too, although records of the stream may be on their way.")
]


class CounterState(Struct, frozen=True, kw_only=True):
    """The two counts of a counter at one instant."""

    best_effort: Annotated[int, Meta(description="The immediate counter.", examples=[2])]
    eventual: Annotated[int, Meta(description="The exact counter, a moment late.", examples=[2])]
    drift: Annotated[int, Meta(description="`best_effort` less `eventual`.", examples=[0])]

    @classmethod
    def of(cls, counter: Counter) -> Self:
        """Return a counter of the core as it goes over the wire."""
        return cls(best_effort=counter.best_effort, eventual=counter.eventual, drift=counter.drift)


class Reconciliation(Struct, frozen=True, kw_only=True):
    """What a recount found, and what became of the counter."""

    account_id: AccountId
    name: Annotated[str, Meta(description="The counter's name.", examples=["services"])]
    ledger: Annotated[int, Meta(description="The truth: what the recount found.", examples=[2])]
    dry_run: Annotated[bool, Meta(description="Whether this was only a look.", examples=[False])]
    healed: Annotated[bool, Meta(description="Whether the counter was set to `ledger`.", examples=[True])]
    before: CounterState
    after: CounterState
    healed_at: Timestamp | None

    @classmethod
    def of(cls, diagnosis: Diagnosis, *, dry_run: bool) -> Self:
        """Return a diagnosis of the core as it goes over the wire."""
        return cls(
            account_id=diagnosis.after.key.account_id,
            name=diagnosis.after.key.name,
            ledger=diagnosis.total,
            dry_run=dry_run,
            healed=diagnosis.healed,
            before=CounterState.of(diagnosis.before),
            after=CounterState.of(diagnosis.after),
            healed_at=to_timestamp_or_none(diagnosis.after.healed_at_ms),
        )
