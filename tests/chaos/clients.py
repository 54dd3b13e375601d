"""Clients that go on through faults, and remember what they were told.

They behave as a careful caller does: what got 503 or no answer is tried again, at another process. What they were
told is kept apart from what they do not know, so that the table can be held against it.
"""

import asyncio
import json
import math
import time
from collections.abc import Sequence
from http import HTTPStatus
from random import Random
from typing import Final, NamedTuple

import aiohttp

from stack.harness.client import Answer, Request, send

_CREATES: Final = 0.5
_CREATES_UNDER_OWN_ID: Final = 0.2
"""Shares of what clients do; the rest are deletes, so that the limit is reached and room is made all the time."""

_TRIES_MAX: Final = 8
_RETRY_S: Final = 0.25
_THINK_S: Final = 0.05
_ANSWER_WITHIN_S: Final = 6.5
"""An operation's deadline is 5 s; whoever is silent for longer is dead or stopped."""

_REST_S: Final = 10.0
"""More than an operation's deadline and the longest delay of a call together."""

NO_ANSWER: Final = 0
"""What counts as the status of a connection that failed."""


class Processes:
    """The API's processes, as a load balancer sees them.

    Attributes:
        urls: Their addresses.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = urls
        self._outages: dict[str, list[tuple[float, float]]] = {url: [] for url in urls}
        self._outstanding = dict.fromkeys(urls, 0)
        self._removed: set[str] = set()

    def fail(self, url: str) -> None:
        """Note that a process may leave callers without an answer from now on."""
        self._outages[url].append((asyncio.get_running_loop().time(), math.inf))

    def remove(self, url: str) -> None:
        """Send no further requests to a process."""
        self._removed.add(url)

    def restore(self, url: str) -> None:
        """Note that a process answers again."""
        since, _ = self._outages[url].pop()
        self._outages[url].append((since, asyncio.get_running_loop().time()))
        self._removed.discard(url)

    def may_be_silent(self, url: str, start: float) -> bool:
        """Tell whether a request that began then and has just failed may have been left without an answer."""
        end = asyncio.get_running_loop().time()
        return any(start <= until and end >= since for since, until in self._outages[url])

    async def send(self, session: aiohttp.ClientSession, request: Request) -> tuple[str, Answer]:
        """Send a request whose URL is a path to the process with the fewest under way; return also its address."""
        url = min((url for url in self.urls if url not in self._removed), key=self._outstanding.__getitem__)
        self._outstanding[url] += 1
        try:
            return url, await send(session, request._replace(url=url + request.url))
        finally:
            self._outstanding[url] -= 1


class Told(NamedTuple):
    """What the clients of one account were told.

    Attributes:
        alive: Ids of services that are there: acknowledged, and nobody asked to delete them.
        deleted: Ids whose deletion was acknowledged.
        in_doubt: Ids that may or may not be there, as an answer is missing.
        nameless: Creates without an answer, whose services may be there under ids that nobody knows.
    """

    alive: set[str]
    deleted: set[str]
    in_doubt: set[str]
    nameless: list[Request]


class Tenant:
    """One account and its clients' memory.

    Attributes:
        account_id: The account.
        limit: Its limit.
        told: What its clients were told.
        offences: Answers that no caller may get.
        answers: All answers.
    """

    def __init__(self, account_id: str, limit: int, random: Random) -> None:
        self.account_id = account_id
        self.limit = limit
        self.told = Told(set(), set(), set(), [])
        self.offences: list[str] = []
        self.answers: list[Answer] = []
        self._random = random
        self._created = 0
        self._resting: set[str] = set()

    async def act(self, processes: Processes, session: aiohttp.ClientSession) -> None:
        """Do one thing that a client does, until it has an answer or gives up."""
        roll = self._random.random()
        if roll < _CREATES:
            await self.create(processes, session, None)
        elif roll < _CREATES + _CREATES_UNDER_OWN_ID:
            self._created += 1
            await self.create(processes, session, f"own-{self._created}")
        elif deletable := sorted(self.told.alive - self._resting):
            await self._delete(processes, session, self._random.choice(deletable))
        await asyncio.sleep(self._random.uniform(0, 2 * _THINK_S))

    async def create(self, processes: Processes, session: aiohttp.ClientSession, own_id: str | None) -> int:
        """Create a service; only under an own id is it safe to try again. Returns the last answer's status."""
        request = Request("POST", "/services", self.create_body(own_id))
        for attempt in range(_TRIES_MAX if own_id else 1):
            allowed = {201, 409, 503} | ({200} if attempt else set())
            answer = await self._send(processes, session, request, allowed)
            if answer.status in {200, 201}:
                self._note_created(json.loads(answer.body)["id"], retried=attempt > 0)
                return answer.status
            if answer.status == HTTPStatus.CONFLICT and not attempt:
                return answer.status
            if answer.status == HTTPStatus.CONFLICT:
                break
            await asyncio.sleep(self._random.uniform(0, 2 * _RETRY_S))
        # Refused at the second try it may be there all the same: the first one may still be under way.
        if own_id:
            self.told.in_doubt.add(own_id)
        else:
            self.told.nameless.append(request)
        return answer.status

    def _note_created(self, service_id: str, *, retried: bool) -> None:
        self.told.alive.add(service_id)
        if retried:
            # An earlier try may still be under way, and would bring the service back when it is deleted at once.
            self._resting.add(service_id)
            asyncio.get_running_loop().call_later(_REST_S, self._resting.discard, service_id)

    def create_body(self, own_id: str | None) -> bytes:
        """Return what to post to make a service."""
        body = {"account_id": self.account_id, "name": "chaos"}
        return json.dumps(body | ({"id": own_id} if own_id else {})).encode()

    async def _delete(self, processes: Processes, session: aiohttp.ClientSession, service_id: str) -> None:
        """Delete a service that is surely there; after a try without an answer 404 is a success."""
        self.told.alive.remove(service_id)
        request = Request("DELETE", f"/services/{service_id}?account_id={self.account_id}")
        for attempt in range(_TRIES_MAX):
            answer = await self._send(processes, session, request, {204, 503} | ({404} if attempt else set()))
            if answer.status in {204, 404}:
                self.told.deleted.add(service_id)
                return
            await asyncio.sleep(self._random.uniform(0, 2 * _RETRY_S))
        self.told.in_doubt.add(service_id)

    async def _send(
        self, processes: Processes, session: aiohttp.ClientSession, request: Request, allowed: set[int]
    ) -> Answer:
        start = asyncio.get_running_loop().time()
        url, answer = await processes.send(session, request)
        self.answers.append(answer)
        silent = answer.status == NO_ANSWER and processes.may_be_silent(url, start)
        if answer.status not in allowed and not silent:
            self.offences.append(f"{request.method} {request.url} at {url}: {answer.status} {answer.body!r}")
        return answer


async def run_clients(processes: Processes, tenants: Sequence[Tenant], clients: int, seconds: float) -> None:
    """Let so many clients work for so long; each ends what it has begun."""
    end = time.monotonic() + seconds
    async with client_session(clients) as session:

        async def work(number: int) -> None:
            while time.monotonic() < end:
                await tenants[number % len(tenants)].act(processes, session)

        await asyncio.gather(*(work(number) for number in range(clients)))


def client_session(connections: int) -> aiohttp.ClientSession:
    """Return connections for clients that give up on whoever is silent."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S),
        headers={"Content-Type": "application/json"},
    )
