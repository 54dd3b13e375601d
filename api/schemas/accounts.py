"""Accounts on the wire."""

from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas.fields import (
    READ_ONLY_FIELD,
    AccountId,
    Damaged,
    NextCursor,
    ServicesLimit,
    Timestamp,
    Username,
    to_timestamp,
)
from counters import keys
from counters.accounts import DEFAULT_LIMIT
from counters.damage import DamagedAccount, DamagedCounter
from counters.model import Enforcement
from counters.reading import AccountView
from counters.values.pages import Page

ServicesInUse: TypeAlias = Annotated[int, Meta(description="Services in use right now.", examples=[2])]
EnforcementShown: TypeAlias = Annotated[
    Enforcement,
    Meta(
        description="How the limit is kept. `tightening` is the way from `hybrid` to `strict`: nothing is let in until "
        "all that was let in before is counted.",
        examples=["strict"],
    ),
]
EnforcementChosen: TypeAlias = Annotated[
    Literal["strict", "hybrid"],
    Meta(
        description="How the limit is kept. `strict`: never over it. `hybrid`: creates do not wait for the counter and "
        "go on while it is throttled, so a burst may go over it.",
        examples=["strict"],
    ),
]
EnforcementWanted: TypeAlias = Annotated[
    Enforcement,
    Meta(
        description="How the limit is to be kept: `strict` or `hybrid`, or as it is now. `hybrid` holds at once. A "
        "`hybrid` account that is to be `strict` is `tightening` first: creates are answered 503 with `Retry-After` "
        "until nothing has touched the account for half a minute, and all that is there is counted.",
        examples=["strict"],
    ),
]


class AccountResponse(Struct, frozen=True, kw_only=True):
    """An account with the state of its ``services`` counter."""

    id: AccountId
    username: Username | None
    number_of_services: ServicesInUse | None
    max_number_of_services: ServicesLimit | None
    enforcement: EnforcementShown | None
    created_at: Timestamp | None
    damaged: Damaged

    @classmethod
    def of(cls, view: AccountView) -> Self:
        """Return an account of the core as it goes over the wire."""
        account, counter = view.account, view.counter
        damaged = list(account.unreadable) if isinstance(account, DamagedAccount) else []
        return cls(
            id=account.id,
            username=None if keys.USERNAME in damaged else account.username,
            number_of_services=None if isinstance(counter, DamagedCounter) else counter.value,
            max_number_of_services=counter.limit,
            enforcement=counter.enforcement,
            created_at=None if keys.CREATED_AT in damaged else to_timestamp(account.created_at_ms),
            damaged=[*damaged, counter.key.name] if isinstance(counter, DamagedCounter) else damaged,
        )


class AccountPage(Struct, frozen=True):
    """Part of the list of accounts."""

    items: list[AccountResponse]
    next_cursor: NextCursor

    @classmethod
    def of(cls, page: Page[AccountView]) -> Self:
        """Return a page of the core as it goes over the wire."""
        return cls([AccountResponse.of(view) for view in page.items], page.next_cursor)


class AccountCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account."""

    username: Username
    max_number_of_services: ServicesLimit = DEFAULT_LIMIT
    enforcement: EnforcementChosen = "strict"


class AccountUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of an account: at least one field; what is left out stays as it is.

    The answer to a GET can be sent back with changes: fields that are marked as read-only may be there, as they are.
    """

    READ_ONLY: ClassVar[tuple[str, ...]] = ("id", "number_of_services", "created_at", "damaged")

    username: Username | UnsetType = UNSET
    max_number_of_services: ServicesLimit | UnsetType = UNSET
    enforcement: EnforcementWanted | UnsetType = UNSET
    id: Annotated[AccountId, READ_ONLY_FIELD] | UnsetType = UNSET
    number_of_services: Annotated[ServicesInUse | None, READ_ONLY_FIELD] | UnsetType = UNSET
    created_at: Annotated[Timestamp | None, READ_ONLY_FIELD] | UnsetType = UNSET
    damaged: Annotated[Damaged, READ_ONLY_FIELD] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse an update of nothing; msgspec reports a ValueError as invalid input."""
        if all(getattr(self, name) is UNSET for name in self.__struct_fields__):
            raise ValueError("needs at least one field, such as username or max_number_of_services")
