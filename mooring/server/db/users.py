"""Users, their invitations and their sessions. No secret is here, only hashes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Double, Select, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.tables import session, user
from mooring.server.merge import Row
from mooring.server.roles import account_state, is_active_owner

_USERS = Listing(
    user,
    {
        "name": user.c.login,
        "role": user.c.role,
        "created_at": user.c.created_at,
        "last_login_at": func.coalesce(user.c.last_login_at, 0.0, type_=Double()),
    },
    "name",
    (user.c.name, user.c.role),
)
_SESSIONS = Listing(
    session,
    {"last_used_at": session.c.last_used_at, "created_at": session.c.created_at},
    "-last_used_at",
    (session.c.address, session.c.browser),
)


async def page(connection: AsyncConnection, ask: Ask) -> Paged:
    return await fetch(connection, _USERS, ask)


async def everybody(connection: AsyncConnection) -> list[Row]:
    """All users by name, each with its state."""
    rows = (await connection.execute(select(user).order_by(user.c.login))).mappings()
    return [{**row, "state": account_state(dict(row))} for row in rows]


async def count(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.count()).select_from(user))).scalar_one()


async def by_login(connection: AsyncConnection, name: str) -> Row | None:
    query = select(user).where(user.c.login == login_of(name))
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


def login_of(name: str) -> str:
    """A name as it is compared."""
    # A name may grow when it is made lower case ("İ" does), beyond what the column takes.
    return name.lower()[:100]


async def by_id(connection: AsyncConnection, user_id: str) -> Row | None:
    row = (await connection.execute(select(user).where(user.c.id == user_id))).mappings().first()
    return dict(row) if row else None


async def by_ids(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Row]:
    query = select(user).where(user.c.id.in_(set(ids)))
    return {row["id"]: dict(row) for row in (await connection.execute(query)).mappings()}


async def lock(connection: AsyncConnection) -> None:
    """Let nobody else change a user until the transaction ends: an owner must be left."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text('LOCK TABLE "user" IN EXCLUSIVE MODE'))


async def active_owners(connection: AsyncConnection) -> int:
    rows = (await connection.execute(select(user).where(user.c.role == "owner"))).mappings()
    return sum(is_active_owner(dict(row)) for row in rows)


async def create(
    connection: AsyncConnection, name: str, role: str, now: float, *, password_hash: str = ""
) -> Row:
    """A new user; without a password it can't log in, and awaits an invitation's being used."""
    row = {
        "id": new_id(),
        "name": name,
        "login": login_of(name),
        "role": role,
        "password_hash": password_hash,
        "created_at": now,
        "disabled_at": None,
        "last_login_at": None,
        "invitation_hash": None,
        "invitation_expires_at": None,
    }
    await connection.execute(insert(user).values(row))
    return row


async def create_first(
    connection: AsyncConnection, name: str, password_hash: str, now: float
) -> Row | None:
    """The owner's account, or None when there is a user already."""
    await lock(connection)
    if await count(connection):
        return None
    return await create(connection, name, "owner", now, password_hash=password_hash)


async def change(connection: AsyncConnection, user_id: str, **values: Any) -> None:
    if "name" in values:
        values["login"] = login_of(values["name"])
    await connection.execute(update(user).where(user.c.id == user_id).values(**values))


async def remove(connection: AsyncConnection, user_id: str) -> None:
    """Delete a user, with its sessions and keys."""
    await connection.execute(delete(user).where(user.c.id == user_id))


async def by_invitation(connection: AsyncConnection, hashed: str, now: float) -> Row | None:
    """The user whom an invitation is for that can still be used."""
    query = select(user).where(user.c.invitation_hash == hashed, user.c.invitation_expires_at > now)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


# --- sessions


async def sessions(connection: AsyncConnection, ask: Ask, now: float, user_id: str | None) -> Paged:
    """The sessions that have not ended: of everybody, or of one user."""
    mine = equal(session, user_id=user_id)
    return await fetch(connection, _SESSIONS, ask, session.c.expires_at > now, *mine)


async def session_by_id(connection: AsyncConnection, session_id: str) -> Row | None:
    query = select(session).where(session.c.id == session_id)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def open_session(
    connection: AsyncConnection,
    token_hash: str,
    user_id: str,
    now: float,
    expires: float,
    *,
    address: str,
    browser: str,
) -> str:
    """Keep a session; answers its id, by which it can be shown: it opens nothing."""
    row = {
        "id": new_id(),
        "hash": token_hash,
        "user_id": user_id,
        "created_at": now,
        "expires_at": expires,
        "last_used_at": now,
        "address": address[:64],
        "browser": browser[:300],
    }
    await connection.execute(insert(session).values(row))
    return str(row["id"])


def _open(now: float) -> Select[Any]:
    """Sessions that have not ended, of users who may log in."""
    return (
        select(
            user,
            session.c.id.label("session_id"),
            session.c.last_used_at.label("session_used_at"),
        )
        .join(session, session.c.user_id == user.c.id)
        .where(session.c.expires_at > now, user.c.disabled_at.is_(None))
    )


async def of_session(connection: AsyncConnection, token_hash: str, now: float) -> Row | None:
    """The user of a session that has not ended."""
    query = _open(now).where(session.c.hash == token_hash)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def has_session(connection: AsyncConnection, session_id: str, now: float) -> bool:
    query = _open(now).where(session.c.id == session_id)
    return (await connection.execute(query)).first() is not None


async def session_used(connection: AsyncConnection, session_id: str, now: float) -> None:
    await connection.execute(
        update(session).where(session.c.id == session_id).values(last_used_at=now)
    )


async def close_session(connection: AsyncConnection, session_id: str) -> None:
    await connection.execute(delete(session).where(session.c.id == session_id))


async def close_sessions(
    connection: AsyncConnection, user_id: str, but: str | None = None
) -> list[str]:
    """End a user's sessions, all or all but one; answers the ids of those that ended."""
    mine = [session.c.user_id == user_id]
    if but is not None:
        mine.append(session.c.id != but)
    ended = list((await connection.execute(select(session.c.id).where(*mine))).scalars())
    await connection.execute(delete(session).where(*mine))
    return ended


async def forget_expired(connection: AsyncConnection, now: float) -> None:
    await connection.execute(delete(session).where(session.c.expires_at <= now))
