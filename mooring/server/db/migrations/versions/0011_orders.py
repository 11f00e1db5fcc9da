"""Names and addresses as they are sorted, beside them: host2 before host10."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mooring.server.names import name_order

revision = "0011"
down_revision = "0010"

_SORTED = (
    ("agent", "name"),
    ("can_bus", "device"),
    ("container", "name"),
    ("host", "name"),
    ("interface", "name"),
    ("key", "name"),
    ("neighbour", "ip"),
    ("network", "name"),
    ("port", "ip"),
    ("remote_host", "address"),
    ("schedule", "name"),
    ("subnet", "cidr"),
)
_SOME = 1000
"""Rows that are read and written at a time."""


def upgrade() -> None:
    # That of hosts had another rule and the order of the database's language.
    op.drop_column("host", "name_order")
    for table, column in _SORTED:
        text = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")
        order: sa.Column[str] = sa.Column(
            f"{column}_order", text, nullable=False, server_default=""
        )
        op.add_column(table, order)
        _fill(table, column)


def _fill(name: str, column: str) -> None:
    connection = op.get_bind()
    table = sa.table(name, sa.column("id"), sa.column(column), sa.column(f"{column}_order"))
    fill = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("row_id"))
        .values({f"{column}_order": sa.bindparam("its_order")})
    )
    rows = connection.execute(sa.select(table.c.id, table.c[column])).all()
    for first in range(0, len(rows), _SOME):
        some = rows[first : first + _SOME]
        filled = [{"row_id": row_id, "its_order": name_order(text)} for row_id, text in some]
        connection.execute(fill, filled)
