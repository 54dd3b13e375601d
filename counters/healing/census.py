"""Censuses: recounts of ``eventual`` through the stream itself (``docs/design/engine.md``, section 7).

A recount that reads the ledger cannot set ``eventual``: of a record that comes later nobody could tell whether the
recount saw what it tells of. So each page is *asked*: a write that changes only a note in the page, whose record in the
stream tells what the page holds. The settler adds up these answers (``counters/settlement.py``), and what changes after
them. When all pages that were asked have answered, that sum is ``eventual``, whatever the stream lost before.
"""

import asyncio
from functools import partial
from random import Random
from typing import Final

import msgspec

from counters.errors import CounterBusyError
from counters.healing.recount import Recounter
from counters.healing.settings import HealingSettings
from counters.keys import page_id_of
from counters.model import Census, Changed, Counter, Enforcement
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock

_LINE_AHEAD: Final = 1_000_000
"""How far a census's line is ahead of the counter's revision: more flushes than there are until the counter is raised
past it, so that no page past the line is made before the census is known to the settler."""

_AT_ONCE: Final = 16
"""Pages asked at the same time."""

_PAUSE_S: Final = 0.05
"""Wait after each of these parts while the counter is in use. So a census takes at most a third of the 1,000 writes a
second that a slot of the ledger takes, and creates have the rest."""


class CensusTaker:
    """Takes censuses, in steps that any process can take; only the asking is one process's alone."""

    def __init__(  # noqa: PLR0913 - collaborators and settings, each under its name; a bundle would only hide them
        self,
        store: Store,
        recounter: Recounter,
        *,
        clock: Clock,
        random: Random,
        deadline_s: float,
        settings: HealingSettings,
    ) -> None:
        self._store = store
        self._recounter = recounter
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s
        self._settings = settings

    def is_due(self, counter: Counter) -> bool:
        """Tell whether a step of a census can be taken now, of one that is under way or one that is called for.

        One is called for when the two counts differ although the stream is surely through; or, of a counter in use,
        although ``best_effort`` was recounted. It is taken once a day, and oftener only when the counter was touched
        since the last one and is untouched by now.
        """
        census = counter.census
        if census is not None:
            is_waiting = census.seen_at_ms is not None and self._left_s(counter, census.seen_at_ms) > 0
            is_asked = census.asked_at_ms is not None and not census.is_answered
            return not is_waiting and (not is_asked or self._is_lost(census))
        if counter.drift == 0:
            return False
        last_at_ms = counter.last_census_at_ms or 0
        is_old = self._passed_s(last_at_ms) >= self._settings.recounted_s
        untouched_s = self._passed_s(counter.touched_at_ms)
        if untouched_s >= self._settings.settled_s:
            return is_old or counter.touched_at_ms > last_at_ms
        is_in_use = untouched_s < self._settings.heal_after_s
        return is_in_use and is_old and counter.healed_at_ms is not None

    async def advance(self, counter: Counter, *, is_quiet: bool) -> None:
        """Take the next step of a counter's census, and all further ones that need no wait; begin one if none is there.

        None of its writes but the questions is repeated. After an unknown outcome the next call finds out what there
        is. ``eventual`` is set by whoever notices the last answer, here or in the settler.

        Args:
            counter: The counter as it was just read.
            is_quiet: Whether nothing that was reserved up to its revision can become an entry any more.

        Raises:
            CounterBusyError: The next step comes later, or somebody else takes it.
            OverloadedError: The store did not answer in time.
            StoreError: A write failed, or may have been applied unanswered. Trying again is safe.
        """
        census = counter.census
        if census is not None and census.is_answered:
            await self._store.end_census(counter.key, census.line, self._clock())
            return
        if census is None or self._is_lost(census):
            # A census that was lost had raised the revision past its own line.
            line = counter.revision + _LINE_AHEAD
            census = await self._go_on(counter, census, Census(line=line))
            # What was reserved up to the revision is all there already, if it stays the revision until it is raised.
            revision = counter.revision if is_quiet and counter.enforcement is Enforcement.STRICT else None
            risen = await self._store.raise_revision(counter.key, line, revision)
            is_all_there = revision is not None and isinstance(risen, Changed)
        else:
            is_all_there = False
            if census.seen_at_ms is None:
                await self._store.raise_revision(counter.key, census.line, None)
        census = await self._wait(counter, census, is_all_there=is_all_there)
        asking = msgspec.structs.replace(census, asked_at_ms=self._clock())
        census = await self._go_on(counter, census, asking)
        pages = await self._ask(counter, census.line, pause_s=0.0 if is_quiet else _PAUSE_S)
        await self._go_on(counter, census, msgspec.structs.replace(census, pages=pages))
        # The last answer may have come before the number was known.
        await self._store.end_census(counter.key, census.line, self._clock())

    async def _wait(self, counter: Counter, census: Census, *, is_all_there: bool) -> Census:
        """Note that the counter is past the line; return when no page up to the line can come any more, or raise."""
        now = await repeat(lambda: self._store.read_counter(counter.key), self._deadline(), self._random)
        is_past = now is not None and now.revision > census.line
        if is_past and census.seen_at_ms is None:
            # The wait begins now: the request may have been under way for long.
            census = await self._go_on(counter, census, msgspec.structs.replace(census, seen_at_ms=self._clock()))
        if census.seen_at_ms is None or census.asked_at_ms is not None:
            raise CounterBusyError(self._settings.heal_after_s)
        left_s = self._left_s(counter, census.seen_at_ms)
        if left_s > 0 and not is_all_there:
            raise CounterBusyError(left_s)
        return census

    async def _go_on(self, counter: Counter, seen: Census | None, census: Census) -> Census:
        """Note how far a census has come; raises ``CounterBusyError`` when somebody else did meanwhile."""
        if not await self._store.change_census(counter.key, seen, census):
            raise CounterBusyError(self._settings.heal_after_s)
        return census

    async def _ask(self, counter: Counter, line: int, pause_s: float) -> int:
        """Ask all pages up to the line that hold anything; return how many there were.

        Args:
            counter: Whose pages.
            line: The census's line.
            pause_s: How long to wait after each part of them, in seconds.
        """
        asked = 0
        for slot in range(counter.slots):
            last = ""
            async for entries in self._recounter.read(counter.key, slot):
                pages = dict.fromkeys(page_id_of(entry.id) for entry in entries if entry.revision <= line)
                # A page may be read in two parts.
                pages.pop(last, None)
                last = page_id_of(entries[-1].id)
                for start in range(0, len(pages), _AT_ONCE):
                    part = [*pages][start : start + _AT_ONCE]
                    asked += sum(await asyncio.gather(*(self._ask_page(counter, page_id, line) for page_id in part)))
                    await asyncio.sleep(pause_s)
        return asked

    async def _ask_page(self, counter: Counter, page_id: str, line: int) -> bool:
        question = partial(self._store.ask_page, counter.ledger, page_id, line)
        return await repeat(question, self._deadline(), self._random)

    def _is_lost(self, census: Census) -> bool:
        """Tell whether a census will not end: who asked died, or an answer was lost."""
        asked_at_ms = census.asked_at_ms
        is_late = asked_at_ms is not None and self._passed_s(asked_at_ms) >= self._settings.settled_s
        return is_late and not census.is_answered

    def _left_s(self, counter: Counter, seen_at_ms: int) -> float:
        """Return how long it takes until no page up to the line can come any more, in seconds.

        Hybrid lanes make it twice as long: they admit by a sight that may be old.
        """
        wait_s = self._settings.heal_after_s * (1 if counter.enforcement is Enforcement.STRICT else 2)
        return wait_s - self._passed_s(seen_at_ms)

    def _passed_s(self, at_ms: int) -> float:
        return (self._clock() - at_ms) / 1000

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s
