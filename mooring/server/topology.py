"""Pure. The pictures that the map draws, made of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mooring.model.net import SubnetKind
from mooring.server.merge import Row
from mooring.server.workloads import published

_NOT_DRAWN = frozenset({SubnetKind.LOOPBACK.value, SubnetKind.LINK_LOCAL.value})


def l3(
    subnets: Iterable[Row],
    hosts: Iterable[Row],
    places: Iterable[tuple[str, str]],
    total_hosts: int,
) -> dict[str, Any]:
    """Hosts and the subnets that they have addresses in.

    ``places`` are pairs of host and subnet ids. Loopback and link-local subnets join nothing
    and are left out, unless a host has no others.
    """
    drawn = {s["id"]: s for s in subnets}
    kinds = {subnet_id: s["kind"] for subnet_id, s in drawn.items()}
    of_host: dict[str, list[str]] = defaultdict(list)
    for host_id, subnet_id in dict.fromkeys(places):
        if subnet_id in drawn:
            of_host[host_id].append(subnet_id)
    kept = {}
    for host_id, ids in of_host.items():
        joining = [i for i in ids if kinds[i] not in _NOT_DRAWN]
        kept[host_id] = joining or ids
    needed = {i for ids in kept.values() for i in ids}
    return {
        "subnets": [
            {
                "id": s["id"],
                "label": f"{s['cidr']} ({s['name']})" if s["name"] else s["cidr"],
                "kind": s["kind"],
                "host_id": s["host_id"],
            }
            for s in drawn.values()
            if s["id"] in needed or s["kind"] not in _NOT_DRAWN
        ],
        "hosts": [
            {
                "id": h["id"],
                "label": h["name"],
                "kind": h["kind"],
                "agent": h["agent"],
                "subnet_ids": kept.get(h["id"], []),
            }
            for h in hosts
        ],
        "total_hosts": total_hosts,
    }


def workloads(services: Iterable[Row], containers: Iterable[Row]) -> list[dict[str, Any]]:
    """What runs on hosts: their containers, and the services at ports that no container has."""
    found = []
    behind: set[tuple[str, int]] = set()
    for c in containers:
        numbers = {number for _, number in published(c)}
        behind |= {(c["host_id"], number) for number in numbers}
        found.append(
            {
                "id": c["id"],
                "host_id": c["host_id"],
                "kind": "container",
                "label": c["name"],
                "service": c["service"],
                "category": c["service_category"],
                "container_id": c["id"],
                "ports": sorted(numbers),
            }
        )
    for s in services:
        open_at = {int(number) for number in s["numbers"].split()}
        own = sorted(n for n in open_at if (s["host_id"], n) not in behind)
        if own:
            found.append(
                {
                    "id": f"{s['host_id']}/{s['service']}",
                    "host_id": s["host_id"],
                    "kind": "service",
                    "label": s["title"],
                    "service": s["service"],
                    "category": s["category"],
                    "container_id": None,
                    "ports": own,
                }
            )
    return found
