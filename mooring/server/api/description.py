"""The API's description of itself, for whoever is logged in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from mooring.server.api.door import Viewer

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request, _: Viewer) -> dict[str, Any]:
    """OpenAPI 3.1; `mooring openapi` prints the same."""
    described: dict[str, Any] = request.app.openapi()
    return described
