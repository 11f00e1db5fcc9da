"""Chooses the way by which a host is asked for its ports, as the rights of this process allow."""

from __future__ import annotations

import socket
import sys

from mooring.discovery.scan.connect import ConnectWire
from mooring.discovery.scan.plan import Link
from mooring.discovery.scan.wires import SynWire, Wire
from mooring.model.net import IpAddress


class Wires:
    """The ways, each opened when it is first needed; of one thread."""

    def __init__(self, own: frozenset[IpAddress]) -> None:
        self._own = own
        self.raw = may_be_raw()
        self._syn: dict[tuple[Link | None, int], SynWire] = {}
        self.connecting: ConnectWire | None = None

    def to(self, ip: IpAddress, link: Link | None, mac: str | None = None) -> Wire:
        """The way to a host on a link (whose MAC is known), or behind routers.

        Raises OSError if it cannot be opened.
        """
        on_link = link if link and link.mac and mac else None
        routed_by_us = ip.version == 4 or on_link is not None
        if not self.raw or ip in self._own or not routed_by_us:
            # What is sent raw to ourselves, or as IPv6 through routers, the kernel does better.
            self.connecting = self.connecting or ConnectWire()
            return self.connecting
        key = (on_link, ip.version)
        if key not in self._syn:
            self._syn[key] = SynWire(on_link, ip.version)
        return self._syn[key]

    def close(self) -> None:
        for wire in (*self._syn.values(), self.connecting):
            if wire is not None:
                wire.close()


def may_be_raw() -> bool:
    """Whether raw sockets are allowed, and there are such."""
    if sys.platform != "linux":
        return False
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError:
        return False
    return True
