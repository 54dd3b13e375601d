"""Services, the entries of the counter ``services``, on the wire."""

from typing import Annotated, ClassVar, Self

from msgspec import UNSET, Struct, UnsetType

from api.schemas.fields import (
    READ_ONLY_FIELD,
    AccountId,
    Damaged,
    NextCursor,
    OwnServiceId,
    ServiceId,
    ServiceName,
    Timestamp,
    to_timestamp,
)
from counters import keys
from counters.damage import DamagedEntry
from counters.model import Entry
from counters.values.pages import Page


class ServiceResponse(Struct, frozen=True, kw_only=True):
    """A service of an account."""

    id: ServiceId
    account_id: AccountId
    name: ServiceName | None
    created_at: Timestamp | None
    damaged: Damaged

    @classmethod
    def of(cls, account_id: str, entry: Entry) -> Self:
        """Return an entry of the account's counter as it goes over the wire."""
        if not isinstance(entry, DamagedEntry):
            created_at = to_timestamp(entry.created_at_ms)
            return cls(id=entry.id, account_id=account_id, name=entry.name, created_at=created_at, damaged=[])
        damaged = list(entry.unreadable)
        return cls(
            id=entry.id,
            account_id=account_id,
            name=None if keys.NAME in damaged else entry.name,
            created_at=None if keys.CREATED_AT in damaged else to_timestamp(entry.created_at_ms),
            damaged=damaged,
        )


class ServicePage(Struct, frozen=True):
    """Part of the list of an account's services."""

    items: list[ServiceResponse]
    next_cursor: NextCursor

    @classmethod
    def of(cls, account_id: str, page: Page[Entry]) -> Self:
        """Return a page of the account's entries as it goes over the wire."""
        return cls([ServiceResponse.of(account_id, entry) for entry in page.items], page.next_cursor)


class ServiceCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new service."""

    account_id: AccountId
    name: ServiceName
    id: OwnServiceId | UnsetType = UNSET


class ServiceUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a service.

    The answer to a GET can be sent back with changes: fields that are marked as read-only may be there, as they are.
    """

    READ_ONLY: ClassVar[tuple[str, ...]] = ("id", "account_id", "created_at", "damaged")

    name: ServiceName
    id: Annotated[ServiceId, READ_ONLY_FIELD] | UnsetType = UNSET
    account_id: Annotated[AccountId, READ_ONLY_FIELD] | UnsetType = UNSET
    created_at: Annotated[Timestamp | None, READ_ONLY_FIELD] | UnsetType = UNSET
    damaged: Annotated[Damaged, READ_ONLY_FIELD] | UnsetType = UNSET
