"""Plays conversations for a time: ``python -m tests.sockets.run --seconds 600 --first 0``."""

import argparse
import asyncio
import sys
import time
from typing import Final

from tests.sockets.fuzzer import Played, running_server

_SEEDS_A_ROUND: Final = 320
_FAILURES_MAX: Final = 5
"""Failures after which playing on tells nothing new."""


def main() -> int:
    """Play; return the exit status: 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    played = asyncio.run(_play(options.first, options.seconds))
    sys.stdout.write(f"{played}\n")
    return 1 if played.failures else 0


async def _play(first: int, seconds: float) -> Played:
    end = time.monotonic() + seconds
    async with running_server() as fuzzer:
        while time.monotonic() < end and len(fuzzer.played.failures) < _FAILURES_MAX:
            await fuzzer.play(range(first, first + _SEEDS_A_ROUND))
            first += _SEEDS_A_ROUND
        return fuzzer.played


if __name__ == "__main__":
    sys.exit(main())
