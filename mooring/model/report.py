"""A report: a whole, numbered snapshot of one subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mooring.model.can import CanWiring
from mooring.model.container import Engine
from mooring.model.forward import Forwards
from mooring.model.machine import Machine
from mooring.model.scan import Scan

VERSION = 1
"""The version of the wire format that this code writes, and the newest that it reads."""

MAX_BYTES = 16 * 1024 * 1024
"""The largest report that a server takes."""


@dataclass(frozen=True, slots=True)
class RunMark:
    """A report's part in a discovery run; ``final`` on the last report of the run."""

    id: str
    trigger: str
    """``start`` (an agent's first look) or ``request`` (a person or a program asked)."""
    started_at: float
    final: bool = False


@dataclass(frozen=True, slots=True)
class Engines:
    """The container engines of a machine: the body of a containers report."""

    engines: tuple[Engine, ...]


Body: TypeAlias = Machine | Engines | Forwards | CanWiring | Scan
"""What a report says: all that is known of its subject."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One item of a report that could not be stored, and why; it costs nothing else."""

    kind: str
    """interface, address, subnet, route, neighbour, container, network, forward, bus, port, …"""
    item: str
    """The item as it came, shortened."""
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """A snapshot of one subject.

    ``outbox`` names the place on disk that numbers the reports; numbers grow within it.
    A server that has stored (outbox, subject, number) answers its repetition with "seen".
    """

    subject: str
    """``machine``, ``containers``, ``forwards``, ``can`` or ``scan:`` and a block's CIDR."""
    outbox: str
    number: int
    taken_at: float
    """Seconds since the epoch, by the agent's clock."""
    body: Body
    runs: tuple[RunMark, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    """What the agent itself could not make sense of, or the reader of the wire."""
