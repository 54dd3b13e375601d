"""HEAD and OPTIONS: the framework has no HEAD, and its OPTIONS knows only a part of a path's methods."""

from collections.abc import Awaitable, Iterable

from litestar import Litestar
from litestar.enums import HttpMethod, ScopeType
from litestar.status_codes import HTTP_204_NO_CONTENT
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def answer_head_and_options(app: Litestar) -> ASGIApp:
    """Return the application's handler, wrapped.

    HEAD is answered like GET without the body (RFC 9110, section 9.3.2); OPTIONS lists all methods of the path.
    """
    handler = app.asgi_handler

    # No coroutine of its own, as each takes time at every step of every request.
    def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == ScopeType.HTTP:
            if scope["method"] == HttpMethod.HEAD:
                # A copy, as the server looks into the original to see that there must be no body.
                scope = scope.copy()
                scope["method"] = HttpMethod.GET
                send = _without_body(send)
            elif scope["method"] == HttpMethod.OPTIONS:
                send = _with_methods(send, scope, app)
        return handler(scope, receive, send)

    return answer


def list_methods(methods: Iterable[str]) -> str:
    """Return the header ``Allow`` for a path whose handlers take these methods."""
    allowed = set(methods)
    if HttpMethod.GET in allowed:
        allowed.add(HttpMethod.HEAD)
    return ", ".join(sorted(allowed))


def _without_body(send: Send) -> Send:
    async def send_without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return send_without_body


def _with_methods(send: Send, scope: Scope, app: Litestar) -> Send:
    async def send_with_methods(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTP_204_NO_CONTENT:
            [methods] = [route.methods for route in app.routes if route.path_format == scope["path_template"]]
            message["headers"] = [(b"allow", list_methods(methods).encode())]
        await send(message)

    return send_with_methods
