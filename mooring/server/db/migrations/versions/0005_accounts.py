"""Users that are invited and disabled, sessions that are shown, keys that rotate; the audit."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("user", sa.Column("disabled_at", sa.Double(), nullable=True))
    op.add_column("user", sa.Column("last_login_at", sa.Double(), nullable=True))
    op.add_column("user", sa.Column("invitation_hash", sa.String(length=64), nullable=True))
    op.add_column("user", sa.Column("invitation_expires_at", sa.Double(), nullable=True))
    op.add_column(
        "agent", sa.Column("awaited", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("agent", sa.Column("given_name", sa.String(length=253), nullable=True))
    _remake_sessions()
    with op.batch_alter_table("key") as table:
        table.add_column(sa.Column("user_id", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("rotated_at", sa.Double(), nullable=True))
        table.add_column(sa.Column("old_hash", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("old_until", sa.Double(), nullable=True))
        table.create_foreign_key(
            op.f("fk_key_user_id"), "user", ["user_id"], ["id"], ondelete="CASCADE"
        )
        table.create_index(op.f("ix_key_user_id"), ["user_id"])
        table.create_index(op.f("ix_key_old_hash"), ["old_hash"])
    op.create_table(
        "agent_key",
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agent.id"], name=op.f("fk_agent_key_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["key.id"], name=op.f("fk_agent_key_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "key_id", name=op.f("pk_agent_key")),
    )
    op.create_index(op.f("ix_agent_key_key_id"), "agent_key", ["key_id"])
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who_kind", sa.String(length=16), nullable=False),
        sa.Column("who_id", sa.String(length=36), nullable=False),
        sa.Column("who_name", sa.String(length=250), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("entity", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    for name in ("at", "entity_id", "user_id"):
        op.create_index(op.f(f"ix_audit_{name}"), "audit", [name])


def _remake_sessions() -> None:
    """The key of the table becomes an id that can be shown; who is logged in stays so."""
    connection = op.get_bind()
    before = connection.execute(sa.text("SELECT * FROM session")).mappings().all()
    op.drop_table("session")
    made = op.create_table(
        "session",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("browser", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("hash", name=op.f("uq_session_hash")),
    )
    for name in ("expires_at", "user_id"):
        op.create_index(op.f(f"ix_session_{name}"), "session", [name])
    op.bulk_insert(
        made,
        [
            {
                **row,
                "id": str(uuid.uuid4()),
                "last_used_at": row["created_at"],
                "address": "",
                "browser": "",
            }
            for row in before
        ],
    )
