"""What scans find, for the server's tests."""

from __future__ import annotations

import ipaddress
from typing import Any

from mooring.model.scan import Depth, Scan, ScannedHost, Sign
from mooring.model.service import Evidence, Means, OpenPort, Protocol, Service

LIGHT = ((22, 22), (80, 80), (443, 443), (5000, 5010))

TITLES = {"ssh": "SSH", "nginx": "nginx", "synology-dsm": "Synology DSM"}


def service(name: str, **more: Any) -> Service:
    values: dict[str, Any] = {"category": "web", "confidence": 0.9, **more}
    seen = (Evidence(Means.BANNER, f"hello from {name}", 0.9),)
    return Service(name, TITLES.get(name, name.title()), evidence=seen, **values)


def port(number: int, *services: Service | str, **more: Any) -> OpenPort:
    found = tuple(service(s) if isinstance(s, str) else s for s in services)
    return OpenPort(more.pop("protocol", Protocol.TCP), number, found, **more)


def seen(ip: str, mac: str | None = None, *ports: OpenPort, **more: Any) -> ScannedHost:
    """A host whose ports were looked at if it has any, or if ``depth`` says so."""
    values: dict[str, Any] = {"depth": Depth.LIGHT if ports else Depth.NONE, **more}
    sign = Sign.ARP if mac else Sign.ICMP
    return ScannedHost(ipaddress.ip_address(ip), (sign,), mac, ports=ports, **values)


def scan(block: str, *hosts: ScannedHost, **more: Any) -> Scan:
    values: dict[str, Any] = {"whole": True, "looked_at": LIGHT, **more}
    subnet = ipaddress.ip_network(values.pop("subnet", block))
    return Scan(ipaddress.ip_network(block), subnet, hosts, **values)
