"""Whether the server works: open to everybody, and says nothing else."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from mooring import __version__
from mooring.server.api.door import TheState
from mooring.server.api.shapes import Health

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(state: TheState, response: Response) -> Health:
    """200 when the server and its database work, else 503."""
    try:
        async with asyncio.timeout(5), state.database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        response.status_code = 503
        return Health(status="failing", version=__version__, database="failing")
    return Health(status="ok", version=__version__, database="ok")
