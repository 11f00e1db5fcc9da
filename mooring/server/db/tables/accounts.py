"""Users, their sessions, and keys."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, String, Table, Text

from mooring.server.db.tables.columns import metadata, of, order_of, row_id

user = Table(
    "user",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False),
    # Lower case: two users may not differ in case alone.
    Column("login", String(100), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    # "" before the invitation was used: no password fits.
    Column("password_hash", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("last_login_at", Double),
    # SHA-256 of what the one-time link holds.
    Column("invitation_hash", String(64)),
    Column("invitation_expires_at", Double),
)

session = Table(
    "session",
    metadata,
    # By which it can be shown; it opens nothing.
    row_id(),
    # SHA-256 of the cookie.
    Column("hash", String(64), nullable=False, unique=True),
    of("user", index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("last_used_at", Double, nullable=False),
    Column("address", String(64), nullable=False),
    Column("browser", String(300), nullable=False),
)

login_try = Table(
    "login_try",
    metadata,
    # A hash of what is counted: see tries.
    Column("what", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("ends_at", Double, nullable=False, index=True),
)

known_place = Table(
    "known_place",
    metadata,
    # From where a user has come in.
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), primary_key=True),
    Column("place", String(64), primary_key=True),
    Column("last_at", Double, nullable=False, index=True),
)

key = Table(
    "key",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False),
    order_of("name"),
    # What a person sees of it; the secret itself is not kept.
    Column("prefix", String(16), nullable=False),
    # SHA-256: the secret has 256 random bits, so a slow hash would protect nothing.
    Column("hash", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("role", String(16), nullable=False),
    Column("network_id", ForeignKey("network.id", ondelete="CASCADE"), index=True),
    # Whose it is; null for an agent's, and for one that a command on the server's machine made.
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
    Column("rotated_at", Double),
    # The hash before the last rotation, and until when that secret still opens.
    Column("old_hash", String(64), index=True),
    Column("old_until", Double),
)

agent_key = Table(
    "agent_key",
    metadata,
    # Which agents a key was made for or used by: while one opens anything its agent stays in the
    # key's network.
    Column("agent_id", ForeignKey("agent.id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", ForeignKey("key.id", ondelete="CASCADE"), primary_key=True, index=True),
)
