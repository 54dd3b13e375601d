"""Which sight a plan trusts."""

import asyncio
from random import Random
from typing import Final

import msgspec

from counters.lanes.planner import Planner
from counters.lanes.queue import Batch
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.view import View
from counters.model import Counter
from counters.stores.memory import MemoryStore
from tests.support import factories

KEY: Final = factories.counter_key()

HEALED: Final = msgspec.structs.replace(
    factories.counter(KEY, limit=10, best_effort=10), epoch=5, revision=50, healed_epoch=5, healed_cut=40
)
"""A full counter, of which the last healing counted everything up to revision 40."""


def make_planner(seen: Counter, asked_at: float) -> Planner:
    view = View(KEY, MemoryStore(), Random(0), look_every_s=1.0)
    view.learn(seen, asked_at)
    return Planner(view, sight_lasts_s=1.0)


def make_ticket() -> Ticket:
    return Ticket(factories.entry(), has_own_id=False, deadline=asyncio.get_running_loop().time() + 5.0)


async def test_what_a_healing_has_counted_makes_no_room_in_a_sight_of_before_the_create() -> None:
    """The release is dropped, so such a sight would refuse the create: by an instant of before its arrival."""
    ticket = make_ticket()
    planner = make_planner(HEALED, ticket.arrived_at - 1.0)
    assert not planner.may_trust(HEALED, Batch([ticket], [Adjustment({30: -1}, 4)]))
    assert planner.may_trust(HEALED, Batch([ticket], [Adjustment({45: -1}, 4)]))
    assert planner.may_trust(HEALED, Batch([ticket], [Adjustment({30: -1}, 5)]))


async def test_what_a_hybrid_delete_made_ahead_makes_no_room_in_a_counter_that_became_strict() -> None:
    ticket = make_ticket()
    planner = make_planner(HEALED, ticket.arrived_at - 1.0)
    assert not planner.may_trust(HEALED, Batch([ticket], [Adjustment({30: -1}, None)]))


async def test_a_sight_that_is_looked_at_drops_nothing() -> None:
    """Only a plan does: the sight may be an older one than that which the plan is made by."""
    ticket, adjustment = make_ticket(), Adjustment({30: -1, 45: -1}, 4)
    make_planner(HEALED, ticket.arrived_at - 1.0).may_trust(HEALED, Batch([ticket], [adjustment]))
    assert adjustment.delta == -2
