"""Virtual time: waiting costs nothing, and the clock jumps to the next timer when nothing is ready."""

import warnings
from collections.abc import Coroutine
from typing import TypeVar

import async_solipsism

T = TypeVar("T")


def run_in_virtual_time(main: Coroutine[None, None, T]) -> T:
    """Run a coroutine to its end on a new event loop, whose time starts at zero."""
    loop = async_solipsism.EventLoop()
    with warnings.catch_warnings():
        # A timer less than the clock's microsecond away is due at once; nothing is wrong with it.
        warnings.simplefilter("ignore", async_solipsism.ResolutionWarning)
        try:
            result: T = loop.run_until_complete(main)
            return result
        finally:
            loop.close()
