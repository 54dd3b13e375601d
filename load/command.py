"""What the commands that measure have in common: progress, files of figures, and errors that are one line."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console

from stack.errors import StackError
from stack.harness.accounts import AccountsError

_stderr = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


class FiguresError(Exception):
    """Figures are not there or cannot be used; the message says what makes them."""


def progress(text: str) -> None:
    """Print one line of progress on stderr."""
    _stderr.print(text)


def write_figures(path: Path, figures: object) -> None:
    """Keep figures in a file, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


def command(name: str) -> Callable[[Callable[[], int]], Callable[[], int]]:
    """Make a function a command of this name: an error becomes one line on stderr and the exit status 1."""

    def decorate(work: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(work)
        def main() -> int:
            try:
                return work()
            except (AccountsError, FiguresError, StackError, OSError, TimeoutError, ValueError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                return 130

        return main

    return decorate
