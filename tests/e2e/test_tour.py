"""The tour with curl gives what its page says."""

import re
import shutil
import subprocess
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from stack.paths import ROOT
from stack.system import System

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_UNSETTLED = '"settled_at":null'
_WITHIN_S = 15


class TourStep(NamedTuple):
    """A command and what the page says that it prints."""

    command: str
    printed: str


def tour() -> list[TourStep]:
    """Return the steps of the tour."""
    page = (ROOT / "docs" / "operate" / "tour.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return [_step(text) for block in blocks for text in block.removeprefix("$ ").split("\n$ ")]


def _step(text: str) -> TourStep:
    lines = text.strip().splitlines()
    # A line that ends with a backslash goes on in the next one.
    last = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
    return TourStep("\n".join(lines[: last + 1]) + "\n", "\n".join(lines[last + 1 :]))


def run(script: str) -> str:
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603, S607  # the page's
    return answer.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_each_step_prints_what_the_page_says(stack: System) -> None:
    ids: dict[str, str] = {}
    variables = ""
    steps = tour()
    assert len(steps) >= 7
    for step in steps:
        command = step.command.replace("localhost:8000", urlsplit(stack.api_urls[0]).netloc)
        for documented, real in ids.items():
            command = command.replace(documented, real)
        if not command.startswith("curl"):
            variables += command
            continue
        deadline = time.monotonic() + _WITHIN_S
        printed = run(variables + command)
        # What has settled at once, and what not yet, is not ours to say.
        while _shape(printed) != _shape(step.printed) and _UNSETTLED not in step.printed:
            is_read = not {"-d", "-X"} & set(command.split())
            assert is_read and time.monotonic() < deadline, f"{command}\n{printed}\n{step.printed}"  # noqa: PT018  # either way
            time.sleep(0.2)
            printed = run(variables + command)
        ids |= dict(zip(_ID.findall(step.printed), _ID.findall(printed), strict=True))


def _shape(output: str) -> str:
    """Return an output without its ids and times, and of headers the first line."""
    text = output.strip()
    if text.startswith("HTTP/"):
        return text.splitlines()[0].strip()
    return _TIME.sub("TIME", _ID.sub("ID", text))
