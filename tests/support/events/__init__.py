"""Recorded stream payloads: as AWS sends them with a tumbling window, and as MiniStack sends them."""

import json
from pathlib import Path
from typing import Any

from counters.keys import CounterKey

KEY = CounterKey("01890a5d-ac96-774b-bcce-b302099a8057", "services")
"""The counter that every recorded event is about."""


def load(name: str) -> dict[str, Any]:
    """Return a recorded event; what is in it is for the code under test to find out."""
    event: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    return event
