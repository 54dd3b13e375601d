"""Plays conversations against a server of its own, and holds what the server saw and answered against what was sent."""

import asyncio
import os
import re
import signal
import socket
import struct
import sys
from collections import Counter as Tally
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from tests.sockets.conversations import SMUGGLED, Conversation, Ending, Sent, draw_conversation
from tests.sockets.server import SEEN_PATH

_ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 30.0
_AT_ONCE: Final = 32
_HEAD: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*(.*?)\r\n\r\n", re.DOTALL)
_LENGTH: Final = re.compile(rb"(?:^|\n)content-length: ([0-9]+)")
_RESET: Final = struct.pack("ii", 1, 0)


class FuzzedAnswer(msgspec.Struct, frozen=True):
    """One answer, without interim ones."""

    status: int
    head: bytes
    body: bytes


class Played(msgspec.Struct):
    """What was played so far.

    Attributes:
        conversations: How many, by their endings.
        requests: How many requests were sent as a whole.
        answers: How many answers came, by status.
        failures: What was wrong, with the seed.
    """

    conversations: Tally[str] = msgspec.field(default_factory=Tally)
    requests: int = 0
    answers: Tally[int] = msgspec.field(default_factory=Tally)
    failures: list[str] = []

    def __str__(self) -> str:
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items()))
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(self.conversations.items()))
        lines = [f"{self.conversations.total()} conversations ({endings})", f"{self.requests} whole requests"]
        return "\n".join([*lines, f"answers: {answers}", f"{len(self.failures)} failures", *self.failures])


class Fuzzer:
    """Plays seeds against one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.played = Played()

    async def play(self, seeds: Sequence[int]) -> None:
        """Play these seeds, some of them side by side, and note what went wrong."""
        for first in range(0, len(seeds), _AT_ONCE):
            conversations = [draw_conversation(seed) for seed in seeds[first : first + _AT_ONCE]]
            results = await asyncio.gather(*(self._converse(one) for one in conversations))
            seen = await self._seen()
            for conversation, answers in zip(conversations, results, strict=True):
                self._check(conversation, answers, [one for one in seen if conversation.token in one.path])
            self.played.failures += [f"smuggled: {one}" for one in seen if one.path.startswith(SMUGGLED)]

    async def _converse(self, conversation: Conversation) -> list[FuzzedAnswer] | None:
        """Return the answers; None when nobody waited for them, or the wait was in vain."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        receiving = asyncio.create_task(_receive(reader, conversation))
        try:
            with suppress(OSError):
                for piece, pause_ms in zip(conversation.pieces, conversation.pauses_ms, strict=True):
                    if pause_ms:
                        await asyncio.sleep(pause_ms / 1000)
                    writer.write(piece)
                    await writer.drain()
            if conversation.resets:
                receiving.cancel()
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return None
            async with asyncio.timeout(_PATIENCE_S):
                return await receiving
        except TimeoutError:
            self.played.failures.append(f"{conversation.token}: not answered, {conversation.ending.name}")
            return None
        finally:
            writer.close()

    async def _seen(self) -> list[Sent]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        # Requests of connections that were reset may still be on their way to the application.
        await asyncio.sleep(0.005)
        writer.write(b"GET %s HTTP/1.1\r\nConnection: close\r\n\r\n" % SEEN_PATH.encode())
        data = await reader.read()
        writer.close()
        return msgspec.json.decode(data.partition(b"\r\n\r\n")[2], type=list[Sent])

    def _check(self, conversation: Conversation, answers: list[FuzzedAnswer] | None, seen: list[Sent]) -> None:
        played = self.played
        played.conversations[conversation.ending.name] += 1
        played.requests += len(conversation.requests)
        sent = list(conversation.requests)
        faults = []
        if conversation.resets:
            if seen != sent[: len(seen)]:
                faults.append(f"saw what was not sent: {seen}")
        elif answers is not None:
            played.answers.update(answer.status for answer in answers)
            faults += _faults_of_answers(conversation, answers)
            if seen[: len(sent)] != sent:
                faults.append(f"did not see what was sent: {seen}")
            if len(seen) > len(sent) and conversation.ending is not Ending.DAMAGED:
                faults.append(f"saw more than was sent: {seen}")
        played.failures += [f"{conversation.token}: {conversation.ending.name}: {fault}"[:300] for fault in faults]


def _faults_of_answers(conversation: Conversation, answers: Sequence[FuzzedAnswer]) -> list[str]:
    count = len(conversation.requests)
    faults = [
        f"answered {answer}" for answer in answers if answer.status >= 500 or b"\nx-request-id: " not in answer.head
    ]
    if len(answers) < count:
        faults.append(f"answered {len(answers)} of {count} requests")
    behind = answers[count:]
    if conversation.ending is Ending.REFUSED:
        if len(behind) != 1 or behind[0].status not in {400, 405, 413, 431}:
            faults.append(f"refused with {behind}")
        elif b"\ncontent-type: application/problem+json\r\n" not in behind[0].head:
            faults.append(f"refused with no problem: {behind[0]}")
    elif behind and conversation.ending is not Ending.DAMAGED:
        faults.append(f"answered more than was sent: {behind}")
    return faults


async def _receive(reader: asyncio.StreamReader, conversation: Conversation) -> list[FuzzedAnswer]:
    """Return the answers when all that can come are there: until the connection ends, or is idle as it may be."""
    data = b""
    answers: list[FuzzedAnswer] = []
    methods = [sent.method for sent in conversation.requests]
    waits_for_end = conversation.ending in {Ending.REFUSED, Ending.CLOSED}
    while True:
        data = _take_answers(data, answers, methods)
        if len(answers) >= len(methods) and not waits_for_end:
            # Nothing more is due; what comes all the same comes soon.
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(0.02):
                    data += await reader.read(65_536)
                    _take_answers(data, answers, methods)
            return answers
        try:
            received = await reader.read(65_536)
        except OSError:
            return answers
        if not received:
            return answers
        data += received


def _take_answers(data: bytes, answers: list[FuzzedAnswer], methods: Sequence[str]) -> bytes:
    """Move the whole answers from the data to the others; return the rest."""
    while head := _HEAD.match(data):
        status = int(head[1])
        length = _LENGTH.search(head[2])
        is_of_head = len(answers) < len(methods) and methods[len(answers)] == "HEAD"
        end = head.end() + (0 if length is None or is_of_head else int(length[1]))
        if len(data) < end:
            break
        if status >= 200:
            answers.append(FuzzedAnswer(status, head[0], data[head.end() : end]))
        data = data[end:]
    return data


@asynccontextmanager
async def running_server() -> AsyncIterator[Fuzzer]:
    """Run a server, and at the end stop it as an operator would.

    Raises:
        AssertionError: It crashed, logged an error or did not stop well.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.sockets.server",
        cwd=_ROOT,
        env=os.environ | {"PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    lines: list[str] = []
    try:
        port = None
        while port is None:
            lines.append((await process.stdout.readline()).decode())
            port = re.search(r"http://127\.0\.0\.1:([0-9]+)", lines[-1])
        reading = asyncio.create_task(process.stdout.read())
        yield Fuzzer(int(port[1]))
        process.send_signal(signal.SIGTERM)
        log = (await reading).decode()
        assert await process.wait() == 0, log
        assert [line for line in log.splitlines() if '"level":"error"' in line or "Traceback" in line] == []
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
