"""Tests under virtual time: waiting costs nothing, and deadlines are exact."""

import functools
import warnings
from collections.abc import Callable, Coroutine
from typing import ParamSpec

import async_solipsism

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test on an event loop whose clock jumps to the next timer when nothing is ready."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = async_solipsism.EventLoop()
        with warnings.catch_warnings():
            # A timer less than the clock's microsecond away is due at once; nothing is wrong with it.
            warnings.simplefilter("ignore", async_solipsism.ResolutionWarning)
            try:
                loop.run_until_complete(test(*args, **kwargs))
            finally:
                loop.close()

    return run
