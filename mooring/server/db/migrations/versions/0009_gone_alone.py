"""The index of when a row went holds the rows that went, and not the present ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = (
    "address",
    "can_bus",
    "container",
    "forward",
    "interface",
    "neighbour",
    "port",
    "remote_host",
    "route",
    "subnet",
)


def upgrade() -> None:
    those = sa.text("gone_at IS NOT NULL")
    for table in _TABLES:
        name = f"ix_{table}_gone_at"
        op.drop_index(name, table_name=table)
        op.create_index(name, table, ["gone_at"], sqlite_where=those, postgresql_where=those)
