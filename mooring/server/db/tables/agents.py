"""Agents, what they reported last, and the runs that they are asked for."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    false,
)

from mooring.server.db.tables.columns import metadata, of, order_of, row_id, seen

agent = Table(
    "agent",
    metadata,
    row_id(),
    of("network", index=True),
    of("host", null=True, index=True),
    # The id that the agent made for itself, where it keeps its reports.
    Column("outbox", String(64), nullable=False),
    Column("name", String(253), nullable=False),
    order_of("name"),
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
    *seen()[1:],
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
    row_id(),
    of("agent"),
    Column("subject", String(200), nullable=False),
    Column("outbox", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("set_aside", Integer, nullable=False),
    Column("taken_at", Double, nullable=False),
    Column("stored_at", Double, nullable=False, index=True),
    UniqueConstraint("agent_id", "subject", "number"),
)

run = Table(
    "run",
    metadata,
    row_id(),
    of("network", index=True),
    of("agent", index=True),
    Column("kind", String(16), nullable=False, server_default="look"),
    # What a scan shall do: targets and depth; null for a look.
    Column("order", JSON(none_as_null=True)),
    of("schedule", null=True, index=True),
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
    row_id(),
    of("run"),
    Column("at", Double, nullable=False),
    Column("event", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", String(1000), nullable=False),
    Index(None, "run_id", "at"),
)

schedule = Table(
    "schedule",
    metadata,
    row_id(),
    of("network", index=True),
    of("agent", index=True),
    Column("name", String(100), nullable=False),
    order_of("name"),
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
