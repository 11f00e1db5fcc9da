"""What a request may hold at most, whichever route takes it: checked at the door, before any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from mooring.server.api.problems import problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_BODY = 1024 * 1024
"""The largest body in bytes that is read before anybody asks who sends it."""


class Bound:
    """ASGI middleware: no body over 1 MiB, save at ``own``, which has a bound of its own.

    And no NUL character in an address: neither PostgreSQL nor a file system takes one.
    """

    def __init__(self, app: App, own: str) -> None:
        self.app = app
        self.own = own

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            answer = problem(Request(scope), 400, "the address holds a NUL character")
            await answer(scope, receive, send)
            return
        if scope["path"] == self.own:
            await self.app(scope, receive, send)
            return
        length = Request(scope).headers.get("content-length", "")
        if length.isdigit() and int(length) > MAX_BODY:
            answer = problem(Request(scope), 413, _LIMIT)
            await answer(scope, receive, send)
            return
        left = MAX_BODY

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, _LIMIT)
            return message

        await self.app(scope, bounded, send)


_LIMIT = f"a request has at most {MAX_BODY} bytes here"
