"""Which program listens on a place of this machine, as far as it can be known."""

from __future__ import annotations

import socket

import psutil

from mooring.model.forward import Place


def holder(place: Place) -> str | None:
    """``nginx (process 812)``, or None. Other users' programs are known to root alone."""
    kind = "udp" if place.protocol == "udp" else "tcp"
    try:
        for found in psutil.net_connections(kind):
            listens = found.status == psutil.CONN_LISTEN or found.type == socket.SOCK_DGRAM
            if found.laddr and found.laddr.port == place.port and listens and found.pid:
                return f"{psutil.Process(found.pid).name()} (process {found.pid})"
    except (psutil.Error, OSError):
        return None
    return None
