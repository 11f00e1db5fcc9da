"""CAN buses, their drivers, and what was mended."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    String,
    Table,
    UniqueConstraint,
)

from mooring.server.db.tables.columns import gone, metadata, of, order_of, row_id, seen

can_driver = Table(
    "can_driver",
    metadata,
    row_id(),
    of("network", index=True),
    Column("agent_id", ForeignKey("agent.id", ondelete="CASCADE"), nullable=False, unique=True),
    # The machine's: its host may be known by another agent's report, or later.
    Column("identity", String(128)),
    # "" while it does not answer.
    Column("version", String(2000), nullable=False),
    Column("modules", JSON, nullable=False),
    # What is found to be wrong with no bus in particular.
    Column("findings", JSON, nullable=False),
    Column("totals", JSON(none_as_null=True)),
    *seen()[1:],
)

can_bus = Table(
    "can_bus",
    metadata,
    row_id(),
    of("network", index=True),
    of("agent"),
    Column("device", String(253), nullable=False),
    order_of("device"),
    # The ids of Docker's networks.
    Column("networks", JSON, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("up", Boolean, nullable=False),
    Column("physical", Boolean, nullable=False),
    Column("state", String(64), nullable=False),
    Column("condition", String(16), nullable=False),
    Column("rules_wanted", BigInteger, nullable=False),
    Column("rules_present", BigInteger, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("endpoints", JSON, nullable=False),
    # Of all endpoints that the bus ever had: these grow only.
    Column("received", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    *seen()[1:],
    *gone(),
    UniqueConstraint("agent_id", "device"),
)

can_recovery = Table(
    "can_recovery",
    metadata,
    row_id(),
    of("network", index=True),
    of("agent"),
    Column("at", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("device", String(253), nullable=False),
    Column("subject", String(2000), nullable=False),
    Index(None, "agent_id", "at"),
)
