"""Users and their sessions."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.listing import Ask, Listing, Paged, fetch
from mooring.server.db.tables import session, user
from mooring.server.merge import Row

_USERS = Listing(
    user, {"name": user.c.login, "created_at": user.c.created_at}, "name", (user.c.name,)
)


async def page(connection: AsyncConnection, ask: Ask) -> Paged:
    return await fetch(connection, _USERS, ask)


async def count(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.count()).select_from(user))).scalar_one()


async def by_login(connection: AsyncConnection, name: str) -> Row | None:
    query = select(user).where(user.c.login == _login(name))
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


def _login(name: str) -> str:
    # A name may grow when it is made lower case ("İ" does), beyond what the column takes.
    return name.lower()[:100]


async def create_first(
    connection: AsyncConnection, name: str, password_hash: str, now: float
) -> Row | None:
    """The owner's account, or None when there is a user already."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text('LOCK TABLE "user" IN EXCLUSIVE MODE'))
    if await count(connection):
        return None
    row = {
        "id": new_id(),
        "name": name,
        "login": _login(name),
        "role": "owner",
        "password_hash": password_hash,
        "created_at": now,
    }
    await connection.execute(insert(user).values(row))
    return row


async def set_password(connection: AsyncConnection, user_id: str, password_hash: str) -> None:
    await connection.execute(
        update(user).where(user.c.id == user_id).values(password_hash=password_hash)
    )


async def open_session(
    connection: AsyncConnection, token_hash: str, user_id: str, now: float, expires: float
) -> None:
    await connection.execute(
        insert(session).values(hash=token_hash, user_id=user_id, created_at=now, expires_at=expires)
    )


async def of_session(connection: AsyncConnection, token_hash: str, now: float) -> Row | None:
    """The user of a session that has not expired."""
    query = (
        select(user)
        .join(session, session.c.user_id == user.c.id)
        .where(session.c.hash == token_hash, session.c.expires_at > now)
    )
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def close_session(connection: AsyncConnection, token_hash: str) -> None:
    await connection.execute(delete(session).where(session.c.hash == token_hash))


async def forget_expired(connection: AsyncConnection, now: float) -> None:
    await connection.execute(delete(session).where(session.c.expires_at <= now))
