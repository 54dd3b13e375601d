"""Connections of the HTTP server: how long each is waited for, and what is answered on it."""

import asyncio
import logging
import math
import time
from typing import Any, ClassVar, Final

import msgspec
from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from api.schemas.problems import ProblemKind
from api.serving.exchanges import REQUEST_ID_HEADER, choose_request_id, encode_problem
from api.serving.framed import ANSWER, BODY, END, HEAD, FramedProtocol
from api.serving.transports import GatheredTransport
from api.storms import StormLog
from counters.logs import request_id

_AHEAD_BYTES_MAX: Final = 65_536
"""Bytes of further requests that are read while one is being answered."""

_SURPLUS: Final = 256
"""Connections beyond the bound that get an answer. Further ones are only closed."""

_LINGER_S: Final = 2.0
"""Time for a client to read the last answer and to close the connection."""

_LINGER_BYTES_MAX: Final = 1_048_576
_WRITE_S: Final = 30.0
"""Longest time that a client may take to read what was sent."""

_CLOSE: Final = (b"connection", b"close")

logger = logging.getLogger(__name__)
_refused_log: Final = StormLog(logger, logging.INFO, "request.refused")
_full_log: Final = StormLog(logger, logging.WARNING, "connections.full")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long clients are waited for, and how many.

    Attributes:
        connections: How many may be open at a time.
        head_s: Longest time for a request's head, in seconds: from its first byte, or from the connection's start.
        body_s: Longest time for a request's body, in seconds, from the end of its head.
        idle_s: Time without a request after which a connection is closed, in seconds. Longer than a load balancer's,
            which would otherwise reuse a connection that is just being closed.
    """

    connections: int = 3000
    head_s: float = 10.0
    body_s: float = 5.0
    idle_s: float = 75.0


class Connection(FramedProtocol):
    """One connection: keeps its times, lets the application answer, and itself refuses bad or late requests."""

    bounds: ClassVar[Bounds] = Bounds()
    transport: GatheredTransport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._due = math.inf
        self._write_due = math.inf
        self._is_last = False
        self._is_paused = False
        self._has_ended = False
        self._lingered = 0
        self._logs_answers = logger.isEnabledFor(logging.DEBUG)

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take over a connection, or refuse it when there are too many."""
        super().connection_made(transport)
        self.transport = GatheredTransport(transport, self.loop)
        self._due = self.loop.time() + self.bounds.head_s
        surplus = len(self.connections) - self.bounds.connections
        if surplus > 0:
            _full_log.observe(connections=self.bounds.connections)
            if surplus > _SURPLUS:
                self.transport.abort()
                return
            self._refuse(ProblemKind.TOO_MANY_CONNECTIONS, "Too many connections are open.")

    def data_received(self, data: bytes) -> None:
        """Take bytes; hand on a request when it is complete and the one before it is answered."""
        if self._phase == END:
            self._linger(len(data))
            return
        if self._phase != ANSWER:
            self._take(data)
            return
        self._inbox.add(data)
        if len(self._inbox) > _AHEAD_BYTES_MAX:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # as in asyncio
        """Note that the client sends nothing more. The connection stays until its requests are answered."""
        self._has_ended = True
        return self._phase == ANSWER

    def pause_writing(self) -> None:
        """Wait for the client to read, for a while."""
        super().pause_writing()
        self._write_due = self.loop.time() + _WRITE_S

    def resume_writing(self) -> None:
        """Go on: it has read."""
        super().resume_writing()
        self._write_due = math.inf

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self.server_state.total_requests += 1
        now = self.loop.time()
        if self.transport.is_closing():
            self._end(_LINGER_S)
            return
        self._phase = HEAD
        self._due = now + self.bounds.idle_s
        self._begin_request()
        self._read_on()
        self._go_on()
        if self._has_ended and self._phase < ANSWER:
            self._close()

    # What the server calls

    def look_at_the_time(self, now: float) -> None:
        """End the connection if something takes too long; called about once a second with the loop's time."""
        if now >= self._write_due:
            self.transport.abort()
        elif now < self._due:
            return
        elif self._phase == END:
            if self.transport.is_closed:
                self.transport.abort()
            else:
                self._close()
        elif self._phase == BODY:
            self._refuse(ProblemKind.REQUEST_TIMEOUT, "The body was not complete in time.")
        elif self._is_idle and self.cycle is not None:
            self._close()
        else:
            self._refuse(ProblemKind.REQUEST_TIMEOUT, "The request line and headers were not complete in time.")

    def let_go(self) -> None:
        """Ask the client with the next answer to close the connection."""
        self._is_last = True
        if self._phase == ANSWER:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection; a request that is complete is answered before."""
        if self._phase == ANSWER:
            self.cycle.keep_alive = False
        elif self._phase == END or self._is_idle:
            self._close()
        else:
            self._refuse(ProblemKind.STOPPING, "The process stopped before the request was complete.")

    @property
    def _is_idle(self) -> bool:
        return self._phase == HEAD and not self._inbox

    def _wait_for_head(self) -> None:
        self._due = self.loop.time() + self.bounds.head_s

    def _wait_for_body(self) -> None:
        self._due = self.loop.time() + self.bounds.body_s

    # From a request to its answer

    def _start(self) -> None:
        self._phase = ANSWER
        self._due = math.inf
        chosen = choose_request_id(self._proposed_id)
        cycle = self.cycle
        cycle.default_headers = [*cycle.default_headers, (REQUEST_ID_HEADER, chosen)]
        if self._is_last:
            cycle.keep_alive = False
        answer = self._answer_and_log if self._logs_answers else self._answer
        task = self.loop.create_task(answer(cycle, chosen))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _answer(self, cycle: RequestResponseCycle, chosen_id: bytes) -> None:
        """Let the application answer, and answer in its place when it cannot."""
        request_id.set(chosen_id.decode())
        try:
            await self.app(cycle.scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            # The server stops, and has waited for long enough.
            logger.warning("request.stopped", extra={"fields": _describe(cycle)})
            await self._make_up(cycle, ProblemKind.STOPPING, "The process stopped before the request was done.")
        except Exception:
            logger.exception("request.failed", extra={"fields": _describe(cycle)})
            await self._make_up(cycle, ProblemKind.INTERNAL_ERROR, "The error was logged under the request's id.")
        finally:
            cycle.on_response = _do_nothing
            if not (cycle.response_complete or cycle.disconnected):
                self._close()

    @staticmethod
    async def _make_up(cycle: RequestResponseCycle, kind: ProblemKind, detail: str) -> None:
        if cycle.response_started:
            return
        cycle.keep_alive = False
        headers, body = encode_problem(kind, detail)
        await cycle.send({"type": "http.response.start", "status": kind.status, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer_and_log(self, cycle: RequestResponseCycle, chosen_id: bytes) -> None:
        # The loop's own time counts whole milliseconds.
        start = time.perf_counter()
        status = 0
        send = cycle.send

        async def note_and_send(message: ASGISendEvent) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        cycle.send = note_and_send  # type: ignore[method-assign]
        await self._answer(cycle, chosen_id)
        fields = {
            **_describe(cycle),
            "status": status,
            "duration_ms": round((time.perf_counter() - start) * 1000, 1),
        }
        logger.debug("request.answered", extra={"fields": fields})

    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        """Answer in the application's place, and take nothing more."""
        chosen = choose_request_id(self._proposed_id)
        headers, body = encode_problem(kind, detail)
        lines = [STATUS_LINE[kind.status]]
        for name, value in (*self.server_state.default_headers, *headers, (REQUEST_ID_HEADER, chosen), _CLOSE):
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.transport.close()
        self._end(_LINGER_S)
        if kind is not ProblemKind.TOO_MANY_CONNECTIONS:
            fields = {"status": kind.status, "reason": detail, "request_id": chosen.decode()}
            if self._logs_answers:
                logger.debug("request.refused", extra={"fields": fields})
            else:
                _refused_log.observe(**fields)

    def _close(self) -> None:
        self.transport.close_now()
        self._end(_WRITE_S)

    def _end(self, seconds: float) -> None:
        self._phase = END
        self._due = self.loop.time() + seconds
        self._inbox.clear()
        self._read_on()

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > _LINGER_BYTES_MAX:
            self.transport.abort()


def _describe(cycle: RequestResponseCycle) -> dict[str, str]:
    return {"method": cycle.scope["method"], "path": cycle.scope["path"]}


def _do_nothing() -> None:
    """Stand in for a callback that would keep the connection alive in memory."""
