"""The plots as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from load.report.sections import Section

_DOTS_PER_INCH: Final = 110


def write_images(folder: Path, parts: Sequence[Section]) -> None:
    """Write one image for each section, on white; within ``style``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        # No version of the library in it: the same figures make the same image.
        part.figure.savefig(
            folder / f"{part.name}.png", dpi=_DOTS_PER_INCH, facecolor="white", metadata={"Software": None}
        )
