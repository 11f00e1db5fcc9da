"""The audit: who changed what, when, from where."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mooring.server.api.account_shapes import AuditEntry
from mooring.server.api.door import Admin, Reading, TheAsk, paged
from mooring.server.api.shapes import Page
from mooring.server.db import audit

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("")
async def list_audit(
    ask: TheAsk,
    connection: Reading,
    _: Admin,
    user_id: Annotated[
        str | None, Query(max_length=36, description="By this user, the user's keys included")
    ] = None,
    entity: Annotated[str | None, Query(max_length=32, description="Of this kind")] = None,
    entity_id: Annotated[str | None, Query(max_length=36, description="Of this thing")] = None,
) -> Page[AuditEntry]:
    page = await audit.page(connection, ask, user_id=user_id, entity=entity, entity_id=entity_id)
    return await paged(AuditEntry, page)
