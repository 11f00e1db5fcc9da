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

ROLES = ("viewer", "member", "admin", "owner")
SESSION_SECONDS = 30 * 24 * 3600.0
KEY_USE_NOTED_EVERY = 60.0
BUILT_IN = "this machine"
"""The name of the key of the agent that `mooring up` runs beside the server."""


class Denied(Exception):
    """Nobody known; the text says what was wrong with what was shown."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever is behind a request. An agent has no role: it reports, and nothing else."""

    kind: Literal["user", "key", "agent"]
    id: str
    name: str
    role: str | None = None
    network_id: str | None = None
    network_name: str | None = None

    def may(self, role: str) -> bool:
        """Whether the principal has at least this role."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


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


async def open_session(connection: AsyncConnection, user_id: str, now: float) -> str:
    """A new session of a user; answers the secret for the cookie."""
    secret = secrets.token_urlsafe(32)
    await users.open_session(connection, hash_secret(secret), user_id, now, now + SESSION_SECONDS)
    return secret


async def session_principal(connection: AsyncConnection, secret: str, now: float) -> Principal:
    row = await users.of_session(connection, hash_secret(secret), now)
    if row is None:
        raise Denied("the session has ended: log in again")
    return Principal("user", row["id"], row["name"], row["role"])


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
    )
    return secret, row


async def key_principal(
    connection: AsyncConnection, secret: str, now: float
) -> tuple[Principal, bool]:
    """Whose key it is, and whether its use is worth noting. Raises ``Denied``."""
    row = await keys.by_hash(connection, hash_secret(secret))
    if row is None:
        raise Denied(
            "no such key: make one on the server's machine, with `mooring keys create` for a "
            "person or a program, with `mooring keys create --agent` for an agent"
        )
    called = f"the key {row['name']!r} (mooring_{row['prefix']}_…)"
    if row["revoked_at"] is not None:
        raise Denied(f"{called} was revoked: make another with `mooring keys create`")
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise Denied(f"{called} has expired: make another with `mooring keys create`")
    stale = row["last_used_at"] is None or row["last_used_at"] < now - KEY_USE_NOTED_EVERY
    if row["kind"] == "agent":
        principal = Principal(
            "agent", row["id"], row["name"], None, row["network_id"], row["network_name"]
        )
    else:
        principal = Principal("key", row["id"], row["name"], row["role"])
    return principal, stale
