"""Healing: recount the ledger and set the counters to it, safely (``docs/design/engine.md``, section 7).

A recount is no snapshot: entries come and go while it reads. It is safe all the same, because

- it starts only when the counter is *quiet*: untouched for longer than any operation lives, so that every reservation
  has become an entry or never will;
- it is written only if the counter's revision is the one from before the recount, so no reservation was made meanwhile;
- it starts a new epoch, and a release is dropped unless its entry was deleted under the current one. Such an entry's
  delete was either seen by the recount, or makes ``best_effort`` too high, which the next healing repairs.

Comparing a count taken in passing with a mark before and after is the idea of DBLog's watermarks (Andreakis and
Papapanagiotou, 2020); convergence from any state is Dijkstra's self-stabilisation (CACM 17(11), 1974).
"""

import asyncio
import logging
from random import Random
from typing import Final

import msgspec

from counters.damage import DamagedCounter, missing_counter, repaired
from counters.errors import AccountNotFoundError, CounterBusyError, CounterDamagedError, CounterNotFoundError
from counters.healing.recount import Recount, Recounter
from counters.keys import SERVICES, CounterKey
from counters.model import Change, Changed, Counter, Enforcement, Healing
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock, check_counter_name, check_id

_NO_SLOTS: Final = (
    "Nor can its slots be found, as some entries are where no number of slots puts them: set slots to what it was."
)

logger = logging.getLogger(__name__)


class HealingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When healing is safe.

    Attributes:
        quiet_s: A counter untouched for so long has no reservation in flight, in seconds: more than the longest
            deadline of an operation in any process, the time a request may be under way and the difference of the
            processes' clocks together. So it is no matter of one process, and nothing that an operator may choose.
        settled_s: After so long untouched the stream's records have surely been settled, unless some were lost, so
            ``eventual`` may be set too, in seconds.
    """

    quiet_s: float = 15.0
    settled_s: float = 900.0


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a counter found.

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
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._settings = settings

    @property
    def quiet_s(self) -> float:
        """How long a counter has to be untouched before it can be healed, in seconds."""
        return self._settings.quiet_s

    def is_over(self, counter: Counter) -> bool:
        """Tell whether a counter was closed so long ago that no entry that was let in before can still be written."""
        closed_at_ms = counter.closed_at_ms
        return closed_at_ms is not None and self._clock() - closed_at_ms >= self._ends_s(counter) * 1000

    def is_quiet(self, counter: Counter) -> bool:
        """Tell whether a counter has been untouched for long enough."""
        return self.quiet_in_s(counter) <= 0

    def quiet_in_s(self, counter: Counter) -> float:
        """Return how long it takes until a counter is quiet if nobody touches it, in seconds; negative after that."""
        is_tightening = counter.enforcement is Enforcement.TIGHTENING
        quiet_s = self._ends_s(counter) if is_tightening else self._settings.quiet_s
        return quiet_s - self._untouched_ms(counter) / 1000

    def _ends_s(self, counter: Counter) -> float:
        """Return how long after a change of its terms the last entry that was let in before may come, in seconds.

        Twice as long where hybrid lanes may have been at work: they may let creates in by a look that is as old as
        half of the quiet.
        """
        return self._settings.quiet_s * (1 if counter.enforcement is Enforcement.STRICT else 2)

    def needs_healing(self, counter: Counter) -> bool:
        """Tell whether healing a counter now is safe and could change it.

        It is tightening; or the two counters differ, and either ``best_effort`` was not verified since it or
        ``eventual`` last changed, or ``eventual`` can be set as well. A settlement after a healing may be of a delete
        that the recount missed.
        """
        is_tightening = counter.enforcement is Enforcement.TIGHTENING
        if counter.drift == 0 and not is_tightening:
            return False
        if not self.is_quiet(counter):
            return self._is_touched_in_future(counter.touched_at_ms)
        if is_tightening:
            return True
        settled_since = (counter.settled_at_ms or -1) >= (counter.healed_at_ms or 0)
        verified = counter.healed_revision == counter.revision and not settled_since
        return not verified or self._is_settled(counter)

    async def diagnose(self, key: CounterKey) -> Diagnosis:
        """Recount a counter and change nothing; while it is in use, the total may be of no one instant.

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

    async def reconcile(self, key: CounterKey, *, reset_eventual: bool = False) -> Diagnosis:
        """Heal a counter, or repair it when it is damaged; see ``heal`` and ``repair``."""
        try:
            return await self.heal(key, reset_eventual=reset_eventual)
        except CounterDamagedError as error:
            return await self.repair(error.counter)

    async def heal(self, key: CounterKey, *, reset_eventual: bool = False) -> Diagnosis:
        """Set ``best_effort`` to the ledger's total, which makes a tightening counter strict.

        Raises what ``diagnose`` does, and more.

        ``eventual`` is set too when the counter has been untouched for long, or when asked for. Stream records that
        the recount has seen are then not settled any more, so that being early counts nothing twice.

        Args:
            key: The counter.
            reset_eventual: Set ``eventual`` although records may still be on their way.

        Raises:
            CounterBusyError: The counter is in use, so that a recount proves nothing; try again later.
            CounterDamagedError: Something of the counter cannot be read, so that it needs a repair.
            StoreError: The one write failed, and nobody may know whether it was applied; trying again is safe.
        """
        before = await self._read(key)
        if self._is_touched_in_future(before.touched_at_ms):
            # No process did that, and it would never become quiet.
            await self._store.change_counter(
                key, Change(delta=0, admits=False, limit=None, epoch=None, at_ms=self._clock())
            )
            raise CounterBusyError(self._settings.quiet_s)
        if not self.is_quiet(before):
            raise CounterBusyError(self.quiet_in_s(before))
        counted_from_ms = self._counted_from_ms() if reset_eventual or self._is_settled(before) else None
        recount = await self._recounter.count(key, before.slots)
        healing = Healing(
            total=recount.total,
            revision=before.revision,
            at_ms=self._clock(),
            counted_from_ms=counted_from_ms,
            settled_at_ms=before.settled_at_ms,
            tightened_version=before.terms_version if before.enforcement is Enforcement.TIGHTENING else None,
        )
        # Not repeated: after an unknown outcome the revision tells nothing, and the next look starts afresh.
        outcome = await self._store.heal_counter(key, healing)
        if not isinstance(outcome, Changed):
            raise CounterBusyError(self._settings.quiet_s)
        self._tell("counter.healed", before, recount)
        return _healed(before, recount, outcome.counter)

    async def repair(self, damaged: DamagedCounter) -> Diagnosis:
        """Put a counter that can be read in the place of a damaged one.

        Both counts become the ledger's total, as by a healing that resets ``eventual``. A limit that cannot be read
        becomes 0, so that nothing is let in until somebody sets it. Enforcement that cannot be read, or is tightening,
        becomes strict. Lost slots become the least number with which every entry is in its own slot.

        Raises:
            CounterBusyError: The counter is in use, or nobody can tell, or it was changed meanwhile; try again later.
            CounterDamagedError: The number of slots cannot be found.
            OverloadedError: The store did not answer in time.
            StoreError: The one write failed, and nobody may know whether it was applied; trying again is safe.
        """
        touched_at_ms = damaged.touched_at_ms
        if touched_at_ms is None or self._is_touched_in_future(touched_at_ms):
            # It may be in use, for all that can be read. From now on it will tell when it is quiet.
            touched = msgspec.structs.replace(damaged.readable, touched_at_ms=self._clock())
            await self._store.touch_damaged_counter(damaged, touched.touched_at_ms)
            raise CounterBusyError(self.quiet_in_s(touched))
        if not self.is_quiet(damaged.readable):
            raise CounterBusyError(self.quiet_in_s(damaged.readable))
        recount, after = await self._plan_repair(damaged)
        # Not repeated: after an unknown outcome the next look finds the counter repaired, or still damaged.
        if not await self._store.repair_counter(damaged, after):
            raise CounterBusyError(self._settings.quiet_s)
        self._tell("counter.repaired", damaged, recount, unreadable=damaged.unreadable, limit=after.limit)
        return _healed(damaged, recount, after, repair=after)

    async def _plan_repair(self, damaged: DamagedCounter) -> tuple[Recount, Counter]:
        counted_from_ms = self._counted_from_ms()
        recount = await self._recounter.count(damaged.key, damaged.slots)
        if recount.slots is None:
            raise CounterDamagedError(damaged, _NO_SLOTS)
        return recount, repaired(damaged, recount.total, recount.slots, counted_from_ms, self._clock())

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
        """Tell whether a counter was touched further ahead than clocks may differ: then a hand wrote the time."""
        return touched_at_ms - self._clock() > self._settings.quiet_s * 1000

    def _is_settled(self, counter: Counter) -> bool:
        return self._untouched_ms(counter) >= self._settings.settled_s * 1000

    def _counted_from_ms(self) -> int:
        """Return a time in the quiet before the recount: what is older was seen by it, what is newer was not."""
        # The stream tells times to the second and by another clock, so the fence stands in the middle of the quiet.
        return self._clock() - int(self._settings.quiet_s * 500)

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
