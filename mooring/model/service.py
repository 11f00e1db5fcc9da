"""What answers on a port: services, and why we think so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_SEEN = 200
"""Characters that are kept of what was seen."""
MAX_EVIDENCE = 20
"""Of one service."""
MAX_SERVICES = 20
"""Of one port, host or container."""


class Protocol(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class Means(StrEnum):
    """By what a service is known."""

    PORT = "port"
    BANNER = "banner"
    """What a service says first, or answers to a question in its own protocol."""
    HTTP_STATUS = "http_status"
    HTTP_TITLE = "http_title"
    HTTP_HEADER = "http_header"
    HTTP_BODY = "http_body"
    FAVICON = "favicon"
    TLS = "tls"
    """A certificate's names."""
    SSH = "ssh"
    MDNS = "mdns"
    MAC_VENDOR = "mac_vendor"
    IMAGE = "image"
    """A container's image."""
    LABEL = "label"
    """A container's label."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen and speaks for a service."""

    means: Means
    seen: str
    """What was seen, at most 200 characters: ``server: nginx/1.22.1``."""
    confidence: float
    """0 to 1: how sure this alone makes it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the catalogue, found somewhere."""

    name: str
    """Its id in the catalogue: ``home-assistant``."""
    title: str
    """As a person says it: ``Home Assistant``."""
    category: str
    """``web``, ``database``, ``media``, …: one of the catalogue's."""
    version: str = ""
    confidence: float = 0.0
    """0 to 1, of all evidence together."""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A port that takes connections, or answers. ``services`` is empty for what nobody knows."""

    protocol: Protocol
    number: int
    services: tuple[Service, ...] = ()
    """The surest first. A reverse proxy and what it shows may both be there."""
    tls: bool = False
    says: str = ""
    """What it showed of itself, for a person to read, at most 200 characters."""
    asked: bool = False
    """It was asked what it is, to the end: what it does not show it is not any more."""

    @property
    def place(self) -> str:
        """``443/tcp``"""
        return f"{self.number}/{self.protocol}"
