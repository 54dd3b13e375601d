"""The table's layout: every key and every attribute name, and nowhere else.

API and Lambda both import this module, so it uses the standard library only. See ``docs/design/engine.md``, section 3.
"""

import re
import zlib
from typing import Final, NamedTuple

SERVICES: Final = "services"
"""Name of the counter that every account is born with."""

SLOTS_MAX: Final = 64
"""Most partitions that one counter's ledger may be spread over."""

PK: Final = "PK"
SK: Final = "SK"

ACCOUNT_SK: Final = "ACCOUNT"
COUNTER_SK: Final = "COUNTER"
LEASE_SK: Final = "LEASE"
DIRECTORY_PK: Final = "ACCOUNTS"
"""Partition that lists every account id, so that a list is a Query and never a Scan."""

ENTRIES_PREFIX: Final = "ENTRIES#"

# Attributes of an account (account_id also of a counter).
ACCOUNT_ID: Final = "account_id"
USERNAME: Final = "username"
USERNAME_NONCE: Final = "username_nonce"
CREATED_AT: Final = "created_at"
EXPIRES_AT: Final = "expires_at"
"""In what is left of a deleted account: when DynamoDB removes it, in seconds since the epoch."""

# Attributes of a counter (and name, as below).
BEST_EFFORT: Final = "best_effort"
EVENTUAL: Final = "eventual"
LIMIT: Final = "limit"
ENFORCEMENT: Final = "enforcement"
TERMS_VERSION: Final = "terms_version"
TERMS_NONCE: Final = "terms_nonce"
CLOSED_AT: Final = "closed_at"
SLOTS: Final = "slots"
EPOCH: Final = "epoch"
REVISION: Final = "revision"
TOUCHED_AT: Final = "touched_at"
SETTLED_AT: Final = "settled_at"
HEALED_AT: Final = "healed_at"
HEALED_REVISION: Final = "healed_revision"
COUNTED_FROM: Final = "counted_from"
MARKS: Final = "marks"
# One letter each: a counter holds about 8 marks at a time (a shard lives about 4 hours, a mark 30), and its item has
# to stay under 1 KB, the size of one write unit.
MARK_SEQUENCE: Final = "s"
MARK_AT: Final = "t"

COUNTER_ATTRIBUTES: Final = (
    BEST_EFFORT,
    EVENTUAL,
    LIMIT,
    ENFORCEMENT,
    SLOTS,
    EPOCH,
    REVISION,
    TOUCHED_AT,
    MARKS,
)
"""What every counter has from the start; one without is damaged."""

NO_LIMIT: Final = "none"
"""Stands in the place of a counter's limit when it has none. A limit that is missing was lost."""

# Attributes of an entry (created_at as above).
AMOUNT: Final = "amount"
NAME: Final = "name"
NONCE: Final = "nonce"
NAME_NONCE: Final = "name_nonce"

# Attributes of a turn.
HOLDER: Final = "holder"
HELD_UNTIL: Final = "held_until"

ID_PATTERN: Final = r"(?=[.]*[A-Za-z0-9_:-])[A-Za-z0-9._:-]{1,128}"
"""What an account's or an entry's id looks like: never a ``#``, so that no id can forge a key, and not only dots.

Clients remove ``/.`` and ``/..`` from a path before they send it (RFC 3986, section 5.2.4), so they could not reach
such an id.
"""

COUNTER_NAME_PATTERN: Final = r"[a-z][a-z0-9_-]{0,63}"

_ENTRIES_PK: Final = re.compile(
    rf"{ENTRIES_PREFIX}(?P<account>{ID_PATTERN})#(?P<name>{COUNTER_NAME_PATTERN})#(?P<slot>[0-9]{{1,2}})"
)


class CounterKey(NamedTuple):
    """Which counter: its account and its name."""

    account_id: str
    name: str


class PrimaryKey(NamedTuple):
    """The two key attributes of an item."""

    pk: str
    sk: str


def slot_of(entry_id: str, slots: int) -> int:
    """Return the ledger slot, 0 to ``slots - 1``, that holds an entry."""
    return zlib.crc32(entry_id.encode()) % slots


def account_key(account_id: str) -> PrimaryKey:
    """Return the key of an account's own item."""
    return PrimaryKey(f"ACCOUNT#{account_id}", ACCOUNT_SK)


def directory_key(account_id: str) -> PrimaryKey:
    """Return the key of an account's line in the directory of accounts."""
    return PrimaryKey(DIRECTORY_PK, account_id)


def counter_key(key: CounterKey) -> PrimaryKey:
    """Return the key of a counter's one item."""
    return PrimaryKey(f"COUNTER#{key.account_id}#{key.name}", COUNTER_SK)


def turn_key(name: str) -> PrimaryKey:
    """Return the key of the turn of one kind of work; ``LEASE`` in it is what tables have."""
    return PrimaryKey(f"LEASE#{name}", LEASE_SK)


def entries_pk(key: CounterKey, slot: int) -> str:
    """Return the partition key of one slot of a counter's ledger."""
    return f"{ENTRIES_PREFIX}{key.account_id}#{key.name}#{slot}"


def entry_key(key: CounterKey, slots: int, entry_id: str) -> PrimaryKey:
    """Return the key of an entry in a ledger of so many slots."""
    return PrimaryKey(entries_pk(key, slot_of(entry_id, slots)), entry_id)


def parse_entries_pk(pk: str) -> CounterKey | None:
    """Return the counter that a ledger partition belongs to; None when the key is not one that we build."""
    match = _ENTRIES_PK.fullmatch(pk)
    return CounterKey(match["account"], match["name"]) if match else None
