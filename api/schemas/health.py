"""Health on the wire."""

from typing import Literal

from msgspec import Struct


class Alive(Struct, frozen=True):
    """The process runs and answers."""

    status: Literal["alive"] = "alive"


class Ready(Struct, frozen=True):
    """Requests can be served."""

    status: Literal["ready"] = "ready"
