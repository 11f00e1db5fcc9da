"""What is really so: the kernel's listeners and an engine's published ports; never a status."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from tests.lab.engine import Dockerd

Port: TypeAlias = tuple[str, int]
"""Such as ``("tcp", 8080)``."""

_LISTENS = {"tcp": "0A", "udp": "07"}


def listening(process: int, ip: str, besides: Iterable[socket.socket] = ()) -> set[Port]:
    """The ports on which somebody listens at this IPv4 address, where that process is.

    As /proc/net has them; ``besides`` are sockets that do not count.
    """
    little = socket.inet_aton(ip)[::-1].hex().upper()
    apart = {str(os.fstat(each.fileno()).st_ino) for each in besides}
    found = set()
    for protocol, state in _LISTENS.items():
        for line in Path(f"/proc/{process}/net/{protocol}").read_text().splitlines()[1:]:
            words = line.split()
            where, _, port = words[1].partition(":")
            if where == little and words[3] == state and words[9] not in apart:
                found.add((protocol, int(port, 16)))
    return found


def published(containers: Iterable[dict[str, Any]]) -> set[Port]:
    """The ports that these entries of the engine's list publish for IPv4."""
    return {
        (port["Type"], port["PublicPort"])
        for container in containers
        for port in container["Ports"]
        if port.get("PublicPort") and ":" not in port.get("IP", "")
    }


def running(engine: Dockerd) -> list[dict[str, Any]]:
    """What ``docker ps`` lists."""
    found: list[dict[str, Any]] = engine.call("GET", "/containers/json")
    return found


def descriptors(process: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))
