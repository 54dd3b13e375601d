"""Deletions of many things on the wire."""

from typing import Annotated, Literal, Self

from msgspec import Meta, Struct

from counters.model import Deletion


class DeletionPart(Struct, frozen=True):
    """A part is deleted; the request is to be repeated until it answers 204."""

    deleted: Annotated[int, Meta(ge=0, description="Services that this request deleted.", examples=[2500])]
    more: Annotated[Literal[True], Meta(description="There is more: repeat the request.", examples=[True])] = True

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """Return an unfinished deletion of the core as it goes over the wire."""
        return cls(deletion.deleted)
