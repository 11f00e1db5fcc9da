"""What changed, and who did it. No references: both outlive what they tell of."""

from __future__ import annotations

from sqlalchemy import Column, Double, String, Table

from mooring.server.db.tables.columns import metadata, row_id

event = Table(
    "event",
    metadata,
    row_id(),
    # No reference: the timeline outlives what it tells of.
    Column("network_id", String(36), index=True),
    Column("at", Double, nullable=False, index=True),
    Column("entity", String(32), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("title", String(500), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    row_id(),
    Column("at", Double, nullable=False, index=True),
    # No references: the audit outlives whom and what it tells of.
    Column("who_kind", String(16), nullable=False),
    Column("who_id", String(36), nullable=False),
    Column("who_name", String(250), nullable=False),
    Column("user_id", String(36), index=True),
    Column("action", String(32), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("entity_id", String(36), nullable=False, index=True),
    Column("network_id", String(36)),
    Column("title", String(500), nullable=False),
    Column("detail", String(2000), nullable=False),
    Column("address", String(64), nullable=False),
)
