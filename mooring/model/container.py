"""Containers, their networks, and the engines that run them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mooring.model.net import IpAddress, Subnet
from mooring.model.service import Service


class EngineKind(StrEnum):
    DOCKER = "docker"
    PODMAN = "podman"


class EngineState(StrEnum):
    """How an engine answered, told apart because the remedy differs."""

    ANSWERED = "answered"
    ABSENT = "absent"
    """There is no socket."""
    REFUSED = "refused"
    """The socket is there and nobody listens (the daemon is stopped or dead)."""
    DENIED = "denied"
    """No right to open the socket."""
    TIMED_OUT = "timed_out"
    """It accepted the connection and did not answer before the deadline."""
    BROKEN = "broken"
    """It answered, but not as an engine does."""


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A container's port; ``host_port`` None where it is exposed and not published."""

    protocol: str
    container_port: int
    host_ip: IpAddress | None = None
    host_port: int | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's place in one of its engine's networks."""

    network: str
    ip: IpAddress | None = None
    ip6: IpAddress | None = None
    mac: str | None = None
    endpoint: str | None = None
    """The engine's id of this place; None while the container does not run."""


@dataclass(frozen=True, slots=True)
class Container:
    id: str
    """64 hexadecimal digits."""
    name: str
    """Without the leading slash."""
    image: str
    state: str
    """The engine's own word: created, running, paused, restarting, exited, dead, …"""
    status: str = ""
    """The engine's sentence: ``Up 3 hours (healthy)``."""
    health: str | None = None
    """healthy, unhealthy, starting, or None without a health check."""
    created_at: float | None = None
    """Seconds since the epoch."""
    ports: tuple[PublishedPort, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    compose_project: str | None = None
    compose_service: str | None = None
    services: tuple[Service, ...] = ()
    """What runs in it, by its image and labels; the surest first."""


@dataclass(frozen=True, slots=True)
class EngineNetwork:
    """A network of the engine. ``subnets`` is empty for host, none and unaddressed networks."""

    id: str
    name: str
    driver: str
    subnets: tuple[Subnet, ...] = ()
    bridge: str | None = None
    """The host's bridge interface, for driver bridge."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One container engine, as one look saw it. Empty but for ``detail`` unless it answered."""

    socket: str
    """``unix:///var/run/docker.sock`` or ``tcp://host:port``."""
    state: EngineState
    kind: EngineKind | None = None
    version: str = ""
    detail: str = ""
    """What was attempted, how it failed, and what to do, unless it answered."""
    elapsed_ms: float = 0.0
    containers: tuple[Container, ...] = ()
    networks: tuple[EngineNetwork, ...] = ()
