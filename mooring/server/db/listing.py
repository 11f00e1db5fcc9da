"""Lists: filter, search, sort, and page by key, the same way for every noun."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    and_,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.engine import rows_of
from mooring.server.merge import Row

DEFAULT_LIMIT = 25
MAX_LIMIT = 1000


class BadList(ValueError):
    """A list was asked for in a way that does not fit; ``where`` names the parameter."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(what)
        self.where = where


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a list is wanted. ``sort`` is a name, with ``-`` before it for descending."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    sort: str | None = None
    q: str | None = None
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Listing:
    """How a table is listed: the names it can be sorted by, and the columns that are searched.

    Sort expressions must never be null: two nulls have no order to page by.
    """

    table: FromClause
    sorts: dict[str, ColumnElement[Any]]
    default: str
    search: tuple[ColumnElement[Any], ...] = ()


def folded(column: ColumnElement[str]) -> ColumnElement[str]:
    """Sort by a text without regard to case."""
    return func.lower(column, type_=String())


@dataclass(frozen=True, slots=True)
class Paged:
    rows: list[Row]
    next: str | None
    total: int


def equal(table: FromClause, **columns: str | None) -> list[ColumnElement[bool]]:
    """That each column is as it is asked for, where it is."""
    return [table.c[name] == value for name, value in columns.items() if value]


async def fetch(
    connection: AsyncConnection, listing: Listing, ask: Ask, *where: ColumnElement[bool]
) -> Paged:
    """One page of the rows that fit. Raises ``BadList``."""
    sort = ask.sort or listing.default
    descending = sort.startswith("-")
    expression = listing.sorts.get(sort.removeprefix("-"))
    if expression is None:
        known = ", ".join(sorted(listing.sorts))
        raise BadList("sort", f"expected one of {known} (with - before it for descending)")
    table = listing.table
    fits = list(where)
    if ask.ids is not None:
        fits.append(table.c.id.in_(ask.ids))
    if ask.q:
        words = [
            or_(*(column.icontains(word, autoescape=True) for column in listing.search))
            for word in ask.q.split()
            if listing.search
        ]
        fits += words
    count = select(func.count()).select_from(table).where(*fits)
    # Asked with the rows: what is counted may be made of all rows of other tables, once for both.
    all_of_them = count.correlate(None).scalar_subquery().label("all_of_them")
    query: Select[Any] = select(table, expression.label("sort_value"), all_of_them).where(*fits)
    if ask.cursor is not None:
        value, last_id = _read_cursor(ask.cursor, sort, expression)
        query = query.where(_after(expression, value, table.c.id, last_id, descending))
    order = (expression.desc(), table.c.id.desc()) if descending else (expression, table.c.id)
    result = await connection.execute(query.order_by(*order).limit(ask.limit + 1))
    rows = await rows_of(result)
    following = None
    if len(rows) > ask.limit:
        rows.pop()
        following = _write_cursor(sort, rows[-1]["sort_value"], rows[-1]["id"])
    if rows:
        total = rows[0]["all_of_them"]
    elif ask.cursor is None:
        total = 0
    else:
        total = (await connection.execute(count)).scalar_one()
    return Paged(rows, following, total)


def _after(
    expression: ColumnElement[Any],
    value: Any,
    id_column: ColumnElement[Any],
    last_id: str,
    descending: bool,
) -> ColumnElement[bool]:
    if descending:
        return or_(expression < value, and_(expression == value, id_column < last_id))
    return or_(expression > value, and_(expression == value, id_column > last_id))


def _write_cursor(sort: str, value: Any, last_id: str) -> str:
    return base64.urlsafe_b64encode(
        json.dumps([sort, value, last_id], ensure_ascii=False).encode()
    ).decode()


def _read_cursor(cursor: str, sort: str, expression: ColumnElement[Any]) -> tuple[Any, str]:
    """The sort value and the id at which the page before ended. Raises ``BadList``."""
    bad = BadList("cursor", "expected the `next` of a page of this list")
    try:
        of_sort, value, last_id = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError, RecursionError):
        raise bad from None
    if not (isinstance(of_sort, str) and isinstance(last_id, str)) or "\0" in last_id:
        raise bad
    if of_sort != sort:
        raise BadList("cursor", f"it is of the list sorted by {of_sort[:50]}, not by {sort}")
    if isinstance(expression.type, String):
        fits = isinstance(value, str) and "\0" not in value
    elif isinstance(expression.type, Integer):
        fits = type(value) is int and abs(value) < 2**63
    else:
        fits = isinstance(value, float) and math.isfinite(value)
    if not fits:
        raise bad
    return value, last_id
