"""Networks, hosts, and what is seen of them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    false,
)

from mooring.server.db.tables.columns import gone, metadata, of, order_of, row_id, seen, services

network = Table(
    "network",
    metadata,
    row_id(),
    Column("name", String(100), nullable=False, unique=True),
    order_of("name"),
    Column("created_at", Double, nullable=False),
)

host = Table(
    "host",
    metadata,
    row_id(),
    of("network", index=True),
    # The name that a person typed; a report never touches it.
    Column("given_name", String(253)),
    # What the host is called in lists: the given name, else its own, else an address.
    Column("name", String(253), nullable=False, index=True),
    order_of("name"),
    Column("hostname", String(253), nullable=False),
    Column("identity", String(128), index=True),
    Column("os", String(500), nullable=False),
    Column("kernel", String(500), nullable=False),
    Column("architecture", String(64), nullable=False),
    # What the link shows of it: the hardware address, and who made that interface.
    Column("mac", String(64), index=True),
    Column("vendor", String(200), nullable=False, server_default=""),
    Column("round_trip_ms", Double),
    # Those of the host and of no port of it.
    *services(),
    # How far a scan ever looked at its ports, and when last.
    Column("depth", String(16), nullable=False, server_default="none"),
    Column("ports_at", Double),
    # Whether it took a connection on every port that the scan asked.
    Column("all_open", Boolean, nullable=False, server_default=false()),
    *seen(),
)

subnet = Table(
    "subnet",
    metadata,
    row_id(),
    of("network"),
    # The host whose own it is, or null for a subnet that hosts share.
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), index=True),
    # The same as a text that is never null, since null is not equal to null in a unique key.
    Column("scope", String(36), nullable=False),
    Column("cidr", String(64), nullable=False),
    order_of("cidr"),
    Column("kind", String(32), nullable=False),
    Column("name", String(500)),
    Column("gateway", String(64)),
    *seen(),
    *gone(),
    UniqueConstraint("network_id", "scope", "cidr"),
)

interface = Table(
    "interface",
    metadata,
    row_id(),
    of("host"),
    Column("name", String(253), nullable=False),
    order_of("name"),
    Column("index", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("mac", String(64), index=True),
    Column("mtu", BigInteger, nullable=False),
    Column("master", String(253)),
    Column("parent", String(253)),
    Column("vlan", Integer),
    *seen(),
    *gone(),
    UniqueConstraint("host_id", "name"),
)

address = Table(
    "address",
    metadata,
    row_id(),
    of("host", index=True),
    of("interface"),
    of("subnet", null=True, index=True),
    Column("ip", String(64), nullable=False, index=True),
    Column("prefix", Integer, nullable=False),
    Column("peer", String(64)),
    *seen(),
    *gone(),
    UniqueConstraint("interface_id", "ip", "prefix"),
)

route = Table(
    "route",
    metadata,
    row_id(),
    of("host"),
    Column("family", Integer, nullable=False),
    # "default" or a CIDR; the next three are "" rather than null, being part of the key.
    Column("destination", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("interface", String(253), nullable=False),
    Column("metric", BigInteger, nullable=False),
    *seen(),
    *gone(),
    UniqueConstraint("host_id", "family", "destination", "gateway", "interface", "metric"),
)

neighbour = Table(
    "neighbour",
    metadata,
    row_id(),
    of("host"),
    Column("interface", String(253), nullable=False),
    Column("ip", String(64), nullable=False, index=True),
    order_of("ip"),
    Column("mac", String(64), index=True),
    Column("state", String(32), nullable=False),
    Column("router", Boolean, nullable=False),
    *seen(),
    *gone(),
    UniqueConstraint("host_id", "interface", "ip"),
)

container = Table(
    "container",
    metadata,
    row_id(),
    of("host"),
    # The engine's socket: one host may run several engines.
    Column("engine", String(500), nullable=False),
    Column("container_id", String(128), nullable=False),
    Column("name", String(500), nullable=False, index=True),
    order_of("name"),
    Column("image", String(1000), nullable=False),
    Column("state", String(64), nullable=False),
    Column("status", String(500), nullable=False),
    Column("health", String(64)),
    Column("compose_project", String(500)),
    Column("compose_service", String(500)),
    Column("ports", JSON, nullable=False),
    Column("attachments", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("created_at", Double),
    *services(),
    *seen(),
    *gone(),
    UniqueConstraint("host_id", "engine", "container_id"),
)

port = Table(
    "port",
    metadata,
    row_id(),
    of("host"),
    # At which of the host's addresses it is open.
    Column("ip", String(64), nullable=False),
    order_of("ip"),
    Column("protocol", String(16), nullable=False),
    Column("number", Integer, nullable=False, index=True),
    Column("tls", Boolean, nullable=False),
    Column("says", String(500), nullable=False),
    *services(),
    Column("version", String(200), nullable=False),
    Column("confidence", Double, nullable=False),
    *seen(),
    *gone(),
    UniqueConstraint("host_id", "ip", "protocol", "number"),
)

set_aside = Table(
    "set_aside",
    metadata,
    row_id(),
    # Null for an agent that has no host: a program that only forwards.
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), index=True),
    of("agent", index=True),
    Column("subject", String(200), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("item", String(2000), nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("at", Double, nullable=False),
)
