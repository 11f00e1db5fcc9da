"""Forgets what nothing else would end: of each owner's rows the newest stay."""

from __future__ import annotations

from sqlalchemy import Column, Table, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def gone(connection: AsyncConnection, table: Table, owner: Column[str], most: int) -> None:
    """Forget of each owner all gone rows but the ``most`` that went last."""
    newest = func.row_number().over(partition_by=owner, order_by=table.c.gone_at.desc())
    ranked = (
        select(table.c.id, newest.label("place_in_line"))
        .where(table.c.gone_at.is_not(None))
        .subquery()
    )
    stale = select(ranked.c.id).where(ranked.c.place_in_line > most)
    await connection.execute(delete(table).where(table.c.id.in_(stale)))


async def old(
    connection: AsyncConnection,
    table: Table,
    owner: Column[str],
    before: float,
    *,
    at_least: int,
    at_most: int,
) -> None:
    """Forget rows ``at`` a time before ``before``, and of each owner all but the newest.

    The newest ``at_least`` stay however old they are: the next report would bring them again.
    """
    newest = func.row_number().over(
        partition_by=owner, order_by=(table.c.at.desc(), table.c.id.desc())
    )
    ranked = select(table.c.id, table.c.at, newest.label("place_in_line")).subquery()
    over = (ranked.c.at < before) & (ranked.c.place_in_line > at_least)
    stale = select(ranked.c.id).where(or_(over, ranked.c.place_in_line > at_most))
    await connection.execute(delete(table).where(table.c.id.in_(stale)))
