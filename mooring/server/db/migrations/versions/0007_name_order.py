"""The text by which a host is sorted: of a name that is an address, its numbers in full."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mooring.server.names import name_order

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    column = sa.Column("name_order", sa.String(length=253), nullable=False, server_default="")
    op.add_column("host", column)
    host = sa.table("host", sa.column("id"), sa.column("name"), sa.column("name_order"))
    connection = op.get_bind()
    connection.execute(sa.update(host).values(name_order=host.c.name))
    for host_id, name in connection.execute(sa.select(host.c.id, host.c.name)).all():
        if name_order(name) != name:
            order = sa.update(host).where(host.c.id == host_id).values(name_order=name_order(name))
            connection.execute(order)
