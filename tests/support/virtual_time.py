"""Tests under virtual time: waiting costs nothing, and deadlines are exact."""

import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec

from stack.harness.virtual_time import run_in_virtual_time

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test on an event loop whose clock jumps to the next timer when nothing is ready."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_in_virtual_time(test(*args, **kwargs))

    return run
