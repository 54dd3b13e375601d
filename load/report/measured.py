"""The figures that the report shows, and the files that keep them."""

from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from load.command import FiguresError
from load.compare.results import Comparison, Run
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


class Recording(Run, frozen=True, kw_only=True):
    """A burst, and where it took place.

    Attributes:
        burst: Both counters in the course of it.
    """

    burst: Burst


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


def read(folder: Path) -> Measured:
    """Return what the files say.

    Raises:
        FiguresError: A file is not there, or not what it should be.
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
        raise FiguresError(f"{path} is not there; {_COMMANDS[path.name]} makes it.") from error
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _useless(path, str(error)) from error


def _useless(path: Path, why: str) -> FiguresError:
    return FiguresError(f"{path} cannot be used ({why}); {_COMMANDS[path.name]} makes it anew.")
