"""Sweeps: look at the counters of all accounts and heal those that drifted (``docs/design/engine.md``, section 7).

A refusal heals the counter that it meets; a sweep finds those that nobody asks for. It also ends the deletions of
accounts that stopped half way (section 4). It is bounded, so that it can run beside the load, and goes on where the one
before stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, TypeAlias

import msgspec

from counters.damage import DamagedCounter
from counters.errors import CounterBusyError, CounterError, NotFoundError
from counters.healing.healer import Diagnosis, Healer
from counters.model import Counter
from counters.reading import AccountReader
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.pages import Position, decode_cursor, encode_cursor

_LIST_NAME: Final = "sweep"
_PAGE: Final = 100
"""Accounts looked at with one list and one batch read; DynamoDB's limit for BatchGetItem."""

DeleteAccount: TypeAlias = Callable[[str], Awaitable[object]]
"""Goes on with the deletion of an account, given its id."""

logger = logging.getLogger(__name__)


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one sweep.

    Attributes:
        accounts_max: Most accounts looked at. Each costs about one read unit.
        heals_max: Most counters that it tries to heal. Each costs a recount: see ``docs/design/engine.md``, section 7.
        concurrency_max: Most counters that are recounted at the same time.
    """

    accounts_max: int = 100_000
    heals_max: int = 1_000
    concurrency_max: int = 4


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did.

    The totals are of what it found, before it healed anything; each counter's two counts are of one instant. Damaged
    counters are in none of them.

    Attributes:
        looked_at: Accounts whose counters it looked at.
        best_effort: Total of the immediate counts.
        eventual: Total of the exact counts.
        drift: Total of how far each counter's two counts were apart, whichever was ahead.
        drifted: Counters whose two counts differed. Those not counted below are in use, or were verified since.
        drifted_quiet: Those of them that nobody had used for a while, so that use does not explain it.
        healed: Counters that were recounted and set: drifted ones, and those that were not recounted for a day.
        damaged: Counters that could not be read. The log names each.
        repaired: Damaged counters that were recounted and set. Those that lost their limit or their enforcement are
            left to a person.
        busy: Counters that were used, or deleted, just when they were to be healed or repaired.
        failed: Counters that could not be healed or repaired for another reason, which the log has.
        next_cursor: Where the next sweep should go on; None when all accounts were looked at.
    """

    looked_at: int
    best_effort: int
    eventual: int
    drift: int
    drifted: int
    drifted_quiet: int
    healed: int
    damaged: int
    repaired: int
    busy: int
    failed: int
    next_cursor: str | None


class _Progress(msgspec.Struct):
    """A sweep under way."""

    after: str | None
    more: bool = True
    looked_at: int = 0
    best_effort: int = 0
    eventual: int = 0
    drift: int = 0
    drifted: int = 0
    drifted_quiet: int = 0
    damaged: int = 0
    outcomes: list[Diagnosis | BaseException] = []

    def add(self, counter: Counter, *, quiet: bool) -> None:
        self.best_effort += counter.best_effort
        self.eventual += counter.eventual
        self.drift += abs(counter.drift)
        self.drifted += counter.drift != 0
        self.drifted_quiet += counter.drift != 0 and quiet

    def report(self) -> SweepReport:
        errors = [outcome for outcome in self.outcomes if isinstance(outcome, BaseException)]
        repaired = sum(isinstance(outcome, Diagnosis) and outcome.repair is not None for outcome in self.outcomes)
        busy = sum(isinstance(error, CounterBusyError | NotFoundError) for error in errors)
        return SweepReport(
            looked_at=self.looked_at,
            best_effort=self.best_effort,
            eventual=self.eventual,
            drift=self.drift,
            drifted=self.drifted,
            drifted_quiet=self.drifted_quiet,
            healed=len(self.outcomes) - len(errors) - repaired,
            damaged=self.damaged,
            repaired=repaired,
            busy=busy,
            failed=len(errors) - busy,
            next_cursor=encode_cursor(Position(_LIST_NAME, 0, self.after)) if self.more and self.after else None,
        )


def read_cursor(cursor: str | None) -> str | None:
    """Return the account that a sweep goes on after; None is the first one's beginning.

    Args:
        cursor: The ``next_cursor`` of the sweep before; None to start with the first account.

    Raises:
        InvalidInputError: No sweep made that cursor.
    """
    return decode_cursor(cursor, _LIST_NAME).after if cursor else None


class Sweeper:
    """Walks the directory of accounts and heals the counters that need it."""

    def __init__(  # noqa: PLR0913 - collaborators and settings, each under its name; a bundle would only hide them
        self,
        store: Store,
        healer: Healer,
        delete_account: DeleteAccount,
        *,
        random: Random,
        deadline_s: float,
        settings: SweepSettings,
    ) -> None:
        self._store = store
        self._healer = healer
        self._delete_account = delete_account
        self._reader = AccountReader(store, random=random, deadline_s=deadline_s)
        self._random = random
        self._deadline_s = deadline_s
        self._settings = settings

    async def sweep(self, cursor: str | None = None) -> SweepReport:
        """Look at accounts in the directory's order, and heal until a bound is met or all were looked at.

        A counter that cannot be healed is reported, and stops no other. Deletions of accounts that stopped half way
        are ended; such accounts are in no figure of the report but ``looked_at``.

        Args:
            cursor: The ``next_cursor`` of the sweep before; None to start with the first account.

        Raises:
            InvalidInputError: No sweep made that cursor.
            OverloadedError: The accounts or their counters could not be read in time.
        """
        progress = _Progress(read_cursor(cursor))
        while progress.more and progress.looked_at < self._settings.accounts_max:
            if len(progress.outcomes) >= self._settings.heals_max:
                break
            await self._sweep_page(progress)
        return progress.report()

    async def _sweep_page(self, progress: _Progress) -> None:
        ids, progress.more = await self._list(progress)
        counters = await self._reader.read_counters(ids)
        sick: list[Counter | DamagedCounter] = []
        closed: list[str] = []
        for id_ in ids:
            if len(progress.outcomes) + len(sick) >= self._settings.heals_max:
                # The rest of the page is for the next sweep.
                progress.more = True
                break
            progress.after = id_
            progress.looked_at += 1
            counter = counters.get(id_)
            if isinstance(counter, DamagedCounter):
                progress.damaged += 1
                sick += [] if counter.needs_person else [counter]
                fields = {**counter.key._asdict(), "unreadable": counter.unreadable}
                logger.error("counter.damaged", extra={"fields": fields})
            elif counter is not None and counter.is_closed:
                closed += [id_] if self._healer.is_over(counter) else []
            elif counter is not None:
                progress.add(counter, quiet=self._healer.is_quiet(counter))
                sick += [counter] if self._healer.is_due(counter) else []
        progress.outcomes += await self._heal(sick)
        await self._end_deletions(closed)

    async def _list(self, progress: _Progress) -> tuple[list[str], bool]:
        limit = min(_PAGE, self._settings.accounts_max - progress.looked_at)
        return await repeat(lambda: self._store.list_account_ids(limit, progress.after), self._deadline(), self._random)

    async def _heal(self, sick: Sequence[Counter | DamagedCounter]) -> list[Diagnosis | BaseException]:
        gate = asyncio.Semaphore(self._settings.concurrency_max)

        async def heal(counter: Counter | DamagedCounter) -> Diagnosis:
            async with gate:
                if isinstance(counter, DamagedCounter):
                    return await self._healer.repair(counter)
                return await self._healer.reconcile(counter.key)

        outcomes = await asyncio.gather(*map(heal, sick), return_exceptions=True)
        for counter, outcome in zip(sick, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                fields = {**counter.key._asdict(), "reason": repr(outcome)}
                # One that is in use waits for a later sweep, which is no trouble.
                is_trouble = not isinstance(outcome, CounterBusyError | NotFoundError)
                level = logging.WARNING if is_trouble else logging.INFO
                logger.log(level, "counter.not_healed", extra={"fields": fields})
        return outcomes

    async def _end_deletions(self, account_ids: Sequence[str]) -> None:
        """Delete accounts that were closed long ago. What fails, or is too large, is for the next sweep."""
        for account_id in account_ids:
            try:
                await self._delete_account(account_id)
            except CounterError as error:
                fields = {"account_id": account_id, "reason": repr(error)}
                logger.warning("account.not_deleted", extra={"fields": fields})

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline_s
