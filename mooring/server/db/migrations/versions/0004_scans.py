"""Ports and services that scans find, what runs are to do and tell, and schedules."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for column in (
        sa.Column("mac", sa.String(length=64), nullable=True),
        sa.Column("vendor", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("round_trip_ms", sa.Double(), nullable=True),
        *_services(),
        sa.Column("depth", sa.String(length=16), nullable=False, server_default="none"),
        sa.Column("ports_at", sa.Double(), nullable=True),
    ):
        op.add_column("host", column)
    op.create_index(op.f("ix_host_mac"), "host", ["mac"])
    op.create_index(op.f("ix_host_service"), "host", ["service"])
    for column in _services():
        op.add_column("container", column)
    op.create_index(op.f("ix_container_service"), "container", ["service"])
    op.add_column("agent", sa.Column("allowed", sa.JSON(), nullable=True))
    op.create_table(
        "port",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("host_id", sa.String(length=36), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tls", sa.Boolean(), nullable=False),
        sa.Column("says", sa.String(length=500), nullable=False),
        *_services(),
        sa.Column("version", sa.String(length=200), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("gone_at", sa.Double(), nullable=True),
        _reference("port", "host"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port")),
        sa.UniqueConstraint(
            "host_id", "ip", "protocol", "number", name=op.f("uq_port_host_id_ip_protocol_number")
        ),
    )
    for name in ("gone_at", "number", "service"):
        op.create_index(op.f(f"ix_port_{name}"), "port", [name])
    op.create_table(
        "schedule",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("order", sa.JSON(), nullable=True),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("skipped", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _reference("schedule", "agent"),
        _reference("schedule", "network"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    for name in ("agent_id", "network_id", "next_at"):
        op.create_index(op.f(f"ix_schedule_{name}"), "schedule", [name])
    with op.batch_alter_table("run") as table:
        # Every run there was until now looked at a machine.
        kind = sa.Column("kind", sa.String(length=16), nullable=False, server_default="look")
        table.add_column(kind)
        table.add_column(sa.Column("order", sa.JSON(), nullable=True))
        table.add_column(sa.Column("schedule_id", sa.String(length=36), nullable=True))
        phases = sa.Column("phases", sa.JSON(), nullable=False, server_default="[]")
        table.add_column(phases)
        blocks = sa.Column("blocks", sa.JSON(), nullable=False, server_default="{}")
        table.add_column(blocks)
        table.add_column(sa.Column("remaining_s", sa.Double(), nullable=True))
        table.create_foreign_key(
            op.f("fk_run_schedule_id"), "schedule", ["schedule_id"], ["id"], ondelete="SET NULL"
        )
        table.create_index(op.f("ix_run_schedule_id"), ["schedule_id"])
    op.create_table(
        "run_line",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        _reference("run_line", "run"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_line")),
    )
    op.create_index(op.f("ix_run_line_run_id_at"), "run_line", ["run_id", "at"])


def _services() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("services", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("service", sa.String(length=100), nullable=False, server_default=""),
        sa.Column("service_title", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("service_category", sa.String(length=64), nullable=False, server_default=""),
    )


def _reference(table: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [f"{to}_id"], [f"{to}.id"], name=op.f(f"fk_{table}_{to}_id"), ondelete="CASCADE"
    )
