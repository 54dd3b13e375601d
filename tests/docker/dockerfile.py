"""As much of a Dockerfile as the tests ask about."""

import json
import shlex
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "docker"


class Instruction(NamedTuple):
    """One instruction.

    Attributes:
        name: Its keyword, such as ``COPY``.
        text: The rest, in one line.
    """

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the rest."""
        return shlex.split(self.text)

    @property
    def command(self) -> list[str]:
        """The program that it runs, which must be in the form that needs no shell."""
        command: list[str] = json.loads(self.text[self.text.index("[") :])
        return command


def read_stages(name: str) -> list[list[Instruction]]:
    """Return the stages of a Dockerfile, each from its ``FROM`` on."""
    lines = (DOCKER / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    instructions = [Instruction(*line.split(maxsplit=1)) for line in text.splitlines() if line]
    starts = [number for number, instruction in enumerate(instructions) if instruction.name == "FROM"]
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def read_variables(stage: list[Instruction]) -> dict[str, str]:
    """Return what the ``ENV`` instructions of a stage set."""
    words = [word for instruction in stage if instruction.name == "ENV" for word in instruction.words]
    return dict(word.split("=", 1) for word in words)


def sources(stages: list[list[Instruction]]) -> set[str]:
    """Return what is copied from the checkout."""
    copies = [one.words for stage in stages for one in stage if one.name == "COPY" and "--from" not in one.text]
    return {source for words in copies for source in words[:-1]}
