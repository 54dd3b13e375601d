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
        place: Module and qualified name of the function, where it is used from.
        changes: What in the source becomes what.
    """

    name: str
    place: str
    changes: tuple[tuple[str, str], ...]


MUTATIONS: Final = (
    Mutation(
        "release before delete",
        "counters.entries:Entries._delete_strict",
        (
            (
                "outcomes = await",
                """await lane.adjust({0: -sum(entry.amount for entry in entries)}, counter.epoch, deadline)
    outcomes = await""",
            ),
            ("if released:", "if False:"),
        ),
    ),
    Mutation(
        "release repeated after an unknown outcome",
        "counters.lanes.flush:Flusher._commit",
        (
            ("[one for one in batch.adjustments if one.epoch is None])", "batch.adjustments)"),
            ("self._planner.finish([one for one in batch.adjustments if one.epoch is not None])", "pass"),
        ),
    ),
    Mutation(
        "reserve of unknown outcome taken for granted",
        "counters.lanes.flush:Flusher._commit",
        (
            (
                "self._queue.put_back(Batch(batch.tickets, [one for one in batch.adjustments if one.epoch is None]))",
                "self._writes.start(counter, batch, is_reserved=True)",
            ),
        ),
    ),
    Mutation(
        "write before reserve",
        "counters.lanes.flush:Flusher._commit",
        (
            ("    outcome =", "    self._writes.start(counter, batch, is_reserved=True)\n    outcome ="),
            ("self._writes.start(changed, batch, is_reserved=True)", "pass"),
        ),
    ),
    Mutation(
        "store does not check the epoch of a release",
        "counters.stores.memory:MemoryStore.change_counter",
        (("counter.epoch != change.epoch", "False"),),
    ),
    Mutation(
        "lane releases what belongs to an earlier epoch",
        "counters.lanes.planner:Planner._drop_outdated",
        (("outdated = [one for one in adjustments if _is_outdated(counter, one)]", "outdated = []"),),
    ),
    Mutation(
        "settlement does not check the mark",
        "counters.stores.memory:MemoryStore.settle",
        (("mark.sequence >= settlement.first", "False"),),
    ),
    Mutation(
        "settlement checks the mark with the batch's end",
        "counters.stores.memory:MemoryStore.settle",
        (("mark.sequence >= settlement.first", "mark.sequence >= settlement.last"),),
    ),
    Mutation(
        "mark not moved when the delta is zero",
        "counters.stores.memory:MemoryStore.settle",
        (("marks[settlement.shard] = Mark", "marks[settlement.shard if settlement.delta else ''] = Mark"),),
    ),
    Mutation(
        "settler skips nothing that was counted",
        "counters.settlement:_CounterSettler.settle",
        (("mark is None or change.sequence > mark.sequence", "True"),),
    ),
    Mutation(
        "limit off by one in the store's condition",
        "counters.stores.memory:MemoryStore.change_counter",
        (("best_effort > change.limit)", "best_effort > change.limit + 1)"),),
    ),
    Mutation(
        "store does not check that the limit is the one known",
        "counters.stores.memory:MemoryStore.change_counter",
        (("counter.limit != change.limit or", ""),),
    ),
    Mutation(
        "heal without the revision check",
        "counters.stores.memory:MemoryStore.heal_counter",
        (("counter.revision != healing.revision", "False"),),
    ),
    Mutation(
        "heal without waiting for quiet",
        "counters.healing.healer:Healer.is_quiet",
        (("return ", "return True or "),),
    ),
    Mutation(
        "healing does not start an epoch",
        "counters.stores.memory:MemoryStore.heal_counter",
        ((" epoch=counter.epoch + 1,", ""),),
    ),
    Mutation(
        "reservation of a doubtful write given back",
        "counters.lanes.writer:EntryWriter._write_page",
        (
            (
                "await self._backlog.resolve(ledger, live)\n        return unused",
                """for ticket in live:
            ticket.expire()
        return _sum(tickets)""",
            ),
        ),
    ),
    Mutation(
        "page in doubt sent again under other ids",
        "counters.lanes.backlog:Backlog._call",
        (
            (
                "except NotAppliedError:",
                "except Exception:",
            ),
        ),
    ),
    Mutation(
        "reservation of a doubtful write in the backlog given back",
        "counters.lanes.backlog:Backlog._resolve",
        (("_resolve(is_written, result=True)", "_resolve(is_written, result=False)"),),
    ),
    Mutation(
        "page in doubt sent again with a part of its entries",
        "counters.lanes.backlog:Backlog.resolve",
        (("[ticket.entry for ticket in page]", "[page[0].entry]"),),
    ),
    Mutation(
        "lease used twice",
        "counters.lanes.lease:Lease.draw",
        (("self.size -= amount", "pass"),),
    ),
    Mutation(
        "lease given back and kept",
        "counters.lanes.lease:Lease.give_back",
        (("self._lot, self.size = None, 0", "pass"),),
    ),
    Mutation(
        "lease never given back",
        "counters.lanes.lease:Lease.give_back",
        (("lot.counter.epoch", "None"),),
    ),
    Mutation(
        "lease kept although nobody knows whether it was reserved",
        "counters.lanes.flush:Flusher._commit",
        (("self._lease.restrain()", "self._keep_ahead(counter, ahead, sent_at)"),),
    ),
    Mutation(
        "insert in doubt counts as not written",
        "counters.lanes.insert:Insert.send",
        (
            (
                "self._is_in_doubt = True",
                "pass",
            ),
        ),
    ),
    Mutation(
        "reservation of a replay kept",
        "counters.lanes.insert:Insert._is_answered",
        (
            (
                "self._ticket.replay(taken.entries[0])",
                "self._is_used = True\n        self._ticket.replay(taken.entries[0])",
            ),
        ),
    ),
    Mutation(
        "entry write started after the deadline",
        "counters.lanes.tickets:Ticket.expire_if_late",
        (("now >= self.deadline", "False"),),
    ),
    Mutation(
        "lane at the limit refuses from a look of any age",
        "counters.lanes.planner:Planner._saw_all",
        (("<= self._view.asked_at", "<= 1e18"),),
    ),
    Mutation(
        "answer of an entry that was deleted shared with a caller who came after that",
        "counters.lanes.insert:Insert._is_answered",
        (("self._ticket.asked_at = self._began_at", "pass"),),
    ),
    Mutation(
        "answer shared with a caller who came after the question",
        "counters.lanes.tickets:Ticket.found_since",
        (("self.asked_at < arrived_at", "False"),),
    ),
    Mutation(
        "create refused by what is only planned",
        "counters.lanes.planner:Planner.plan",
        (("deferred.append(ticket)", "refused.append(ticket)"),),
    ),
    Mutation(
        "emptied page replaced whatever it is by now",
        "counters.stores.memory:MemoryStore.insert_page",
        (
            (
                "(emptied is not None and emptied.nonce != self._nonces[key])",
                "False",
            ),
        ),
    ),
    Mutation(
        "page written again once its entries are gone",
        "counters.stores.memory:MemoryStore.insert_page",
        (
            (
                "is_there = key in self._nonces",
                "is_there = any(page_id_of(one) == page_id for one in slot)",
            ),
            (
                "(emptied is not None and emptied.nonce != self._nonces[key])",
                "False",
            ),
        ),
    ),
    Mutation(
        "what was never in flight taken from what is",
        "counters.lanes.planner:Planner.finish",
        (("adjustment.in_flight", "max(0, adjustment.delta)"),),
    ),
    Mutation(
        "release under the epoch of the release",
        "counters.entries:Entries._delete_strict",
        (
            (
                "await lane.adjust(released, counter.epoch, deadline)",
                "await lane.adjust(released, (await lane.look(deadline)).epoch, deadline)",
            ),
        ),
    ),
    Mutation(
        "unused reservation released under the latest epoch",
        "counters.lanes.writes:Writes._write",
        (
            (
                "    if adjustment is not None:\n",
                """    if adjustment is not None:
        now = await self._writer._store.read_counter(self._key)
        adjustment.epoch = adjustment.epoch if adjustment.delta > 0 else now and now.epoch
""",
            ),
        ),
    ),
    Mutation(
        "delete in doubt that finds nothing releases",
        "counters.entries:Entries._delete_page",
        (("[0 if in_doubt", "[entries[0].amount if in_doubt"),),
    ),
    Mutation(
        "lease used however old it is",
        "counters.lanes.lease:Lease.draw",
        ((" or asyncio.get_running_loop().time() >= self._lot.until", ""),),
    ),
    Mutation(
        "lease lasts from the answer of its flush",
        "counters.lanes.lease:Lease.grant",
        (("until = sent_at +", "until = asyncio.get_running_loop().time() +"),),
    ),
    Mutation(
        "lease lasts five times as long",
        "counters.lanes.lease:Lease.grant",
        (("until = sent_at +", "until = sent_at + 5 *"),),
    ),
    Mutation(
        "mark dropped after 100 s",
        "counters.settlement:_CounterSettler.settle",
        (("self._at_ms - MARK_LIFETIME_MS", "self._at_ms - 100_000"),),
    ),
    Mutation(
        "census known to the settler only when its pages are asked",
        "counters.settlement:PageChange.delta_of_census",
        (("if self.revision > line or self.asked_before >= line", "if self.asked_before >= line"),),
    ),
    Mutation(
        "census asks without a wait",
        "counters.healing.census:CensusTaker._wait",
        (("left_s > 0 and not is_all_there", "False"),),
    ),
    Mutation(
        "census waits from its first step on",
        "counters.healing.census:CensusTaker.advance",
        (("Census(line=line))", "Census(line=line, seen_at_ms=self._clock()))"),),
    ),
    Mutation(
        "census of a quiet counter whatever was reserved meanwhile",
        "counters.stores.memory:MemoryStore.raise_revision",
        (("or revision not in {None, counter.revision}", ""),),
    ),
    Mutation(
        "census asked by two processes",
        "counters.healing.census:CensusTaker._wait",
        ((" or census.asked_at_ms is not None", ""),),
    ),
    Mutation(
        "late begin of a census that was over long ago",
        "counters.stores.memory:MemoryStore.change_census",
        ((" or (counter.last_census or 0) >= census.line", ""),),
    ),
    Mutation(
        "line of a census no further than the revision",
        "counters.healing.census:CensusTaker.advance",
        ((" + _LINE_AHEAD", " + 1"),),
    ),
    Mutation(
        "answer counted by its change alone",
        "counters.settlement:PageChange.delta_of_census",
        (("return self.after", "return self.delta"),),
    ),
    Mutation(
        "page counted before its answer",
        "counters.settlement:PageChange.delta_of_census",
        (("if self.revision > line or self.asked_before >= line else 0", ""),),
    ),
    Mutation(
        "records of pages that were empty at the census are counted",
        "counters.settlement:PageChange.delta_after",
        (("return 0 if is_gone else self.delta", "return self.delta"),),
    ),
    Mutation(
        "census ends before all have answered",
        "counters.stores.memory:MemoryStore.end_census",
        (("not census.is_answered", "census.pages is None"),),
    ),
    Mutation(
        "settled by a census that is over",
        "counters.stores.memory:MemoryStore.settle",
        ((" or censuses != settlement.censuses", ""),),
    ),
    Mutation(
        "census that was lost is waited for",
        "counters.healing.census:CensusTaker._is_lost",
        (("return is_late and not census.is_answered", "return False"),),
    ),
    Mutation(
        "quiet of 11 s",
        "counters.healing.healer:Healer.quiet_in_s",
        (("else self._settings.heal_after_s", "else 11.0"),),
    ),
    Mutation(
        "insert that the deadline cut off counts as not written",
        "counters.lanes.insert:Insert.send",
        (
            (
                "except (OutcomeUnknownError, TimeoutError):",
                "except TimeoutError:\n        raise\n    except OutcomeUnknownError:",
            ),
        ),
    ),
    Mutation(
        "backlog writes what is out of time",
        "counters.lanes.backlog:Backlog._take",
        (("if ticket.expire_if_late(now):", "if False:"),),
    ),
    Mutation(
        "refused page answered as stored",
        "counters.lanes.backlog:Backlog._call",
        (
            (
                "self.observe(entries=len(page), is_taken=False)",
                "[ticket.store() for ticket in page]",
            ),
        ),
    ),
    Mutation(
        "hybrid admits from a look of any age",
        "counters.lanes.planner:Planner.may_trust",
        (("        return False\n", "        pass\n"),),
    ),
    Mutation(
        "limit set whatever its version",
        "counters.stores.memory:MemoryStore.set_terms",
        (("counter.terms_version != change.seen_version", "False"),),
    ),
    Mutation(
        "change in doubt made again on what is newer",
        "counters.accounts:compare_and_set",
        (("        if in_doubt:\n", "        if False:\n"),),
    ),
    Mutation(
        "own lane not told of a limit",
        "counters.accounts:Accounts._change_terms",
        (("self._lanes.learn(changed)", "pass"),),
    ),
    Mutation(
        "lease kept when the limit changes",
        "counters.lanes.lane:Lane.learn",
        (("self._lease.give_back()", "pass"),),
    ),
    Mutation(
        "entry renamed whatever its name is by now",
        "counters.stores.memory:MemoryStore.rename_entry",
        (("or entry.name_nonce != seen.name_nonce", ""),),
    ),
    Mutation(
        "account renamed whatever its name is by now",
        "counters.stores.memory:MemoryStore.rename_account",
        (("or account.username_nonce != seen.username_nonce", ""),),
    ),
    Mutation(
        "delete takes any entry of its id",
        "counters.stores.memory:MemoryStore.delete_entries",
        (("or not found.is_same(entry)", ""),),
    ),
    Mutation(
        "entry of another create taken for one's own",
        "counters.lanes.insert:Insert._is_answered",
        (
            (
                "taken.nonce == self._ticket.entry.nonce",
                "taken.entries and taken.entries[0].created_at_ms == self._ticket.entry.created_at_ms",
            ),
        ),
    ),
    Mutation(
        "closed counter keeps its limit",
        "counters.stores.memory:MemoryStore.close_counter",
        (("counter, limit=0,", "counter,"),),
    ),
    Mutation(
        "closed counter refuses by its limit",
        "counters.lanes.flush:Flusher._carry_out",
        (("if counter.is_closed:", "if False:"),),
    ),
    Mutation(
        "account gone while entries are under way",
        "counters.accounts:Accounts._delete_closed",
        (("(is_over or await self._empties(counter, deadline))", "True"),),
    ),
    Mutation(
        "deletion of a hybrid account ends when its counter is zero",
        "counters.accounts:Accounts._empties",
        (("counter.enforcement is not Enforcement.STRICT", "False"),),
    ),
    Mutation(
        "deletion over as soon as it begins",
        "counters.healing.healer:Healer.is_over",
        ((">= ends_s * 1000", ">= 0"),),
    ),
    Mutation(
        "reserved entry counted again in a counter that became hybrid",
        "counters.lanes.flush:Flusher._commit",
        (
            (
                "batch, is_reserved=True)",
                "batch, is_reserved=changed.enforcement is not Enforcement.HYBRID)",
            ),
        ),
    ),
    Mutation(
        "hybrid counter strict at once",
        "counters.accounts:_next_enforcement",
        (("return Enforcement.TIGHTENING if", "return Enforcement.STRICT if"),),
    ),
    Mutation(
        "deleted account may be made by a late try",
        "counters.stores.memory:MemoryStore.create_account",
        (("or account.id in self._deleted", ""),),
    ),
    Mutation(
        "recount of a counter in use without a wait after its cut",
        "counters.healing.healer:Healer._left_s",
        (("return self._settings.heal_after_s", "return 0"),),
    ),
    Mutation(
        "wait after a cut of 8 s",
        "counters.healing.healer:Healer._left_s",
        (("return self._settings.heal_after_s", "return 8.0"),),
    ),
    Mutation(
        "recount of a counter in use takes what came after the cut",
        "counters.healing.recount:_Found.add",
        (("entry.revision <= self._up_to", "True"),),
    ),
    Mutation(
        "recount of a counter in use leaves out the newest of before the cut",
        "counters.healing.recount:_Found.add",
        (("entry.revision <= self._up_to", "entry.revision < self._up_to"),),
    ),
    Mutation(
        "page of before a cut and of after it",
        "counters.lanes.backlog:fill_pages",
        ((" or ticket.epoch != page[0].epoch", ""),),
    ),
    Mutation(
        "release of before the cut leaves what is of before it",
        "counters.lanes.planner:Planner.change",
        (("if counter.cut is not None else 0", "if False else 0"),),
    ),
    Mutation(
        "release of after the cut taken from what is of before it",
        "counters.lanes.tickets:Adjustment.up_to",
        ((" if of_revision <= revision", ""),),
    ),
    Mutation(
        "cut begins no epoch",
        "counters.stores.memory:MemoryStore.cut_counter",
        (("epoch=counter.epoch + 1,", ""),),
    ),
    Mutation(
        "healing of a quiet counter leaves its cut",
        "counters.stores.memory:MemoryStore.heal_counter",
        (("cut=None,", ""),),
    ),
    Mutation(
        "healing of a counter in use does not tell what it has counted",
        "counters.stores.memory:MemoryStore.heal_cut",
        (("healed_epoch=counter.epoch + 1,", ""),),
    ),
    Mutation(
        "healing of a counter in use whatever was taken away meanwhile",
        "counters.stores.memory:MemoryStore.heal_cut",
        (("(counter.epoch, counter.cut.amount) != (healing.epoch, healing.amount)", "False"),),
    ),
    Mutation(
        "healing of a counter in use believes what was deleted while it read",
        "counters.healing.healer:Healer._heal_in_use",
        (("if recount.total > now.cut.amount != cut.amount:", "if False:"),),
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
    exec(compile(source, f"<{mutation.name}>", "exec"), original.__globals__, namespace)  # noqa: S102 - a mutant of our own
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
