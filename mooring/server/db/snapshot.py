"""Makes the rows of a part be what a snapshot says, or adds what happened; answers what is news."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.engine import rows_of
from mooring.server.merge import Difference, Row, Values, difference, unseen

Item = TypeVar("Item")

BATCH = 250
"""Rows that are written at a time."""


async def rows(connection: AsyncConnection, table: Table, where: ColumnElement[bool]) -> list[Row]:
    result = await connection.execute(select(table).where(where))
    return await rows_of(result)


async def store(
    connection: AsyncConnection,
    table: Table,
    where: ColumnElement[bool],
    wanted: list[Values],
    key: tuple[str, ...],
    *,
    fixed: Values,
    now: float,
    quiet: frozenset[str] = frozenset(),
    stored: list[Row] | None = None,
) -> Difference:
    """Make the rows of ``table`` that lie in ``where`` be ``wanted``.

    ``fixed`` are the values that every new row has besides its own (host, source). Rows that
    are no longer wanted stay with ``gone_at``; ``last_seen`` of all the others is ``now``.
    New rows in the answer have their ids. ``stored`` are the rows, where they are read already,
    or those of them that the snapshot speaks of: the others stay as they are.
    """
    all_seen = stored is None
    if stored is None:
        stored = await rows(connection, table, where)
    # Between the steps of a large snapshot others have a turn.
    await asyncio.sleep(0)
    todo = difference(stored, wanted, key, quiet)
    new = [
        {"id": new_id(), **fixed, **values, "first_seen": now, "last_seen": now}
        for values in todo.new
    ]
    for some in batched(new):
        await connection.execute(insert(table), some)
    await change(connection, table, [(c.id, c.values) for c in todo.changed])
    await _mark(connection, table, todo.gone, gone_at=now)
    if all_seen:
        seen = update(table).where(where, table.c.gone_at.is_(None)).values(last_seen=now)
        await connection.execute(seen)
    else:
        gone = set(todo.gone)
        back = {c.id for c in todo.changed}
        still = [r["id"] for r in stored if r["id"] in back or r["gone_at"] is None]
        await _mark(connection, table, [i for i in still if i not in gone], last_seen=now)
    return Difference(tuple(new), todo.changed, todo.gone)


async def change(
    connection: AsyncConnection, table: Table, changes: list[tuple[str, Values]]
) -> None:
    """Give rows new values, all of the same columns. A row that was gone is back, unless they
    say that it is not."""
    if not changes:
        return
    columns = list(changes[0][1])
    values: Values = {name: bindparam(f"v_{name}") for name in columns}
    if "gone_at" in table.c:
        values.setdefault("gone_at", None)
    statement = update(table).where(table.c.id == bindparam("row_id")).values(values)
    for some in batched(changes):
        await connection.execute(
            statement,
            [
                {"row_id": row_id, **{f"v_{name}": values[name] for name in columns}}
                for row_id, values in some
            ],
        )


async def _mark(
    connection: AsyncConnection, table: Table, ids: Sequence[str], **values: float
) -> None:
    # One statement per row, sent as one: a list of ids has an end in both databases.
    statement = update(table).where(table.c.id == bindparam("row_id")).values(**values)
    for some in batched(ids):
        await connection.execute(statement, [{"row_id": row_id} for row_id in some])


def batched(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """So many at a time that others have a turn in between."""
    return (items[n : n + BATCH] for n in range(0, len(items), BATCH))


async def add(
    connection: AsyncConnection,
    table: Table,
    where: ColumnElement[bool],
    happened: list[Values],
    key: tuple[str, ...],
    *,
    fixed: Values,
) -> list[Values]:
    """Store what happened ``at`` some time and is not stored yet in ``where``, and answer it.

    Each report brings the last of it again.
    """
    if not happened:
        return []
    earliest = min(values["at"] for values in happened)
    known = await rows(connection, table, where & (table.c.at >= earliest))
    new = unseen(known, happened, key)
    # Ids of one millisecond come in no order: of one moment, what happened first stands first.
    row_ids = sorted(new_id() for _ in new)
    if new:
        values = [{"id": i, **fixed, **v} for i, v in zip(row_ids, new, strict=True)]
        await connection.execute(insert(table), values)
    return new
