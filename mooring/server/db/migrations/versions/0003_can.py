"""CAN buses, the drivers that wire them, and what was mended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "can_driver",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.String(length=2000), nullable=False),
        sa.Column("modules", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("totals", sa.JSON(), nullable=True),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        *_references("can_driver"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_can_driver")),
        sa.UniqueConstraint("agent_id", name=op.f("uq_can_driver_agent_id")),
    )
    op.create_index(op.f("ix_can_driver_network_id"), "can_driver", ["network_id"])
    op.create_table(
        "can_bus",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("device", sa.String(length=253), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("physical", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.Column("rules_wanted", sa.BigInteger(), nullable=False),
        sa.Column("rules_present", sa.BigInteger(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("endpoints", sa.JSON(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("gone_at", sa.Double(), nullable=True),
        *_references("can_bus"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_can_bus")),
        sa.UniqueConstraint("agent_id", "device", name=op.f("uq_can_bus_agent_id_device")),
    )
    op.create_index(op.f("ix_can_bus_gone_at"), "can_bus", ["gone_at"])
    op.create_index(op.f("ix_can_bus_network_id"), "can_bus", ["network_id"])
    op.create_table(
        "can_recovery",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=253), nullable=False),
        sa.Column("subject", sa.String(length=2000), nullable=False),
        *_references("can_recovery"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_can_recovery")),
    )
    op.create_index(op.f("ix_can_recovery_agent_id_at"), "can_recovery", ["agent_id", "at"])
    op.create_index(op.f("ix_can_recovery_network_id"), "can_recovery", ["network_id"])


def _references(table: str) -> tuple[sa.ForeignKeyConstraint, ...]:
    return tuple(
        sa.ForeignKeyConstraint(
            [f"{to}_id"], [f"{to}.id"], name=op.f(f"fk_{table}_{to}_id"), ondelete="CASCADE"
        )
        for to in ("agent", "network")
    )
