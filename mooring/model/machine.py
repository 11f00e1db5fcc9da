"""A machine, and what one look at it sees."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.model.net import Interface, Neighbour, Route, Subnet


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    name: str
    """As a person says it: ``Debian GNU/Linux 12 (bookworm)``."""
    kernel: str
    """Kernel name and release: ``Linux 6.1.0-18-amd64``."""
    architecture: str
    """``x86_64``, ``aarch64``, ``armv7l``."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that the agent can or can't do here, and why not."""

    name: str
    available: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """All that one look at a machine sees, without Docker: the body of a machine report."""

    identity: str
    """Stable over reboots and different between machines; says nothing about the machine."""
    hostname: str
    os: OperatingSystem
    interfaces: tuple[Interface, ...]
    subnets: tuple[Subnet, ...]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]
    capabilities: tuple[Capability, ...] = ()
