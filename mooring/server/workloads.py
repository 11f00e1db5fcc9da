"""Pure. Which container answers on a port: of what engines say they publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mooring.server.merge import Row

EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def leads_to(port: Row, here: Iterable[Row], around: Iterable[Row]) -> Row | None:
    """The container behind a port, or None.

    ``here`` are the containers of the port's host, ``around`` those of the host whose own subnet
    the port's address lies in. A container that runs comes before one that does not.
    """
    behind = [c for c in here if (port["protocol"], port["number"]) in published(c, port["ip"])]
    behind += [c for c in around if port["ip"] in attached(c)]
    return next((c for c in behind if c["state"] == "running"), next(iter(behind), None))


def published(container: Row, ip: str | None = None) -> set[tuple[str, int]]:
    """The host's ports that a container publishes; those that can be reached at ``ip``."""
    return {
        (p["protocol"], p["host_port"])
        for p in container["ports"]
        if p["host_port"] is not None and (ip is None or _reached(p["host_ip"], ip))
    }


def _reached(bound: str | None, ip: str) -> bool:
    return (bound or "") in EVERYWHERE or bound == ip


def attached(container: Row) -> set[str]:
    """A container's own addresses."""
    return {ip for a in container["attachments"] for ip in (a["ip"], a["ip6"]) if ip}


def kind(host: Mapping[str, object]) -> str:
    """What sort of thing a host is, as far as its services say: a category of the catalogue."""
    return str(host["service_category"])
