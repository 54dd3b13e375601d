"""Healing: recount the ledger and set the counters to it, safely (``docs/design/engine.md``, section 7).

A recount is no snapshot: entries come and go while it reads. For a counter that nobody uses it is safe all the same,
because

- it starts only when the counter is *quiet*: untouched for longer than any operation lives, so that every reservation
  has become an entry or never will;
- it is written only if the counter's revision is the one from before the recount, so no reservation was made meanwhile;
- it starts a new epoch, and a release of what the recount counted is dropped if its entry was deleted under an earlier
  one. Such an entry's delete was either seen by the recount, or makes ``best_effort`` too high, which the next healing
  repairs.

A strict counter in use gets a *cut* instead, which divides what is reserved into two generations. Some time after the
cut, nothing that was reserved before it can still become an entry. So the entries of before the cut only get fewer
while they are counted. What was reserved before it and is no entry goes; what was reserved after it is not touched.

Comparing a count taken in passing with a mark before and after is the idea of DBLog's watermarks (Andreakis and
Papapanagiotou, 2020); convergence from any state is Dijkstra's self-stabilisation (CACM 17(11), 1974).
"""

import asyncio
import logging
from contextlib import suppress
from random import Random
from typing import Final

import msgspec

from counters.damage import DamagedCounter, missing_counter, repaired
from counters.errors import AccountNotFoundError, CounterBusyError, CounterDamagedError, CounterNotFoundError
from counters.healing.census import CensusTaker
from counters.healing.recount import Recount, Recounter
from counters.healing.settings import HealingSettings
from counters.keys import SERVICES, CounterKey
from counters.model import Change, Changed, Counter, Cut, CutHealing, Enforcement, Healing, Refused
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock, check_counter_name, check_id

_NO_SLOTS: Final = (
    "Nor can its slots be found, as some entries are where no number of slots puts them: set slots to what it was."
)

logger = logging.getLogger(__name__)


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The findings about one counter.

    Attributes:
        before: The counter before the recount.
        total: The ledger's total.
        unreadable: Entries of which something cannot be read; they are in the total.
        after: The counter as it is now; the same as ``before`` when nothing was healed.
        healed: Whether the counter was set to the total.
        repair: What a repair made of the damaged counter, or would make of it; None for one that is not damaged.
    """

    before: Counter | DamagedCounter
    total: int
    unreadable: int = 0
    after: Counter | DamagedCounter
    healed: bool
    repair: Counter | None = None


class Healer:
    """Recounts and heals counters."""

    def __init__(
        self, store: Store, *, clock: Clock, random: Random, deadline_s: float, settings: HealingSettings
    ) -> None:
        self._store = store
        self._recounter = Recounter(store, random=random, deadline_s=deadline_s)
        self._census = CensusTaker(
            store, self._recounter, clock=clock, random=random, deadline_s=deadline_s, settings=settings
        )
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._settings = settings

    @property
    def heal_after_s(self) -> float:
        """How long a counter has to be untouched before it can be healed as a whole, in seconds."""
        return self._settings.heal_after_s

    def is_over(self, counter: Counter) -> bool:
        """Tell whether a closed counter can get no more entries: every create from before its closing has ended.

        Hybrid lanes make it twice as long: they admit by a sight that may be old.
        """
        ends_s = self._settings.heal_after_s * (1 if counter.enforcement is Enforcement.STRICT else 2)
        return counter.closed_at_ms is not None and self._clock() - counter.closed_at_ms >= ends_s * 1000

    def is_quiet(self, counter: Counter) -> bool:
        """Tell whether a counter has been untouched for long enough."""
        return self.quiet_in_s(counter) <= 0

    def quiet_in_s(self, counter: Counter) -> float:
        """Return how long it takes until a counter is quiet if nobody touches it, in seconds; negative after that."""
        is_tightening = counter.enforcement is Enforcement.TIGHTENING
        quiet_s = self._settings.tightens_s if is_tightening else self._settings.heal_after_s
        return quiet_s - self._untouched_ms(counter) / 1000

    def needs_healing(self, counter: Counter) -> bool:
        """Tell whether a step of healing ``best_effort`` is safe now, and could change it.

        True for a tightening counter that is quiet. Also true when the two counters differ, and the counter is strict
        and in use; or it is quiet, and either ``best_effort`` or ``eventual`` has changed since the last healing, or
        that was before the stream was surely through. (A settlement after a healing may belong to a delete or a hybrid
        create that the recount missed.)
        """
        is_tightening = counter.enforcement is Enforcement.TIGHTENING
        if counter.drift == 0 and not is_tightening:
            return False
        if not self.is_quiet(counter):
            return self._is_touched_in_future(counter.touched_at_ms) or self._can_go_on(counter)
        return is_tightening or not self._is_verified(counter)

    def is_due(self, counter: Counter) -> bool:
        """Tell whether a sweep should reconcile a counter: it needs it, or changed and was not recounted for a day.

        Both counts may be wrong by the same amount, which only a recount finds.
        """
        if self.needs_healing(counter) or self._census.is_due(counter):
            return True
        is_as_made = not counter.revision and counter.settled_at_ms is None
        if is_as_made or self._clock() - (counter.healed_at_ms or 0) < self._settings.recounted_s * 1000:
            return False
        return not self._is_verified(counter) if self.is_quiet(counter) else self._can_go_on(counter)

    def _is_verified(self, counter: Counter) -> bool:
        """Tell whether nothing was changed since the last healing, as far as can be known by now."""
        healed_at_ms = counter.healed_at_ms or 0
        settled_at_ms = counter.touched_at_ms + self._settings.settled_s * 1000
        may_be_settled_since = (counter.settled_at_ms or -1) >= healed_at_ms or (
            healed_at_ms < settled_at_ms <= self._clock()
        )
        return counter.healed_revision == counter.revision and not may_be_settled_since

    def _can_go_on(self, counter: Counter) -> bool:
        """Tell whether the healing of a counter in use can begin, or has waited for long enough since its cut."""
        cut = counter.cut
        is_step_due = cut is None or cut.seen_at_ms is None or self._left_s(cut) <= 0
        return counter.enforcement is Enforcement.STRICT and is_step_due

    def _left_s(self, cut: Cut) -> float:
        """Return how long it takes until nothing of before a cut can become an entry, in seconds."""
        seen_at_ms = self._clock() if cut.seen_at_ms is None else cut.seen_at_ms
        return self._settings.heal_after_s - (self._clock() - seen_at_ms) / 1000

    async def diagnose(self, key: CounterKey) -> Diagnosis:
        """Recount a counter and change nothing. While the counter is in use, the total may mix several instants.

        Raises:
            InvalidInputError: An id or a name that cannot be part of a key.
            AccountNotFoundError: There is no such account.
            CounterNotFoundError: The account has no such counter.
            OverloadedError: The store did not answer in time.
        """
        try:
            counter = await self._read(key)
        except CounterDamagedError as error:
            recount, repair = await self._plan_repair(error.counter)
            return _looked(error.counter, recount, repair)
        return _looked(counter, await self._recounter.count(key, counter.slots))

    async def reconcile(self, key: CounterKey, *, recount_eventual: bool = False) -> Diagnosis:
        """Heal a counter, or repair it when it is damaged; and take a census of it when one is due.

        Raises what ``heal``, ``repair`` and ``CensusTaker.advance`` do.

        Args:
            key: The counter.
            recount_eventual: Take a census in any case.
        """
        try:
            return await self._reconcile(key, recount_eventual=recount_eventual)
        except CounterDamagedError as error:
            return await self.repair(error.counter)

    async def _reconcile(self, key: CounterKey, *, recount_eventual: bool) -> Diagnosis:
        before = await self._read(key)
        is_quiet = self.is_quiet(before)
        try:
            diagnosis = await self._heal(before)
        except CounterBusyError:
            # A counter that has to be healed in several steps goes through those of its census meanwhile.
            if recount_eventual or self._census.is_due(before):
                await self._census.advance(before, is_quiet=False)
            raise
        after = diagnosis.after
        if isinstance(after, Counter) and (recount_eventual or self._census.is_due(after)):
            try:
                await self._census.advance(after, is_quiet=is_quiet)
            except CounterBusyError:
                # The counter is healed. Only who asked for the census has to know that it goes on later.
                if recount_eventual:
                    raise
            return msgspec.structs.replace(diagnosis, after=await self._read(key))
        return diagnosis

    async def heal(self, key: CounterKey) -> Diagnosis:
        """Set ``best_effort`` to the ledger's total, which makes a tightening counter strict.

        Raises what ``diagnose`` does, and more. For a strict counter in use it takes two calls: the first one makes a
        cut, and one that comes late enough recounts what was there before the cut.

        Raises:
            CounterBusyError: The counter is in use, so that a recount proves nothing yet; try again later.
            CounterDamagedError: A part of the counter cannot be read. It needs a repair.
            StoreError: The one write failed, or may have been applied unanswered. Trying again is safe.
        """
        return await self._heal(await self._read(key))

    async def _heal(self, before: Counter) -> Diagnosis:
        key = before.key
        if self._is_touched_in_future(before.touched_at_ms):
            # No process did that, and it would never become quiet.
            await self._store.change_counter(
                key, Change(delta=0, admits=False, limit=None, epoch=None, at_ms=self._clock())
            )
            raise CounterBusyError(self._settings.heal_after_s)
        if not self.is_quiet(before):
            if before.enforcement is Enforcement.STRICT:
                return await self._heal_in_use(before)
            raise CounterBusyError(self.quiet_in_s(before))
        recount = await self._recounter.count(key, before.slots)
        healing = Healing(
            total=recount.total,
            revision=before.revision,
            at_ms=self._clock(),
            tightened_version=before.terms_version if before.enforcement is Enforcement.TIGHTENING else None,
        )
        # Not repeated: after an unknown outcome the revision proves nothing. The next healing starts afresh.
        after = self._applied(await self._store.heal_counter(key, healing)).with_exact_of(before)
        self._tell("counter.healed", before, recount)
        return _healed(before, recount, after)

    async def _heal_in_use(self, before: Counter) -> Diagnosis:
        """Take the next step towards healing a strict counter in use.

        None of its writes is repeated. After an unknown outcome the next healing finds out what there is.
        """
        key = before.key
        if before.cut is None:
            before = self._applied(await self._store.cut_counter(key, before.epoch))
        if before.cut is not None and before.cut.seen_at_ms is None:
            # The wait begins now: the request of the cut may have been under way for long.
            noted = await self._store.note_cut_seen(key, before.epoch, self._clock())
            before = self._applied(noted)
        cut = before.cut
        if cut is None or self._left_s(cut) > 0:
            raise CounterBusyError(self._settings.heal_after_s if cut is None else self._left_s(cut))
        recount = await self._recounter.count(key, before.slots, up_to=cut.revision)
        now = await self._read(key)
        if now.epoch != before.epoch or now.cut is None:
            raise CounterBusyError(self._settings.heal_after_s)
        if recount.total > now.cut.amount != cut.amount:
            # More was read than there is: some of it was deleted after it was read. The next recount may have less.
            raise CounterBusyError(self._settings.heal_after_s)
        healing = CutHealing(total=recount.total, amount=now.cut.amount, epoch=before.epoch, at_ms=self._clock())
        after = self._applied(await self._store.heal_cut(key, healing)).with_exact_of(now)
        # What came after the cut is not in the recount, and is counted as it stands.
        whole = msgspec.structs.replace(recount, total=recount.total + now.best_effort - now.cut.amount)
        self._tell("counter.healed", now, whole)
        return _healed(now, whole, after)

    def _applied(self, outcome: Changed | Refused) -> Counter:
        """Return the counter as a write left it; raises ``CounterBusyError`` when the write was refused."""
        if isinstance(outcome, Changed):
            return outcome.counter
        raise CounterBusyError(self._settings.heal_after_s)

    async def repair(self, damaged: DamagedCounter) -> Diagnosis:
        """Put a counter that can be read in the place of a damaged one.

        Both counts become the ledger's total, and a census begins, as ``eventual`` may not be that when all records of
        the stream have come. A limit that cannot be read becomes 0, so that nothing is let in until somebody sets it.
        Enforcement that cannot be read, or is tightening, becomes strict. Lost slots become the least number with which
        every entry is in its own slot.

        Raises:
            CounterBusyError: The counter is in use, or nobody can tell, or it was changed meanwhile; try again later.
            CounterDamagedError: The number of slots cannot be found.
            OverloadedError: The store did not answer in time.
            StoreError: The one write failed, or may have been applied unanswered. Trying again is safe.
        """
        touched_at_ms = damaged.touched_at_ms
        if touched_at_ms is None or self._is_touched_in_future(touched_at_ms):
            # It may be in use: its own time cannot be read. From now on its time is known.
            touched = msgspec.structs.replace(damaged.readable, touched_at_ms=self._clock())
            await self._store.touch_damaged_counter(damaged, touched.touched_at_ms)
            raise CounterBusyError(self._repairable_in_s(touched))
        if self._repairable_in_s(damaged.readable) > 0:
            raise CounterBusyError(self._repairable_in_s(damaged.readable))
        recount, after = await self._plan_repair(damaged)
        # Not repeated: after an unknown outcome the next look finds the counter repaired, or still damaged.
        if not await self._store.repair_counter(damaged, after):
            raise CounterBusyError(self._settings.heal_after_s)
        self._tell("counter.repaired", damaged, recount, unreadable=damaged.unreadable, limit=after.limit)
        # Records may be on their way that the recount has seen. A sweep goes on with what has to wait.
        with suppress(CounterBusyError):
            await self._census.advance(after, is_quiet=True)
        return _healed(damaged, recount, after, repair=after)

    def _repairable_in_s(self, counter: Counter) -> float:
        """Return how long it takes until a damaged counter is quiet, in seconds.

        One whose enforcement is lost may have been hybrid.
        """
        return max(self.quiet_in_s(counter), self._settings.heal_after_s - self._untouched_ms(counter) / 1000)

    async def _plan_repair(self, damaged: DamagedCounter) -> tuple[Recount, Counter]:
        recount = await self._recounter.count(damaged.key, damaged.slots)
        if recount.slots is None:
            raise CounterDamagedError(damaged, _NO_SLOTS)
        return recount, repaired(damaged, recount.total, recount.slots, self._clock())

    def _tell(self, event: str, before: Counter | DamagedCounter, recount: Recount, **more: object) -> None:
        fields = {
            **before.key._asdict(),
            "total": recount.total,
            "best_effort": before.best_effort,
            "eventual": before.eventual,
            "unreadable_entries": recount.unreadable,
            **more,
        }
        logger.info(event, extra={"fields": fields})

    def _untouched_ms(self, counter: Counter) -> int:
        return self._clock() - counter.touched_at_ms

    def _is_touched_in_future(self, touched_at_ms: int) -> bool:
        """Tell whether the time of the last touch is further ahead than clocks may differ. Then a person wrote it."""
        return touched_at_ms - self._clock() > self._settings.heal_after_s * 1000

    async def _read(self, key: CounterKey) -> Counter:
        check_id("account_id", key.account_id)
        check_counter_name("name", key.name)
        deadline = self._deadline()
        counter = await repeat(lambda: self._store.read_counter(key), deadline, self._random)
        if counter is not None and not counter.is_closed:
            return counter
        if counter is None:
            account = await repeat(lambda: self._store.read_account(key.account_id), deadline, self._random)
            if account is not None and key.name == SERVICES:
                raise CounterDamagedError(missing_counter(key))
            if account is not None:
                raise CounterNotFoundError(*key)
        raise AccountNotFoundError(key.account_id)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s


def _looked(counter: Counter | DamagedCounter, recount: Recount, repair: Counter | None = None) -> Diagnosis:
    return Diagnosis(
        before=counter,
        total=recount.total,
        unreadable=recount.unreadable,
        after=counter,
        healed=False,
        repair=repair,
    )


def _healed(
    before: Counter | DamagedCounter, recount: Recount, after: Counter, repair: Counter | None = None
) -> Diagnosis:
    return Diagnosis(
        before=before,
        total=recount.total,
        unreadable=recount.unreadable,
        after=after,
        healed=True,
        repair=repair,
    )
