"""Where the local stack keeps things in the checkout."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / ".cache"
LOGS: Final = CACHE / "logs"
"""Logs of what ``up`` runs: one file a process, and one for the Lambda."""

EMULATOR_PYTHON: Final = ROOT / ".venv-emulator" / "bin" / "python"
"""MiniStack has an environment of its own: its pins clash with those of aioboto3."""
