"""Where a request comes from, behind proxies: said once, before anything reads it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi import Request

from mooring.server import proxies
from mooring.server.api.bounds import App, Receive, Send


class Behind:
    """ASGI middleware: the client and the scheme are those that the outermost trusted proxy saw."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["client"]:
            peer, port = scope["client"]
            trusted = scope["app"].state.mooring.settings.trusted_proxies
            said = Request(scope).headers
            address = proxies.origin(peer, said.getlist("x-forwarded-for"), trusted)
            outer = proxies.scheme(peer, said.getlist("x-forwarded-proto"), trusted)
            scope["client"] = (address, port if address == peer else 0)
            scope["scheme"] = outer or scope["scheme"]
        await self.app(scope, receive, send)
