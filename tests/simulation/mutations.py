"""Deliberate faults in the code under test: what the simulation has to catch, or else it proves nothing.

Each is a change of a few words of one function's source, compiled and put in its place in this process only. A change
that no longer fits the source is an error, so that the list cannot go stale.
"""

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from tests.simulation.options import draw_options
from tests.simulation.simulation import run


class Mutation(msgspec.Struct, frozen=True):
    """A fault.

    Attributes:
        name: What is wrong with it.
        place: Module and qualified name of the function.
        changes: What in the source becomes what.
    """

    name: str
    place: str
    changes: tuple[tuple[str, str], ...]


MUTATIONS: Final = (
    Mutation(
        "release before delete",
        "counters.entries:Entries.delete",
        (
            (
                """amount = await self._delete_entry(counter, entry, deadline)
        if amount:
            await lane.adjust(-amount, counter.epoch, deadline)""",
                """await lane.adjust(-1, counter.epoch, deadline)
        await self._delete_entry(counter, entry, deadline)""",
            ),
        ),
    ),
    Mutation(
        "release repeated after an unknown outcome",
        "counters.lane:Lane._commit",
        (
            ("[one for one in adjustments if one.epoch is None])", "adjustments)"),
            ("self._finish([one for one in adjustments if one.epoch is not None])", "pass"),
        ),
    ),
    Mutation(
        "reserve of unknown outcome taken for granted",
        "counters.lane:Lane._commit",
        (
            (
                "self._put_back(granted, [one for one in adjustments if one.epoch is None])",
                "self._start_write(counter, granted)",
            ),
        ),
    ),
    Mutation(
        "write before reserve",
        "counters.lane:Lane._commit",
        (
            ("    try:\n        outcome", "    self._start_write(counter, granted)\n    try:\n        outcome"),
            ("self._start_write(outcome.counter, granted)", "pass"),
        ),
    ),
    Mutation(
        "store does not check the epoch of a release",
        "counters.memory:MemoryStore.change_counter",
        (("counter.epoch != change.epoch", "False"),),
    ),
    Mutation(
        "lane releases what belongs to an earlier epoch",
        "counters.lane:Lane._drop_outdated",
        (
            ("self._finish([one for one in adjustments if one.epoch not in {None, counter.epoch}])", "pass"),
            ("return [one for one in adjustments if one.epoch in {None, counter.epoch}]", "return list(adjustments)"),
        ),
    ),
    Mutation(
        "settlement does not check the mark",
        "counters.memory:MemoryStore.settle",
        (("mark.sequence >= settlement.first", "False"),),
    ),
    Mutation(
        "settlement checks the mark with the batch's end",
        "counters.memory:MemoryStore.settle",
        (("mark.sequence >= settlement.first", "mark.sequence >= settlement.last"),),
    ),
    Mutation(
        "mark not moved when the delta is zero",
        "counters.memory:MemoryStore.settle",
        (("marks[settlement.shard] = Mark", "marks[settlement.shard if settlement.delta else ''] = Mark"),),
    ),
    Mutation(
        "settler skips nothing that was counted",
        "counters.settlement:_is_counted",
        (("return settled or recounted", "return False"),),
    ),
    Mutation(
        "limit off by one in the store's condition",
        "counters.memory:MemoryStore.change_counter",
        (("best_effort > change.limit)", "best_effort > change.limit + 1)"),),
    ),
    Mutation(
        "store does not check that the limit is the one known",
        "counters.memory:MemoryStore.change_counter",
        (("counter.limit != change.limit or", ""),),
    ),
    Mutation(
        "heal without the revision check",
        "counters.memory:MemoryStore.heal_counter",
        (("counter.revision != healing.revision", "False"),),
    ),
    Mutation(
        "heal without waiting for quiet",
        "counters.healing:Healer.is_quiet",
        (("return ", "return True or "),),
    ),
    Mutation(
        "healing does not start an epoch",
        "counters.memory:MemoryStore.heal_counter",
        (("epoch=counter.epoch + 1,", ""),),
    ),
    Mutation(
        "reset of eventual leaves the fence where it was",
        "counters.memory:MemoryStore.heal_counter",
        ((", counted_from_ms=healing.counted_from_ms)", ")"),),
    ),
    Mutation(
        "reservation of a doubtful write given back",
        "counters.writer:EntryWriter._write_batch",
        (
            (
                """await asyncio.gather(*(self._look_for(ticket) for ticket in live))
        return unused""",
                """for ticket in live:
            ticket.fail(OverloadedError("in doubt"))
        return _sum(tickets)""",
            ),
        ),
    ),
    Mutation(
        "write of unknown outcome sent again",
        "counters.backlog:Backlog._send",
        (("except NotAppliedError:", "except (NotAppliedError, OutcomeUnknownError):"),),
    ),
    Mutation(
        "reservation of a doubtful write in the backlog given back",
        "counters.writer:EntryWriter._write_later",
        (("return 0\n    except", "return ticket.entry.amount\n    except"),),
    ),
    Mutation(
        "stock used twice",
        "counters.stock:Stock.use",
        (("self.size -= amount", "pass"),),
    ),
    Mutation(
        "stock given back and kept",
        "counters.stock:Stock.empty",
        (("self._lot, self.size = None, 0", "pass"),),
    ),
    Mutation(
        "stock given back whatever was healed since",
        "counters.stock:Stock.empty",
        (("counter.epoch", "None"),),
    ),
    Mutation(
        "stock kept although nobody knows whether it was reserved",
        "counters.lane:Lane._commit",
        (("self._stock.restrain()", "self._keep(counter, ahead)"),),
    ),
    Mutation(
        "insert of unknown outcome sent again",
        "counters.writer:EntryWriter._insert",
        (("await self._look_for(ticket)\n            return 0", "pass"),),
    ),
    Mutation(
        "reservation of a replay kept",
        "counters.writer:EntryWriter._insert",
        (
            (
                """ticket.replay(taken_by)
            return ticket.entry.amount""",
                """ticket.replay(taken_by)
            return 0""",
            ),
        ),
    ),
    Mutation(
        "entry write started after the deadline",
        "counters.tickets:Ticket.may_be_written",
        (("self.is_live(now)", "True"),),
    ),
    Mutation(
        "lane at the limit refuses from a look of any age",
        "counters.lane:Lane._may_trust",
        (("< self._settings.full_for_s", "< 1e9"),),
    ),
    Mutation(
        "replay answered although its own insert may still come",
        "counters.writer:EntryWriter._look_for",
        (("                break\n", "                return ticket.replay(found)\n"),),
    ),
    Mutation(
        "what was never in flight taken from what is",
        "counters.lane:Lane._finish",
        (("adjustment.in_flight", "max(0, adjustment.delta)"),),
    ),
)


@contextmanager
def applied(mutation: Mutation) -> Iterator[None]:
    """Have a fault in this process for a while.

    Raises:
        ValueError: The fault does not fit the source any more.
    """
    module_name, _, path = mutation.place.partition(":")
    module = importlib.import_module(module_name)
    owner: Any = module
    *owners, name = path.split(".")
    for part in owners:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(original))
    for old, new in mutation.changes:
        if source.count(old) != 1:
            raise ValueError(f"{mutation.name}: {mutation.place} has {source.count(old)} times {old!r}")
        source = source.replace(old, new)
    namespace: dict[str, Any] = {}
    exec(compile(source, f"<{mutation.name}>", "exec"), vars(module), namespace)  # noqa: S102 - a mutant of our own
    setattr(owner, name, namespace[name])
    try:
        yield
    finally:
        setattr(owner, name, original)


def seeds_to_catch(mutation: Mutation, seeds_max: int) -> tuple[int, str] | None:
    """Return how many seeds it took to catch a fault, and the broken promise; None if they were not enough."""
    with applied(mutation):
        for seed in range(seeds_max):
            rule = run(draw_options(seed)).rule
            if rule is not None:
                return seed + 1, rule
    return None
