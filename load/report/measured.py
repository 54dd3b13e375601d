"""What the report shows, and the files that it is kept in."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from load.compare.results import Comparison
from load.model.questions import SAME_RATE, SATURATED, ModelReport
from load.model.scenario import ScenarioResult
from load.targets.settling import Burst

COMPARE_FILE: Final = "compare.json"
BURST_FILE: Final = "burst.json"
MODEL_FILE: Final = "model.json"

_COMMANDS: Final = {
    COMPARE_FILE: "./taskw load:compare",
    BURST_FILE: "./taskw load:report",
    MODEL_FILE: "./taskw load:model",
}

T = TypeVar("T")


class MeasuredError(Exception):
    """A file with figures is not there or cannot be used; the message says which command makes it."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A burst, and where it took place.

    Attributes:
        started_at: When it began, as ISO 8601 says.
        endpoint: What stood for DynamoDB.
        processors: Of the machine that ran all of it.
        python: The version of Python that did.
        burst: Both counters in the course of it.
    """

    started_at: str
    endpoint: str
    processors: int
    python: str
    burst: Burst

    @classmethod
    def of(cls, burst: Burst, started_at: datetime) -> "Recording":
        """Return the recording of a burst that took place here, on an emulator of its own."""
        return cls(
            started_at=started_at.astimezone(UTC).isoformat(timespec="seconds"),
            endpoint="MiniStack",
            processors=os.cpu_count() or 1,
            python=platform.python_version(),
            burst=burst,
        )


class Measured(NamedTuple):
    """All that the report shows.

    Attributes:
        comparison: Every strategy under the same work.
        recording: A burst of creates with strict.
        seed: The model's.
        saturated: The model's answer to callers who never pause.
        same_rate: The model's answer to one rate, however many processes.
    """

    comparison: Comparison
    recording: Recording
    seed: int
    saturated: tuple[ScenarioResult, ...]
    same_rate: tuple[ScenarioResult, ...]


def write(folder: Path, name: str, figures: msgspec.Struct) -> None:
    """Keep figures in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


def read(folder: Path) -> Measured:
    """Return what the files say.

    Raises:
        MeasuredError: A file is not there, or not what it should be.
    """
    comparison = _read(folder / COMPARE_FILE, Comparison)
    if not comparison.results or not all(result.rounds for result in comparison.results):
        raise _useless(folder / COMPARE_FILE, "a strategy has no rounds")
    recording = _read(folder / BURST_FILE, Recording)
    if not recording.burst.samples:
        raise _useless(folder / BURST_FILE, "it has no samples")
    path = folder / MODEL_FILE
    model = _read(path, ModelReport)
    tables = {table.title: table.results for table in model.tables}
    for title in (SATURATED, SAME_RATE):
        if not tables.get(title):
            raise _useless(path, f"it does not answer {title!r}")
    return Measured(comparison, recording, model.seed, tables[SATURATED], tables[SAME_RATE])


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise MeasuredError(f"{path} is not there; {_COMMANDS[path.name]} makes it.") from error
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _useless(path, str(error)) from error


def _useless(path: Path, why: str) -> MeasuredError:
    return MeasuredError(f"{path} cannot be used ({why}); {_COMMANDS[path.name]} makes it anew.")
