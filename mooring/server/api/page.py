"""The page's files, with headers that let it load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from mooring.server.api.problems import Refused

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).resolve().parents[1] / "page"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/{path:path}")
async def page(path: str, request: Request) -> Response:
    """A file of the page, else its index: the page has its own routes."""
    if path.startswith(("api/", "metrics")):
        raise Refused(404, f"there is nothing at {request.url.path[:200]}")
    index = FOLDER / "index.html"
    if not index.is_file():
        return PlainTextResponse("The page has not been built: run `make web`.\n", 503)
    file = _file(path)
    if file is not None:
        # What Vite builds has its hash in its name.
        cache = FOR_EVER if path.startswith("assets/") else "no-cache"
        return FileResponse(file, headers={**HEADERS, "Cache-Control": cache})
    if path.startswith("assets/"):
        raise Refused(404, "there is no such file: reload the page")
    return FileResponse(index, headers={**HEADERS, "Cache-Control": "no-cache"})


def _file(path: str) -> Path | None:
    """The page's file at a path from outside; None if there is none, or it is not the page's."""
    try:
        file = (FOLDER / path).resolve()
        return file if file.is_relative_to(FOLDER) and file.is_file() else None
    except (OSError, ValueError):
        return None  # a name too long, or one that no file can have
