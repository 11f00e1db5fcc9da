"""What is answered of scans: services, ports, what a run is to do, schedules, what a search finds.

And what is asked of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mooring.model.scan import MAX_TARGETS
from mooring.server.api.base import Asked, Moment, Name, Shape

RunKind = Literal["look", "scan"]
DepthName = Literal["none", "light", "full"]


class Evidence(Shape):
    means: str
    seen: str
    confidence: float


class Service(Shape):
    """A service of the catalogue, with what speaks for it."""

    name: str
    title: str
    category: str
    version: str
    confidence: float
    evidence: list[Evidence]


class ServiceName(Shape):
    name: str
    title: str
    category: str


class ServiceCount(ServiceName):
    """A service, and where it is: on so many hosts, at so many ports, in so many containers."""

    id: str
    """Its name."""
    host_count: int
    port_count: int
    container_count: int


class Port(Shape):
    id: str
    network_id: str
    host_id: str
    host_name: str
    ip: str
    """At which of the host's addresses it is open."""
    protocol: str
    number: int
    tls: bool
    says: str
    services: list[Service]
    """The surest first."""
    service: str | None
    """The surest one's name, title and category; null for what nobody knows."""
    title: str | None
    category: str | None
    version: str
    confidence: float | None
    container_id: str | None
    """The container that it leads to."""
    container_name: str | None
    source: str
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None


class Order(Shape):
    """What a scan is to do. Without targets: the networks that the agent's machine is in."""

    targets: list[str]
    depth: DepthName


Target = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
Targets = Annotated[tuple[Target, ...], Field(max_length=MAX_TARGETS)]


class RunRequest(Asked):
    """A look at the agent's own machine, or a scan of networks: CIDRs or addresses."""

    agent_id: str = Field(max_length=36)
    kind: RunKind = "look"
    targets: Targets = ()
    host_id: str | None = Field(default=None, max_length=36)
    """Scan this host again: in place of targets."""
    depth: DepthName = "light"


class RunSaid(Asked):
    """A line of a run's story."""

    at: Moment
    event: str = Field(min_length=1, max_length=64)
    text: str = Field(max_length=1000)
    level: Literal["debug", "info", "warning", "error"] = "info"


class RunLine(Shape):
    """A line of a run's story, as its agent told it."""

    id: str
    at: datetime
    event: str
    level: str
    text: str


Cron = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Zone = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class Schedule(Shape):
    id: str
    network_id: str
    agent_id: str
    agent_name: str
    name: str
    kind: RunKind
    order: Order | None
    cron: str
    timezone: str
    words: str
    """The cron line as a person would say it."""
    enabled: bool
    next: list[datetime]
    """The next times that it is due; none while it is not enabled."""
    skipped: str
    """Why it began no run when it was last due; empty if it did."""
    last_run_id: str | None
    last_run_at: datetime | None
    created_at: datetime


class ScheduleDraft(Asked):
    name: Name
    agent_id: str = Field(max_length=36)
    kind: RunKind = "scan"
    targets: Targets = ()
    depth: DepthName = "light"
    cron: Cron
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: Zone = "UTC"
    """Such as ``Europe/Berlin``."""
    enabled: bool = True


class ScheduleChange(Asked):
    """What is not there stays as it is."""

    name: Name | None = None
    agent_id: str | None = Field(default=None, max_length=36)
    kind: RunKind | None = None
    targets: Targets | None = None
    depth: DepthName | None = None
    cron: Cron | None = None
    timezone: Zone | None = None
    enabled: bool | None = None


class CronLine(Asked):
    cron: Cron
    timezone: Zone = "UTC"


class ScheduleReading(Shape):
    words: str
    next: list[datetime]


FoundKind = Literal["port", "host", "service", "container", "subnet", "schedule", "agent"]


class Found(Shape):
    kind: FoundKind
    id: str
    title: str
    detail: str
    host_id: str | None
    """The host that it is on, or is."""


class Findings(Shape):
    items: list[Found]
    """Those of a kind together."""
    totals: dict[FoundKind, int]
    """How many there are of each kind, of which ``items`` holds the first."""


class MapWorkload(Shape):
    """A service or a container of a host, for the map."""

    id: str
    host_id: str
    kind: Literal["service", "container"]
    label: str
    service: str
    category: str
    container_id: str | None
    ports: list[int]


class MapWorkloads(Shape):
    workloads: list[MapWorkload]
    total: int
    """More than ``workloads`` holds when the picture had to be cut."""
