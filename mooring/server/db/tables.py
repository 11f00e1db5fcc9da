"""The tables. Times are seconds since the epoch (UTC); ids are UUIDs of version 7 in text.

What is observed has its ``source`` (machine, containers, scan), ``first_seen``, ``last_seen``, and
``gone_at`` once a snapshot no longer holds it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from mooring.server.merge import name_order

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def _of(table: str, *, null: bool = False, index: bool = False) -> Column[str]:
    """A reference to a row of ``table``, deleted with it."""
    return Column(
        f"{table}_id",
        String(36),
        ForeignKey(f"{table}.id", ondelete="SET NULL" if null else "CASCADE"),
        nullable=null,
        index=index,
    )


def _seen() -> tuple[Column[str], Column[float], Column[float]]:
    return (
        Column("source", String(64), nullable=False),
        Column("first_seen", Double, nullable=False),
        Column("last_seen", Double, nullable=False),
    )


def _gone() -> Column[float]:
    return Column("gone_at", Double, index=True)


def _services() -> tuple[Column[Any], ...]:
    """Services with their evidence, the surest first; and what that one is, to ask for."""
    return (
        Column("services", JSON, nullable=False, server_default="[]"),
        Column("service", String(100), nullable=False, server_default="", index=True),
        Column("service_title", String(200), nullable=False, server_default=""),
        Column("service_category", String(64), nullable=False, server_default=""),
    )


def _name_order(row: Any) -> str:
    return name_order(row.get_current_parameters()["name"])


network = Table(
    "network",
    metadata,
    _id(),
    Column("name", String(100), nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
)

host = Table(
    "host",
    metadata,
    _id(),
    _of("network", index=True),
    # The name that a person typed; a report never touches it.
    Column("given_name", String(253)),
    # What the host is called in lists: the given name, else its own, else an address.
    Column("name", String(253), nullable=False, index=True),
    # The name as it is sorted; whoever changes the name changes this.
    Column("name_order", String(253), nullable=False, server_default="", default=_name_order),
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
    *_services(),
    # How far a scan ever looked at its ports, and when last.
    Column("depth", String(16), nullable=False, server_default="none"),
    Column("ports_at", Double),
    # Whether it took a connection on every port that the scan asked.
    Column("all_open", Boolean, nullable=False, server_default=false()),
    *_seen(),
)

subnet = Table(
    "subnet",
    metadata,
    _id(),
    _of("network"),
    # The host whose own it is, or null for a subnet that hosts share.
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), index=True),
    # The same as a text that is never null, since null is not equal to null in a unique key.
    Column("scope", String(36), nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(500)),
    Column("gateway", String(64)),
    *_seen(),
    _gone(),
    UniqueConstraint("network_id", "scope", "cidr"),
)
interface = Table(
    "interface",
    metadata,
    _id(),
    _of("host"),
    Column("name", String(253), nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("mac", String(64), index=True),
    Column("mtu", BigInteger, nullable=False),
    Column("master", String(253)),
    Column("parent", String(253)),
    Column("vlan", Integer),
    *_seen(),
    _gone(),
    UniqueConstraint("host_id", "name"),
)

address = Table(
    "address",
    metadata,
    _id(),
    _of("host", index=True),
    _of("interface"),
    _of("subnet", null=True, index=True),
    Column("ip", String(64), nullable=False, index=True),
    Column("prefix", Integer, nullable=False),
    Column("peer", String(64)),
    *_seen(),
    _gone(),
    UniqueConstraint("interface_id", "ip", "prefix"),
)

route = Table(
    "route",
    metadata,
    _id(),
    _of("host"),
    Column("family", Integer, nullable=False),
    # "default" or a CIDR; the next three are "" rather than null, being part of the key.
    Column("destination", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("interface", String(253), nullable=False),
    Column("metric", BigInteger, nullable=False),
    *_seen(),
    _gone(),
    UniqueConstraint("host_id", "family", "destination", "gateway", "interface", "metric"),
)

neighbour = Table(
    "neighbour",
    metadata,
    _id(),
    _of("host"),
    Column("interface", String(253), nullable=False),
    Column("ip", String(64), nullable=False, index=True),
    Column("mac", String(64), index=True),
    Column("state", String(32), nullable=False),
    Column("router", Boolean, nullable=False),
    *_seen(),
    _gone(),
    UniqueConstraint("host_id", "interface", "ip"),
)

container = Table(
    "container",
    metadata,
    _id(),
    _of("host"),
    # The engine's socket: one host may run several engines.
    Column("engine", String(500), nullable=False),
    Column("container_id", String(128), nullable=False),
    Column("name", String(500), nullable=False, index=True),
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
    *_services(),
    *_seen(),
    _gone(),
    UniqueConstraint("host_id", "engine", "container_id"),
)

port = Table(
    "port",
    metadata,
    _id(),
    _of("host"),
    # At which of the host's addresses it is open.
    Column("ip", String(64), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("number", Integer, nullable=False, index=True),
    Column("tls", Boolean, nullable=False),
    Column("says", String(500), nullable=False),
    *_services(),
    Column("version", String(200), nullable=False),
    Column("confidence", Double, nullable=False),
    *_seen(),
    _gone(),
    UniqueConstraint("host_id", "ip", "protocol", "number"),
)

set_aside = Table(
    "set_aside",
    metadata,
    _id(),
    # Null for an agent that has no host: a program that only forwards.
    Column("host_id", ForeignKey("host.id", ondelete="CASCADE"), index=True),
    _of("agent", index=True),
    Column("subject", String(200), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("item", String(2000), nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("at", Double, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    _id(),
    _of("network", index=True),
    _of("host", null=True, index=True),
    # The id that the agent made for itself, where it keeps its reports.
    Column("outbox", String(64), nullable=False),
    Column("name", String(253), nullable=False),
    Column("version", String(50), nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("engines", JSON, nullable=False),
    Column("duties", JSON, nullable=False),
    # The networks that it may scan, as far as it said so.
    Column("allowed", JSON(none_as_null=True)),
    # Set when it polls and unset when it leaves or falls silent.
    Column("online", Boolean, nullable=False),
    # Whether somebody made it ready for a machine that has yet to be heard of; its outbox is made
    # up until then.
    Column("awaited", Boolean, nullable=False, server_default=false()),
    # The name that a person typed; what it calls itself never touches it.
    Column("given_name", String(253)),
    *_seen()[1:],
    UniqueConstraint("network_id", "outbox"),
)

subject = Table(
    "subject",
    metadata,
    Column("agent_id", ForeignKey("agent.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("taken_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False),
)

report = Table(
    "report",
    metadata,
    _id(),
    _of("agent"),
    Column("subject", String(200), nullable=False),
    Column("outbox", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("set_aside", Integer, nullable=False),
    Column("taken_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False, index=True),
    UniqueConstraint("agent_id", "subject", "number"),
)

remote_host = Table(
    "remote_host",
    metadata,
    _id(),
    _of("network", index=True),
    # Whose forwards these are: two programs may forward the same host, each its own way.
    _of("agent"),
    Column("address", String(500), nullable=False),
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
    *_seen()[1:],
    _gone(),
    UniqueConstraint("agent_id", "address"),
)

forward = Table(
    "forward",
    metadata,
    _id(),
    _of("remote_host"),
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
    *_seen()[1:],
    _gone(),
    UniqueConstraint("remote_host_id", "place", "protocol", "container"),
)

moment = Table(
    "moment",
    metadata,
    _id(),
    _of("remote_host"),
    Column("at", Double, nullable=False),
    Column("what", String(64), nullable=False),
    Column("place", String(100), nullable=False),
    Column("container", String(253), nullable=False),
    Column("detail", String(2000), nullable=False),
    Index(None, "remote_host_id", "at"),
)

can_driver = Table(
    "can_driver",
    metadata,
    _id(),
    _of("network", index=True),
    Column("agent_id", ForeignKey("agent.id", ondelete="CASCADE"), nullable=False, unique=True),
    # The machine's: its host may be known by another agent's report, or later.
    Column("identity", String(128)),
    # "" while it does not answer.
    Column("version", String(2000), nullable=False),
    Column("modules", JSON, nullable=False),
    # What is found to be wrong with no bus in particular.
    Column("findings", JSON, nullable=False),
    Column("totals", JSON(none_as_null=True)),
    *_seen()[1:],
)

can_bus = Table(
    "can_bus",
    metadata,
    _id(),
    _of("network", index=True),
    _of("agent"),
    Column("device", String(253), nullable=False),
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
    *_seen()[1:],
    _gone(),
    UniqueConstraint("agent_id", "device"),
)

can_recovery = Table(
    "can_recovery",
    metadata,
    _id(),
    _of("network", index=True),
    _of("agent"),
    Column("at", Double, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("device", String(253), nullable=False),
    Column("subject", String(2000), nullable=False),
    Index(None, "agent_id", "at"),
)

run = Table(
    "run",
    metadata,
    _id(),
    _of("network", index=True),
    _of("agent", index=True),
    Column("kind", String(16), nullable=False, server_default="look"),
    # What a scan shall do: targets and depth; null for a look.
    Column("order", JSON(none_as_null=True)),
    _of("schedule", null=True, index=True),
    Column("trigger", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("phase", String(50)),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    # Those that it has been in, in their order, each with how far it came.
    Column("phases", JSON, nullable=False, server_default="[]"),
    # What the agent expects to need from here.
    Column("remaining_s", Double),
    Column("reason", String(1000)),
    Column("requested_at", Double, nullable=False, index=True),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("summary", JSON, nullable=False),
    # Of a scan: what each block held when it was told last. A block is told again and again.
    Column("blocks", JSON, nullable=False, server_default="{}"),
)

run_line = Table(
    "run_line",
    metadata,
    _id(),
    _of("run"),
    Column("at", Double, nullable=False),
    Column("event", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", String(1000), nullable=False),
    Index(None, "run_id", "at"),
)

schedule = Table(
    "schedule",
    metadata,
    _id(),
    _of("network", index=True),
    _of("agent", index=True),
    Column("name", String(100), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("order", JSON(none_as_null=True)),
    # Five fields, and the time zone that they are read in.
    Column("cron", String(200), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("enabled", Boolean, nullable=False),
    # Null while it is not enabled.
    Column("next_at", Double, index=True),
    # Why it did not begin a run when it was last due; "" if it did.
    Column("skipped", String(1000), nullable=False),
    Column("created_at", Double, nullable=False),
)

event = Table(
    "event",
    metadata,
    _id(),
    # No reference: the timeline outlives what it tells of.
    Column("network_id", String(36), index=True),
    Column("at", Double, nullable=False, index=True),
    Column("entity", String(32), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("title", String(500), nullable=False),
)

user = Table(
    "user",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    # Lower case: two users may not differ in case alone.
    Column("login", String(100), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    # "" before the invitation was used: no password fits.
    Column("password_hash", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("last_login_at", Double),
    # SHA-256 of what the one-time link holds.
    Column("invitation_hash", String(64)),
    Column("invitation_expires_at", Double),
)

session = Table(
    "session",
    metadata,
    # By which it can be shown; it opens nothing.
    _id(),
    # SHA-256 of the cookie.
    Column("hash", String(64), nullable=False, unique=True),
    _of("user", index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("last_used_at", Double, nullable=False),
    Column("address", String(64), nullable=False),
    Column("browser", String(300), nullable=False),
)

key = Table(
    "key",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    # What a person sees of it; the secret itself is not kept.
    Column("prefix", String(16), nullable=False),
    # SHA-256: the secret has 256 random bits, so a slow hash would protect nothing.
    Column("hash", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("role", String(16), nullable=False),
    Column("network_id", ForeignKey("network.id", ondelete="CASCADE"), index=True),
    # Whose it is; null for an agent's, and for one that a command on the server's machine made.
    Column("user_id", ForeignKey("user.id", ondelete="CASCADE"), index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
    Column("rotated_at", Double),
    # The hash before the last rotation, and until when that secret still opens.
    Column("old_hash", String(64), index=True),
    Column("old_until", Double),
)

agent_key = Table(
    "agent_key",
    metadata,
    # Which agents a key was made for or used by: while one opens anything its agent stays in the
    # key's network.
    Column("agent_id", ForeignKey("agent.id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", ForeignKey("key.id", ondelete="CASCADE"), primary_key=True, index=True),
)

audit = Table(
    "audit",
    metadata,
    _id(),
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
