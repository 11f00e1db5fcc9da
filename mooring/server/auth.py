"""Who may come in, as what: passwords, sessions, keys, roles. Knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from pwdlib import PasswordHash
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db import keys, users
from mooring.server.merge import Row
from mooring.server.roles import at_least, lower

SESSION_SECONDS = 30 * 24 * 3600.0
INVITATION_SECONDS = 7 * 24 * 3600.0
USE_NOTED_EVERY = 60.0
"""Seconds for which it is not noted again that a key or a session is used."""
BUILT_IN = "this machine"
"""The name of the key of the agent that `mooring up` runs beside the server."""


class Denied(Exception):
    """Nobody known; the text says what was wrong with what was shown."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever is behind a request. An agent has no role: it reports, and nothing else."""

    kind: Literal["user", "key", "agent", "console"]
    """``console``: somebody on the server's machine, by a command."""
    id: str
    name: str
    role: str | None = None
    network_id: str | None = None
    network_name: str | None = None
    user_id: str | None = None
    """The user who it is, or whose key it is; none for a key that a command made."""
    owner: str = ""
    """The name of the user whose key it is."""
    session_id: str | None = None
    secret_hash: str = ""
    """Of the key's secret that was shown: a key may have two for a while."""
    address: str = ""
    """Where the request came from."""
    stale: bool = False
    """Whether it is long enough ago that the use of the session or key was noted."""

    def may(self, role: str) -> bool:
        """Whether the principal has at least this role."""
        return at_least(self.role, role)

    @property
    def title(self) -> str:
        """Who it is, for others to read."""
        return f"{self.name} (a key of {self.owner})" if self.owner else self.name


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def same(a: str, b: str) -> bool:
    """Compare secrets in a time that says nothing about where they differ."""
    return hmac.compare_digest(a.encode(), b.encode())


class Passwords:
    """Argon2 hashes, made in two threads: a hash takes 64 MiB and must not stop the loop."""

    def __init__(self) -> None:
        self._hash = PasswordHash.recommended()
        self._threads = ThreadPoolExecutor(2, "passwords")
        self._nobody = self._hash.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hash.hash, password)

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; takes as long when there is no such user."""
        loop = asyncio.get_running_loop()
        fits = await loop.run_in_executor(
            self._threads, self._hash.verify, password, stored or self._nobody
        )
        return fits and stored is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


# --- sessions


async def open_session(
    connection: AsyncConnection, user_id: str, now: float, *, address: str = "", browser: str = ""
) -> tuple[str, str]:
    """A new session of a user; answers the secret for the cookie, and the session's id."""
    secret = secrets.token_urlsafe(32)
    session_id = await users.open_session(
        connection,
        hash_secret(secret),
        user_id,
        now,
        now + SESSION_SECONDS,
        address=address,
        browser=browser,
    )
    return secret, session_id


async def session_principal(connection: AsyncConnection, secret: str, now: float) -> Principal:
    row = await users.of_session(connection, hash_secret(secret), now)
    if row is None:
        raise Denied("the session has ended: log in again")
    return user_principal(
        row, row["session_id"], stale=row["session_used_at"] < now - USE_NOTED_EVERY
    )


def user_principal(row: Row, session_id: str | None = None, *, stale: bool = False) -> Principal:
    return Principal(
        "user",
        row["id"],
        row["name"],
        row["role"],
        user_id=row["id"],
        session_id=session_id,
        stale=stale,
    )


def new_invitation() -> tuple[str, str]:
    """The secret of a one-time link, and its hash, which alone is kept."""
    secret = secrets.token_urlsafe(32)
    return secret, hash_secret(secret)


# --- keys


def new_key() -> tuple[str, str]:
    """A new key and its prefix, the part by which a person knows it again."""
    prefix = secrets.token_hex(4)
    return f"mooring_{prefix}_{secrets.token_urlsafe(32)}", prefix


async def create_key(
    connection: AsyncConnection,
    *,
    name: str,
    kind: str,
    role: str,
    network_id: str | None,
    expires_at: float | None,
    now: float,
    user_id: str | None = None,
) -> tuple[str, Row]:
    """Make a key; answers the key itself, which is not kept, and its row."""
    secret, prefix = new_key()
    row = await keys.create(
        connection,
        name=name,
        prefix=prefix,
        key_hash=hash_secret(secret),
        kind=kind,
        role=role,
        network_id=network_id,
        expires_at=expires_at,
        now=now,
        user_id=user_id,
    )
    return secret, row


async def key_principal(connection: AsyncConnection, secret: str, now: float) -> Principal:
    """Whose key it is. Raises ``Denied``."""
    hashed = hash_secret(secret)
    row = await keys.by_hash(connection, hashed)
    if row is None:
        raise Denied(
            "no such key: make one on the server's machine, with `mooring keys create` for a "
            "person or a program, with `mooring keys create --agent` for an agent"
        )
    called = f"the key {row['name']!r} (mooring_{row['prefix']}_…)"
    another = "make another with `mooring keys create`"
    if row["revoked_at"] is not None:
        raise Denied(f"{called} was revoked: {another}")
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise Denied(f"{called} has expired: {another}")
    if row["hash"] != hashed and not (row["old_until"] or 0) > now:
        raise Denied(f"{called} was rotated, and this is what it was before: use the new one")
    if row["user_disabled_at"] is not None:
        raise Denied(f"{called} is of {row['user_name']}, whose account is disabled")
    stale = row["last_used_at"] is None or row["last_used_at"] < now - USE_NOTED_EVERY
    if row["kind"] == "agent":
        return Principal(
            "agent",
            row["id"],
            row["name"],
            None,
            row["network_id"],
            row["network_name"],
            secret_hash=hashed,
            stale=stale,
        )
    # Who may do less than when the key was made can't do more with it.
    role = lower(row["role"], row["user_role"]) if row["user_id"] else row["role"]
    return Principal(
        "key",
        row["id"],
        row["name"],
        role,
        user_id=row["user_id"],
        owner=row["user_name"] or "",
        secret_hash=hashed,
        stale=stale,
    )


async def note_use(connection: AsyncConnection, who: Principal, now: float) -> None:
    if who.session_id is not None:
        await users.session_used(connection, who.session_id, now)
    else:
        await keys.used(connection, who.id, now)


async def is_welcome(connection: AsyncConnection, who: Principal, now: float) -> bool:
    """Whether somebody who was let in would be let in again."""
    if who.session_id is not None:
        return await users.has_session(connection, who.session_id, now)
    return await keys.is_valid(connection, who.id, who.secret_hash, now)
