"""Remote hosts, their forwards and what happened to them; the duties of agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Every agent there was until now looks at its machine.
    duties = sa.Column("duties", sa.JSON(), nullable=False, server_default='["discovery"]')
    op.add_column("agent", duties)
    with op.batch_alter_table("set_aside") as table:
        table.alter_column("host_id", existing_type=sa.String(length=36), nullable=True)
    op.create_table(
        "remote_host",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=500), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("settled", sa.String(length=32), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("consecutive_failures", sa.BigInteger(), nullable=False),
        sa.Column("docker", sa.String(length=2000), nullable=False),
        sa.Column("ping_ms", sa.Double(), nullable=True),
        sa.Column("last_drop", sa.JSON(), nullable=True),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.Column("diagnosis", sa.JSON(), nullable=False),
        sa.Column("totals", sa.JSON(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("gone_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agent.id"], name=op.f("fk_remote_host_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["network.id"],
            name=op.f("fk_remote_host_network_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remote_host")),
        sa.UniqueConstraint("agent_id", "address", name=op.f("uq_remote_host_agent_id_address")),
    )
    op.create_index(op.f("ix_remote_host_gone_at"), "remote_host", ["gone_at"])
    op.create_index(op.f("ix_remote_host_network_id"), "remote_host", ["network_id"])
    op.create_table(
        "forward",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("remote_host_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.String(length=300), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("container", sa.String(length=253), nullable=False),
        sa.Column("local", sa.String(length=100), nullable=False),
        sa.Column("remote", sa.String(length=300), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("connections", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=True),
        sa.Column("bytes_out", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("gone_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["remote_host_id"],
            ["remote_host.id"],
            name=op.f("fk_forward_remote_host_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forward")),
        sa.UniqueConstraint(
            "remote_host_id",
            "place",
            "protocol",
            "container",
            name=op.f("uq_forward_remote_host_id_place_protocol_container"),
        ),
    )
    op.create_index(op.f("ix_forward_gone_at"), "forward", ["gone_at"])
    op.create_index(op.f("ix_forward_state"), "forward", ["state"])
    op.create_table(
        "moment",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("remote_host_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=100), nullable=False),
        sa.Column("container", sa.String(length=253), nullable=False),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_host_id"],
            ["remote_host.id"],
            name=op.f("fk_moment_remote_host_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moment")),
    )
    op.create_index(op.f("ix_moment_remote_host_id_at"), "moment", ["remote_host_id", "at"])
