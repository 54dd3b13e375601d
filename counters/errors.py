"""Every error that the core raises.

```
CounterError
├── InvalidInputError        the caller's input; names the field
├── NotFoundError
│   ├── AccountNotFoundError
│   ├── CounterNotFoundError
│   └── EntryNotFoundError
├── LimitReachedError        the counter has no room
├── ChangeConflictError      somebody else changed the same thing at the same time
├── CounterBusyError         the next step of a healing comes later
├── CounterDamagedError      the counter is stored so that it cannot be read; it waits for a repair
├── OverloadedError          no answer within the deadline, or the queue is full: try again later
└── StoreError               never reaches a caller as such
    ├── NotAppliedError      proven: the store changed nothing (throttled, conflict, never sent, signature refused)
    ├── OutcomeUnknownError  the change may or may not have been applied (time-out, reset, 5xx)
    └── StoreRejectedError   the store will never accept this request (permissions, missing table, our bug)
```

The two retryable store errors are the whole of the one-sided rule's knowledge about failures: see
``docs/design/engine.md``, section 4.
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counters.damage import DamagedCounter


class CounterError(Exception):
    """Base of everything the core raises on purpose."""


class InvalidInputError(CounterError):
    """Input that can never be accepted.

    Attributes:
        field: Name of the offending field, as the caller knows it.
        reason: What is wrong and what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFoundError(CounterError):
    """Something that was named does not exist."""


class AccountNotFoundError(NotFoundError):
    """No such account."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"There is no account {account_id}.")
        self.account_id = account_id


class CounterNotFoundError(NotFoundError):
    """The account has no counter of this name."""

    def __init__(self, account_id: str, name: str) -> None:
        super().__init__(f"There is no counter {name} of account {account_id}.")


class EntryNotFoundError(NotFoundError):
    """No such entry in the counter's ledger."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"There is no entry {entry_id}.")
        self.entry_id = entry_id


class LimitReachedError(CounterError):
    """The counter has no room for what was asked.

    Attributes:
        limit: The counter's limit.
        value: What enforcement compared with the limit.
    """

    def __init__(self, limit: int, value: int) -> None:
        super().__init__(f"The limit of {limit} is reached: {value} in use.")
        self.limit = limit
        self.value = value


class ChangeConflictError(CounterError):
    """A change got no answer, and a newer one came: if it was made at all, it is not in force any more."""

    def __init__(self) -> None:
        super().__init__("Somebody else changed this at the same time. Read it, and change it again if need be.")


class CounterBusyError(CounterError):
    """The next step of a healing comes later: the counter is in use, was changed meanwhile, or its census waits.

    Attributes:
        retry_after_s: Seconds after which the healing goes on. One that needs quiet waits longer if it is used again.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "Healing takes several steps, and the next one comes later. Try again after the time in Retry-After."
        )
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class CounterDamagedError(CounterError):
    """The counter is stored so that it cannot be read: nothing goes on with it until it is reconciled.

    A write that came upon it may have been applied.

    Attributes:
        counter: What can be read of it.
    """

    def __init__(self, counter: "DamagedCounter", reason: str = "Reconcile it.") -> None:
        account_id, name = counter.key
        unreadable = ", ".join(counter.unreadable)
        super().__init__(
            f"The counter {name} of account {account_id} is damaged: {unreadable} cannot be read. {reason}"
        )
        self.counter = counter


class OverloadedError(CounterError):
    """The operation got no answer in time, or was not let in; nothing was promised to the caller.

    Attributes:
        retry_after_s: Seconds after which another try makes sense.
    """

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class StoreError(CounterError):
    """A call to the store failed.

    Attributes:
        throttled_by: Why the store throttled the call, in its own words, such as
            ``TableWriteKeyRangeThroughputExceeded``; empty when it did not, or gave no reason.
    """

    def __init__(self, reason: str = "", *, throttled_by: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.throttled_by = throttled_by


class NotAppliedError(StoreError):
    """The store proved that it changed nothing; repeating is always safe."""


class OutcomeUnknownError(StoreError):
    """The store may or may not have made the change; only what may happen twice may be repeated."""


class StoreRejectedError(StoreError):
    """The store will not accept this request however often it is sent; nothing was changed."""


class TableLayoutError(StoreRejectedError):
    """The table was made by another version of this service, whose items this one cannot read."""
