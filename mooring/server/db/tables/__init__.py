"""The tables. Times are seconds since the epoch (UTC); ids are UUIDs of version 7 in text.

What is observed has its ``source`` (machine, containers, scan), ``first_seen``, ``last_seen``, and
``gone_at`` once a snapshot no longer holds it.
"""

from __future__ import annotations

from mooring.server.db.tables.accounts import (
    agent_key,
    key,
    known_place,
    login_try,
    session,
    user,
)
from mooring.server.db.tables.agents import agent, report, run, run_line, schedule, subject
from mooring.server.db.tables.can import can_bus, can_driver, can_recovery
from mooring.server.db.tables.columns import metadata
from mooring.server.db.tables.forwards import forward, moment, remote_host
from mooring.server.db.tables.history import audit, event
from mooring.server.db.tables.hosts import (
    address,
    container,
    host,
    interface,
    neighbour,
    network,
    port,
    route,
    set_aside,
    subnet,
)

__all__ = [
    "address",
    "agent",
    "agent_key",
    "audit",
    "can_bus",
    "can_driver",
    "can_recovery",
    "container",
    "event",
    "forward",
    "host",
    "interface",
    "key",
    "known_place",
    "login_try",
    "metadata",
    "moment",
    "neighbour",
    "network",
    "port",
    "remote_host",
    "report",
    "route",
    "run",
    "run_line",
    "schedule",
    "session",
    "set_aside",
    "subject",
    "subnet",
    "user",
]
