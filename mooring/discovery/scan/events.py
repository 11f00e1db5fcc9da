"""Pure. What a scan tells as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mooring.model.net import IpAddress, IpNetwork
from mooring.model.scan import Sign

Phase: TypeAlias = Literal["hosts", "ports"]


@dataclass(frozen=True, slots=True)
class Found:
    """A host that answered."""

    ip: IpAddress
    signs: tuple[Sign, ...]
    """By what it is known to be there, in the order of ``Sign``."""
    mac: str | None = None
    round_trip_ms: float | None = None
    names: tuple[str, ...] = ()
    """By mDNS, the likeliest first."""
    mdns: tuple[str, ...] = ()
    """The service types that it tells by mDNS: ``_ipp._tcp``."""


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    phase: Phase
    total: int
    """How much there is to do: addresses, then ports of all hosts together."""


@dataclass(frozen=True, slots=True)
class Advanced:
    done: int
    """Of the phase's total."""
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class HostFound:
    host: Found


@dataclass(frozen=True, slots=True)
class BlockAsked:
    """All of a block was asked, in a way that whoever is there is heard: the others are not there.

    Not told of a block where that is not sure.
    """

    cidr: IpNetwork


@dataclass(frozen=True, slots=True)
class PortsFound:
    ip: IpAddress
    ports: tuple[int, ...]
    """Those that are new."""


@dataclass(frozen=True, slots=True)
class HostDone:
    """All ports of a host were looked at, or as many as there was a sense in looking at."""

    ip: IpAddress
    ports: tuple[int, ...]
    """All that are open, in order."""
    all_open: bool = False
    """It takes connections on every port that was asked: ``ports`` are the first of them only."""
    sure: bool = True
    """All questions went out: a port that is not among ``ports`` is not open."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the scan could not do, or that makes its result less sure."""

    what: str
    why: str
    remedy: str = ""


Event: TypeAlias = PhaseBegan | Advanced | HostFound | BlockAsked | PortsFound | HostDone | Warned
