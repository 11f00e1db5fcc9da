"""Asks the kernel for its tables of neighbours: how large they are, how full, who is in them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mooring.core import nlmsg
from mooring.core.netlink import Netlink

_RTM_GETNEIGHTBL = 66
_AF_INET = 2
_NDTMSG = struct.Struct("=Bxxx")
_NDTA_NAME, _NDTA_THRESH3, _NDTA_CONFIG, _NDTA_STATS = 1, 4, 5, 7
_ENTRIES_AT = 4
_OVERFLOWS_AT = 8 * 10


@dataclass(frozen=True, slots=True)
class ArpTable:
    """The machine's ARP table: one for all its network namespaces."""

    most: int
    """Entries that it may hold: net.ipv4.neigh.default.gc_thresh3."""
    entries: int
    overflows: int
    """How often there was no room, since the machine started."""


def arp_table() -> ArpTable | None:
    """The table as it is now; None where the kernel does not tell.

    By netlink: below /proc/sys only the machine's first namespace sees its size.
    """
    try:
        with Netlink() as kernel:
            answer = kernel.dump(
                _RTM_GETNEIGHTBL, _NDTMSG.pack(_AF_INET), doing="asking for the ARP table"
            )
        for payload in answer.payloads:
            told = nlmsg.attributes(payload, _NDTMSG.size)
            if _NDTA_THRESH3 in told and told.get(_NDTA_NAME, b"").startswith(b"arp"):
                (most,) = struct.unpack_from("=I", told[_NDTA_THRESH3])
                (entries,) = struct.unpack_from("=I", told[_NDTA_CONFIG], _ENTRIES_AT)
                (overflows,) = struct.unpack_from("=Q", told[_NDTA_STATS], _OVERFLOWS_AT)
                return ArpTable(most, entries, overflows)
    except (OSError, KeyError, struct.error, nlmsg.Malformed):
        # It only serves to explain what was not found.
        return None
    return None
