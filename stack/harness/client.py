"""A closed-loop HTTP load: each connection sends its next request when it has its answer.

Talks to this machine only, and is bounded by the number of requests or by a time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Final, NamedTuple

import aiohttp

from stack.harness.connection import Connections, Reply, Request

__all__ = ["Answer", "Outcome", "Request", "send", "send_all", "send_for"]

_TIMEOUT_S: Final = 60.0


class Answer(NamedTuple):
    """One answer.

    Attributes:
        status: HTTP status; 0 when the connection failed.
        content_type: What the body is.
        body: The body as it came.
        latency_s: From sending to the last byte, in seconds.
    """

    status: int
    content_type: str
    body: bytes
    latency_s: float


class Outcome(NamedTuple):
    """All answers of a load.

    Attributes:
        answers: In the order of arrival.
        elapsed_s: From the first request to the last answer, in seconds.
    """

    answers: Sequence[Answer]
    elapsed_s: float

    @property
    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        return Counter(answer.status for answer in self.answers)

    def latency_ms(self, share: float) -> float:
        """Return the latency that this share of the answers stayed within, in milliseconds."""
        ordered = sorted(answer.latency_s for answer in self.answers)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def send_all(requests: Sequence[Request], connections: int) -> Outcome:
    """Send every request once, over this number of connections."""
    return await _run(iter(requests), connections, float("inf"))


async def send_for(requests: Sequence[Request], connections: int, seconds: float) -> Outcome:
    """Send these requests in turn, over and over, for some seconds."""
    return await _run(cycle(requests), connections, seconds)


async def _run(requests: Iterator[Request], connections: int, seconds: float) -> Outcome:
    answers: list[Answer] = []
    start = time.perf_counter()
    callers = [_Caller(requests, start + seconds, answers) for _ in range(connections)]
    for caller in callers:
        caller.send_next()
    await asyncio.gather(*(caller.done for caller in callers))
    return Outcome(answers, time.perf_counter() - start)


class _Caller:
    """Sends one request after another, the next one from where the reply comes in, not by way of the event loop."""

    def __init__(self, requests: Iterator[Request], end: float, answers: list[Answer]) -> None:
        self._requests = requests
        self._end = end
        self._answers = answers
        self._connections = Connections(_TIMEOUT_S)
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send_next(self) -> None:
        """Send a request, or end when there is none."""
        request = next(self._requests, None)
        if request is None:
            self._finish()
            return
        self._sent_at = time.perf_counter()
        self._connections.post(request, self._take)

    def _take(self, reply: Reply | OSError) -> None:
        now = time.perf_counter()
        latency_s = now - self._sent_at
        if isinstance(reply, OSError):
            self._answers.append(Answer(0, "", repr(reply).encode(), latency_s))
        else:
            self._answers.append(Answer(*reply, latency_s))
        if now > self._end:
            self._finish()
        else:
            self.send_next()

    def _finish(self) -> None:
        self._connections.close()
        self.done.set_result(None)


async def send(session: aiohttp.ClientSession, request: Request) -> Answer:
    """Send one request and return its answer; the status is 0 when none came."""
    start = time.perf_counter()
    try:
        async with session.request(request.method, request.url, data=request.body or None) as response:
            body = await response.read()
            return Answer(response.status, response.content_type, body, time.perf_counter() - start)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Answer(0, "", repr(error).encode(), time.perf_counter() - start)
