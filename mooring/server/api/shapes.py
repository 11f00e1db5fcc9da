"""What the API answers and takes, as pydantic models; OpenAPI and the page's types come from here.

Times are RFC 3339 in UTC. Ids are UUIDs in text. Addresses are text in their canonical form.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, field_validator

from mooring.core.targets import target_of
from mooring.model.scan import MAX_ALLOWED
from mooring.server.api.base import Asked, Moment, Name, Seconds, Shape, Whole
from mooring.server.api.scan_shapes import Order, RunKind, RunSaid, Service, ServiceName

Item = TypeVar("Item")

RunState = Literal["pending", "starting", "running", "complete", "failed", "cancelled"]
Duty = Literal["discovery", "scan", "forward", "can"]
AgentState = Literal["online", "offline", "awaited"]
"""``awaited``: made ready by somebody, and not heard of yet."""


class Page(BaseModel, Generic[Item]):
    """One page of a list; ``next`` is the cursor of the page after it, null on the last."""

    items: list[Item]
    next: str | None
    total: int


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[dict[str, Any]] | None = None
    """For a request that does not fit: one entry per fault, with ``where`` and ``what``."""


class Health(BaseModel):
    status: Literal["ok", "failing"]
    version: str
    database: Literal["ok", "failing"]


class Network(Shape):
    """A site: hosts and subnets that can be one another's neighbours."""

    id: str
    name: str
    created_at: datetime
    host_count: int
    subnet_count: int
    agent_count: int
    key_count: int
    """Agents' keys that open it."""


class NetworkDraft(Asked):
    name: Name


class Subnet(Shape):
    id: str
    network_id: str
    cidr: str
    kind: str
    name: str | None
    gateway: str | None
    host_id: str | None
    """The host whose own it is; null for a subnet that hosts share."""
    host_name: str | None
    host_count: int
    source: str
    first_seen: datetime
    last_seen: datetime


class Host(Shape):
    id: str
    network_id: str
    name: str
    """The name that a person gave it, else its host name."""
    named: bool
    """Whether a person gave it its name."""
    hostname: str
    os: str
    kernel: str
    architecture: str
    mac: str | None
    """The hardware address by which others see it."""
    vendor: str
    """Who made that interface."""
    round_trip_ms: float | None
    kind: str
    """What sort of thing it is, as its services say: a category of the catalogue, or empty."""
    services: list[ServiceName]
    """Up to twenty: its own, and those at its ports."""
    port_count: int
    depth: str
    """How far a scan has ever looked at its ports: none, light or full."""
    ports_at: datetime | None
    all_open: bool
    """Whether it took a connection on every port that a scan asked: what answers there is not
    asked, and only the first of them are kept."""
    agent_id: str | None
    addresses: list[str]
    """Up to eight, those that other hosts can reach first."""
    subnet_ids: list[str]
    interface_count: int
    container_count: int
    set_aside_count: int
    source: str
    first_seen: datetime
    last_seen: datetime


class HostChange(Asked):
    name: str | None = Field(max_length=253)
    """Null gives the host its own name back."""


class InterfaceAddress(Shape):
    ip: str
    prefix: int
    subnet_id: str | None
    first_seen: datetime
    last_seen: datetime


class Interface(Shape):
    id: str
    host_id: str
    name: str
    kind: str
    state: str
    mac: str | None
    mtu: int
    master: str | None
    parent: str | None
    vlan: int | None
    addresses: list[InterfaceAddress]
    source: str
    first_seen: datetime
    last_seen: datetime


class Route(Shape):
    id: str
    host_id: str
    family: int
    destination: str
    """``default`` or a CIDR."""
    gateway: str | None
    interface: str | None
    metric: int


class Neighbour(Shape):
    id: str
    host_id: str
    ip: str
    mac: str | None
    interface: str
    state: str
    router: bool
    first_seen: datetime
    last_seen: datetime


class PublishedPort(Shape):
    protocol: str
    container_port: int
    host_ip: str | None
    host_port: int | None


class Attachment(Shape):
    network: str
    ip: str | None
    ip6: str | None
    mac: str | None
    endpoint: str | None = None
    """The engine's id of this place."""


class Container(Shape):
    id: str
    network_id: str
    host_id: str
    host_name: str
    engine: str
    container_id: str
    name: str
    image: str
    state: str
    status: str
    health: str | None
    compose_project: str | None
    compose_service: str | None
    ports: list[PublishedPort]
    attachments: list[Attachment]
    labels: dict[str, str]
    services: list[Service]
    """What runs in it, by its image and labels; the surest first."""
    created_at: datetime | None
    source: str
    first_seen: datetime
    last_seen: datetime


class SetAside(Shape):
    """An item of a report that could not be stored, and why."""

    id: str
    host_id: str | None
    """Null for what an agent without a host reported."""
    agent_id: str
    subject: str
    kind: str
    item: str
    reason: str
    at: datetime


class Capability(Shape):
    name: str
    available: bool
    detail: str


class Engine(Shape):
    socket: str
    state: str
    kind: str | None
    version: str
    detail: str
    elapsed_ms: float


class Agent(Shape):
    id: str
    network_id: str
    name: str
    named: bool
    """Whether a person gave it its name."""
    host_id: str | None
    state: AgentState
    key_count: int
    """Its keys that open anything: with one it stays in its network."""
    version: str
    duties: list[Duty]
    """What it does: only one with ``discovery`` can be asked to look."""
    capabilities: list[Capability]
    engines: list[Engine]
    first_seen: datetime
    last_seen: datetime


class RunPhase(Shape):
    name: str
    done: int
    total: int | None


class Run(Shape):
    id: str
    network_id: str
    agent_id: str
    agent_name: str
    kind: RunKind
    order: Order | None
    """What a scan is to do; null for a look."""
    schedule_id: str | None
    schedule_name: str | None
    trigger: str
    state: RunState
    phase: str | None
    done: int
    total: int | None
    """What ``done`` runs up to in this phase, when that is known."""
    phases: list[RunPhase]
    """Those that it has been in, the present one last."""
    reason: str | None
    """Why it failed or was cancelled."""
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_s: float | None
    remaining_s: float | None
    """The agent's own estimate, else one from its earlier runs; null when there is nothing to go
    by."""
    summary: dict[str, int]
    """How many of what the run stored: interfaces, subnets, containers, set_aside, …"""


class Report(Shape):
    id: str
    agent_id: str
    subject: str
    outbox: str
    number: int
    bytes: int
    set_aside: int
    taken_at: datetime
    stored_at: datetime


class ReportAnswer(Shape):
    result: Literal["stored", "seen"]
    set_aside: int = 0


class Event(Shape):
    id: str
    at: datetime
    entity: str
    operation: str
    entity_id: str
    network_id: str | None
    title: str
    """The name of the thing at that moment."""


class MapSubnet(Shape):
    id: str
    label: str
    kind: str
    host_id: str | None


class MapHost(Shape):
    id: str
    label: str
    kind: str
    """As a host's: a category of the catalogue, or empty."""
    agent: bool
    subnet_ids: list[str]


class Map(Shape):
    """The L3 picture of a network: which host has an address in which subnet."""

    subnets: list[MapSubnet]
    hosts: list[MapHost]
    total_hosts: int
    """More than ``hosts`` holds when the picture had to be cut."""


class AgentPoll(Asked):
    """An agent says that it is there and asks for work."""

    outbox: str = Field(min_length=1, max_length=64)
    version: str = Field(max_length=50)
    name: str = Field(min_length=1, max_length=253)
    duties: list[Duty] = Field(default=["discovery"], max_length=10)
    active_runs: list[str] = Field(default=[], max_length=1000)
    """Runs that it works on, or whose reports it has yet to deliver."""
    wait_s: float = Field(default=0, ge=0, le=30)
    """How long the server may wait for work before it answers; well below the 40 s without a poll
    after which an agent counts as offline."""
    leaving: bool = False
    """The agent is ending, and is offline from now on."""
    allowed: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, max_length=MAX_ALLOWED
    )
    """The networks that it may scan, those that it is attached to among them; null when it does
    not say."""

    @field_validator("allowed")
    @classmethod
    def _networks(cls, value: list[str] | None) -> list[str] | None:
        return value and [str(target_of(text)) for text in value]


class AgentWork(Shape):
    runs: list[str]
    """Runs that someone asked of this agent."""
    cancelled: list[str]
    """Of the agent's active runs, those to stop."""
    orders: dict[str, Order]
    """What those of the runs are to do that are scans."""


class RunProgress(Asked):
    outbox: str = Field(min_length=1, max_length=64)
    state: Literal["starting", "running", "failed"]
    phase: str | None = Field(default=None, max_length=50)
    done: Whole = 0
    total: Whole | None = None
    remaining_s: Seconds | None = None
    """What the agent expects the whole run to need from here."""
    lines: list[RunSaid] = Field(default=[], max_length=50)
    """What there is to tell of the run since the word before."""
    reason: str | None = Field(default=None, max_length=1000)
    trigger: str = Field(default="start", max_length=20)
    started_at: Moment | None = None
