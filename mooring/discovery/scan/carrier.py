"""Whether frames go out to a block: the state of the interface on the way to it, as it is now.

Asks the kernel alone. What is sent where nothing goes out is lost without a word, and whoever is
there would be taken for silent.
"""

from __future__ import annotations

import socket
import struct
import sys

from mooring.core.errors import MooringError, why_os
from mooring.discovery import local
from mooring.discovery.scan.plan import Block
from mooring.discovery.scan.wires import source_to
from mooring.model.net import InterfaceState, IpAddress, IpNetwork, SubnetKind

_SIOCGIFFLAGS = 0x8913
_IFREQ = struct.Struct("=16sH14x")
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
"""netdevice(7)."""

_GONE = "the interface is gone"
_DISABLED = "the interface is disabled"
_DOWN = "the interface is down"


class Carriers:
    """The interfaces on the ways to blocks; of one thread."""

    def __init__(self) -> None:
        self._of_routed: dict[IpNetwork, int] = {}

    def fault(self, block: Block) -> str:
        """Why nothing that is sent to a block goes out; empty if it does."""
        if block.link is not None:
            # A bridge of containers has no carrier while there are none.
            return _fault(block.link.index, carries=block.link.kind is SubnetKind.LAN)
        try:
            index = self._of_routed.get(block.cidr)
            if index is None:
                index = _interface_of(source_to(block.cidr.network_address))
                self._of_routed[block.cidr] = index
        except (OSError, MooringError) as error:
            return why_os(error) if isinstance(error, OSError) else str(error)
        return _fault(index, carries=True)


def _interface_of(own: IpAddress) -> int:
    """The interface that has one of our addresses; 0 if none has."""
    every = ((one.index, a.ip) for one in local.interfaces() for a in one.addresses)
    return next((index for index, ip in every if ip == own), 0)


def _fault(index: int, *, carries: bool) -> str:
    if sys.platform != "linux":
        states = {one.index: one.state for one in local.interfaces()}
        down = states.get(index) in (InterfaceState.DOWN, InterfaceState.DISABLED)
        return _GONE if index not in states else _DOWN if down else ""
    import fcntl

    try:
        name = socket.if_indextoname(index).encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
            told = fcntl.ioctl(asked, _SIOCGIFFLAGS, _IFREQ.pack(name, 0))
    except OSError:
        return _GONE
    _, flags = _IFREQ.unpack(told)
    if not flags & _IFF_UP:
        return _DISABLED
    return _DOWN if carries and not flags & _IFF_RUNNING else ""
