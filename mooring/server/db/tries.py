"""Tries to come in, counted for all server processes at once; and the places of each user's own."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.engine import insert_into
from mooring.server.db.tables import known_place, login_try
from mooring.server.tries import KNOWN_SECONDS, MOST_KNOWN, Count


async def count(connection: AsyncConnection, counts: Iterable[Count], now: float) -> Count | None:
    """Count one try; answers what is full, if anything is: that and what follows count nothing."""
    for one in counts:
        over = login_try.c.ends_at <= now
        first = {"number": 1, "ends_at": now + one.seconds}
        statement = insert_into(connection, login_try).values(what=one.what, **first)
        next_one = {
            "number": case((over, 1), else_=login_try.c.number + 1),
            "ends_at": case((over, first["ends_at"]), else_=login_try.c.ends_at),
        }
        counted = statement.on_conflict_do_update(
            index_elements=["what"], set_=next_one, where=or_(over, login_try.c.number < one.most)
        )
        if (await connection.execute(counted)).rowcount != 1:
            return one
    return None


async def take_back(connection: AsyncConnection, one: Count) -> None:
    """A try that was counted was none: it came in."""
    mine = (login_try.c.what == one.what) & (login_try.c.number > 0)
    await connection.execute(update(login_try).where(mine).values(number=login_try.c.number - 1))


async def clear(connection: AsyncConnection, counts: Iterable[Count]) -> None:
    # In the order in which they are counted: two who wait for each other would wait for ever.
    for one in counts:
        await connection.execute(delete(login_try).where(login_try.c.what == one.what))


async def is_known(connection: AsyncConnection, user_id: str, place: str, now: float) -> bool:
    """Whether the user has come in from there."""
    mine = (known_place.c.user_id == user_id) & (known_place.c.place == place)
    query = select(known_place.c.place).where(mine, known_place.c.last_at > now - KNOWN_SECONDS)
    return (await connection.execute(query)).first() is not None


async def places(connection: AsyncConnection, user_id: str) -> list[str]:
    """From where the user has come in."""
    query = select(known_place.c.place).where(known_place.c.user_id == user_id)
    return list((await connection.scalars(query)).all())


async def know(connection: AsyncConnection, user_id: str, place: str, now: float) -> None:
    """Note that the user has come in from there."""
    mine = known_place.c.user_id == user_id
    row = insert_into(connection, known_place).values(user_id=user_id, place=place, last_at=now)
    await connection.execute(
        row.on_conflict_do_update(index_elements=["user_id", "place"], set_={"last_at": now})
    )
    newest = select(known_place.c.place).where(mine).order_by(known_place.c.last_at.desc())
    over = known_place.c.place.not_in(newest.limit(MOST_KNOWN))
    await connection.execute(delete(known_place).where(mine, over))


async def forget_old(connection: AsyncConnection, now: float) -> None:
    over = select(login_try.c.what).where(login_try.c.ends_at <= now)
    # Those that somebody counts in at this moment are left to the next time.
    free = over.with_for_update(skip_locked=True)
    await connection.execute(delete(login_try).where(login_try.c.what.in_(free)))
    old = known_place.c.last_at <= now - KNOWN_SECONDS
    await connection.execute(delete(known_place).where(old))
