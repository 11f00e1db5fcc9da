"""``/metrics``: outside the log-in, behind a token of its own; and the counting of requests."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from mooring.server.api.door import TheState
from mooring.server.api.problems import Refused
from mooring.server.auth import same
from mooring.server.db import counts
from mooring.server.metrics import Metrics

log = structlog.get_logger(__name__)

router = APIRouter(tags=["metrics"])

API = "/api/v1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Message = MutableMapping[str, Any]
App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, state: TheState) -> Response:
    """Prometheus text; 404 while MOORING_METRICS_TOKEN is unset, 401 without the right token."""
    token = state.settings.metrics_token
    if not token:
        raise Refused(404, "there are no metrics while MOORING_METRICS_TOKEN is unset")
    kind, _, shown = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not same(shown.strip(), token):
        raise Refused(401, "expected Authorization: Bearer with the token of MOORING_METRICS_TOKEN")
    async with state.database.read() as connection:
        found = await counts.read(connection)
    counters: Metrics = request.app.state.metrics
    counters.set_gauges(found)
    return Response(counters.text(), media_type=CONTENT_TYPE)


class CountRequests:
    """ASGI middleware: every request is counted and timed under the pattern of its route."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            elapsed = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            path, entity = pattern(scope)
            self.metrics.requests.labels(method, path, str(status), entity).inc()
            self.metrics.durations.labels(method, path).observe(elapsed)
            log.debug(
                "request",
                method=method,
                path=path,
                status=status,
                elapsed_ms=round(elapsed * 1000, 1),
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def pattern(scope: MutableMapping[str, Any]) -> tuple[str, str]:
    """The pattern of the route that took the request, and the noun that it is about.

    Never the raw path: that would make a time series of every id, and of every scanner's guess.
    """
    route = scope.get("route")
    path: str | None = getattr(route, "path", None)
    if path is None:
        return "unmatched", ""
    if getattr(route, "tags", None) and scope["path"].startswith(f"{API}/"):
        # A route knows its path within its router; the routers of nouns are all included here.
        path = API + path.removeprefix(API)
        return path, path.split("/")[3]
    return path, ""
