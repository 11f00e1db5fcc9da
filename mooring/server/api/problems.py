"""The one shape of an error: problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mooring.core.errors import UsageError
from mooring.server.db.listing import BadList
from mooring.server.roles import Conflict, NotAllowed

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_SHOWN = 200


class Refused(Exception):
    """A request that is answered with a problem; ``detail`` says what and what to do."""

    def __init__(
        self, status: int, detail: str, *, errors: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


def missing(noun: str, thing: str) -> Refused:
    return Refused(404, f"there is no {noun} with the id {thing[:MAX_SHOWN]!r}")


def problem(
    request: Request,
    status: int,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path[:MAX_SHOWN],
    }
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error of the app be a problem."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return problem(request, error.status, error.detail, error.errors, headers)

    @app.exception_handler(NotAllowed)
    async def not_allowed(request: Request, error: NotAllowed) -> JSONResponse:
        return problem(request, 403, str(error))

    @app.exception_handler(Conflict)
    async def conflict(request: Request, error: Conflict) -> JSONResponse:
        return problem(request, 409, str(error))

    @app.exception_handler(BadList)
    async def bad_list(request: Request, error: BadList) -> JSONResponse:
        fault = {"where": f"query.{error.where}", "what": str(error)}
        return problem(request, 422, f"{error.where}: {error}", [fault])

    @app.exception_handler(UsageError)
    async def unusable(request: Request, error: UsageError) -> JSONResponse:
        return problem(request, 422, str(error))

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {
                "where": ".".join(str(part)[:MAX_SHOWN] for part in fault["loc"]),
                "what": fault["msg"],
            }
            for fault in error.errors()[:20]
        ]
        detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults[:3])
        return problem(request, 422, detail, faults)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(request, error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        # Nobody reads this; it is what the count of requests says.
        log.debug("client_gone", method=request.method, path=request.url.path)
        return problem(request, 400, "the client went before it had said everything")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
        return problem(request, 500, "the server failed; its log says why")
