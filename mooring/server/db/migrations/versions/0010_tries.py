"""Tries to log in are counted for all server processes at once, and apart where a user is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "login_try",
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_login_try")),
    )
    op.create_index(op.f("ix_login_try_ends_at"), "login_try", ["ends_at"])
    op.create_table(
        "known_place",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_known_place_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "place", name=op.f("pk_known_place")),
    )
    op.create_index(op.f("ix_known_place_last_at"), "known_place", ["last_at"])
