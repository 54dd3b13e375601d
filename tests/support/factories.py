"""Makers of test data: each value is right unless the test says otherwise."""

import itertools

from counters.keys import SERVICES, CounterKey
from counters.model import Account, Change, Counter, Enforcement, Entry, Healing, TermsChange
from counters.settlement import PageChange

NOW_MS = 1_790_000_000_000

_numbers = itertools.count(1)


def counter_key() -> CounterKey:
    """Return the key of a counter that no other test uses."""
    return CounterKey(f"account-{next(_numbers)}", SERVICES)


def account(account_id: str | None = None, username: str = "ada") -> Account:
    """Return an account with a fresh id."""
    return Account(id=account_id or f"account-{next(_numbers)}", username=username, created_at_ms=NOW_MS)


def counter(key: CounterKey | None = None, *, limit: int | None = 10, best_effort: int = 0, slots: int = 1) -> Counter:
    """Return a counter; of an account that does not exist unless a key is given."""
    return Counter(key=key or counter_key(), limit=limit, best_effort=best_effort, slots=slots, touched_at_ms=NOW_MS)


def entry(entry_id: str | None = None, *, name: str = "billing", amount: int = 1, nonce: str | None = None) -> Entry:
    """Return an entry with a fresh id."""
    id_ = entry_id or f"entry-{next(_numbers)}"
    return Entry(id=id_, name=name, amount=amount, created_at_ms=NOW_MS, nonce=nonce)


def terms(
    limit: int | None = None,
    enforcement: Enforcement | None = None,
    *,
    seen_version: int = 0,
    nonce: str = "nonce",
) -> TermsChange:
    """Return a change of a counter's terms."""
    return TermsChange(
        limit=limit, enforcement=enforcement, seen_version=seen_version, nonce=nonce, at_ms=NOW_MS + 30_000
    )


def reserve(amount: int, *, limit: int | None, release: int = 0, epoch: int = 0) -> Change:
    """Return a flush that reserves and perhaps releases."""
    return Change(delta=amount - release, admits=True, limit=limit, epoch=epoch if release else None, at_ms=NOW_MS + 1)


def release(amount: int, *, epoch: int = 0) -> Change:
    """Return a flush that only releases."""
    return Change(delta=-amount, admits=False, limit=None, epoch=epoch, at_ms=NOW_MS + 1)


def healing(total: int, *, revision: int) -> Healing:
    """Return what a recount found."""
    return Healing(total=total, revision=revision, at_ms=NOW_MS + 60_000)


def page_change(key: CounterKey, sequence: int, delta: int) -> PageChange:
    """Return a record of a page that came with so much in it, or lost all of it, and that nobody asked."""
    return PageChange(key, sequence, before=max(0, -delta), after=max(0, delta))


def answer(key: CounterKey, sequence: int, held: int, *, line: int, revision: int = 0) -> PageChange:
    """Return a page's answer to a census: the record of the write that asked it."""
    return PageChange(key, sequence, held, held, revision, asked_before=0, asked_after=line)
