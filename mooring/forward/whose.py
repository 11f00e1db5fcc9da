"""Which programs listen on places of this machine, as far as it can be known."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from mooring.model.forward import Place


def holders(places: Iterable[Place]) -> dict[Place, str]:
    """For each place ``nginx (process 812)``, where it is known; other users' are to root alone.

    One look at all of this machine's sockets, some 10 ms: not for the event loop.
    """
    wanted = set(places)
    found: dict[Place, str] = {}
    try:
        listening = [
            (s.laddr, s.type, s.pid)
            for s in psutil.net_connections("inet")
            if s.laddr and s.pid and (s.status == psutil.CONN_LISTEN or _datagrams(s.type))
        ]
        for place in wanted:
            for (ip, port), kind, pid in listening:
                same = _datagrams(kind) == (place.protocol == "udp") and port == place.port
                if same and (ip in (place.ip, "0.0.0.0", "::") or place.ip in ("0.0.0.0", "::")):
                    found[place] = f"{psutil.Process(pid).name()} (process {pid})"
                    break
    except (psutil.Error, OSError):
        # Some systems tell it to root alone, and a program may end while it is looked at.
        return found
    return found


def _datagrams(kind: int) -> bool:
    return kind == socket.SOCK_DGRAM
