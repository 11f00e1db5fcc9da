"""Remote hosts, their forwards, and what happened to them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from mooring.server.db.tables.columns import gone, metadata, of, order_of, row_id, seen

remote_host = Table(
    "remote_host",
    metadata,
    row_id(),
    of("network", index=True),
    # Whose forwards these are: two programs may forward the same host, each its own way.
    of("agent"),
    Column("address", String(500), nullable=False),
    order_of("address"),
    Column("state", String(32), nullable=False),
    # The last of live, lost, blocked and stopped that it was, and "" before the first of them.
    Column("settled", String(32), nullable=False),
    Column("since", Double, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("consecutive_failures", BigInteger, nullable=False),
    Column("docker", String(2000), nullable=False),
    Column("ping_ms", Double),
    Column("last_drop", JSON(none_as_null=True)),
    Column("detail", String(2000), nullable=False),
    Column("diagnosis", JSON, nullable=False),
    Column("totals", JSON, nullable=False),
    *seen()[1:],
    *gone(),
    UniqueConstraint("agent_id", "address"),
)

forward = Table(
    "forward",
    metadata,
    row_id(),
    of("remote_host"),
    # Where it listens; where it listens nowhere, the port there: what it is known again by.
    Column("place", String(300), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("container", String(253), nullable=False),
    Column("local", String(100), nullable=False),
    Column("remote", String(300), nullable=False),
    # The port of the place, to sort by.
    Column("port", Integer, nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("since", Double, nullable=False),
    Column("connections", BigInteger, nullable=False),
    Column("bytes_in", BigInteger),
    Column("bytes_out", BigInteger),
    Column("detail", String(2000), nullable=False),
    *seen()[1:],
    *gone(),
    UniqueConstraint("remote_host_id", "place", "protocol", "container"),
)

moment = Table(
    "moment",
    metadata,
    row_id(),
    of("remote_host"),
    Column("at", Double, nullable=False),
    Column("what", String(64), nullable=False),
    Column("place", String(100), nullable=False),
    Column("container", String(253), nullable=False),
    Column("detail", String(2000), nullable=False),
    Index(None, "remote_host_id", "at"),
)
