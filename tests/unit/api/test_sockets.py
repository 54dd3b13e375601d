"""The real server, spoken to over raw sockets: it runs what was sent, all of it, and nothing else."""

from tests.sockets.conversations import Ending
from tests.sockets.fuzzer import running_server


async def test_what_was_sent_is_run_and_answered_and_nothing_else() -> None:
    """Some seeds, the same ones each time. ``./taskw fuzz:sockets`` plays many more."""
    async with running_server() as fuzzer:
        await fuzzer.play(range(192))
    assert fuzzer.played.failures == []
    assert set(fuzzer.played.conversations) == {ending.name for ending in Ending}
    assert fuzzer.played.requests > 1000
