"""Stores a scan report: the hosts of a block of addresses, and where they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, insert, select, true

from mooring.core.ids import new_id
from mooring.model import wire
from mooring.model.event import Changed, Entity, Operation
from mooring.model.net import InterfaceKind, InterfaceState, Subnet, SubnetKind
from mooring.model.scan import Scan
from mooring.server import scans
from mooring.server.db import snapshot, subnets
from mooring.server.db.hosts import present_addresses
from mooring.server.db.tables import address, agent, host, interface, subnet
from mooring.server.db.timeline import Told
from mooring.server.ingest.scan_ports import SCAN, store_ports
from mooring.server.ingest.subnets import store_subnets
from mooring.server.ingest.visit import MAX_TOLD, Visit
from mooring.server.merge import Row, Values
from mooring.server.scans import Host, Known

UNNAMED = "scan"
"""What the interface of a host is called whose hardware address nobody has seen."""


async def store_scan(visit: Visit, s: Scan) -> dict[str, int]:
    """Store the snapshot; answers how many of what it held.

    Who is not in a whole block does not answer any more: its address there is gone, and the host
    stays.
    """
    block = await _Block.of(visit, s)
    await block.recognise()
    await block.store_new_hosts()
    await block.store_addresses(await block.store_interfaces())
    await block.change_hosts()
    await block.tell_hosts()
    news, summary = await store_ports(visit, s, block.hosts)
    block.tell(news, summary)
    ports = sum(len(h.ports) for h in s.hosts)
    services = sum(len(h.services) + sum(len(p.services) for p in h.ports) for h in s.hosts)
    visit.outcome.log("block_stored", block=str(s.block), hosts=len(s.hosts), ports=ports)
    return {"hosts": len(block.hosts), "ports": ports, "services": services}


class _Block:
    """The storing of one block, step by step."""

    def __init__(self, visit: Visit, scan: Scan, place: Row) -> None:
        self.visit = visit
        self.connection = visit.connection
        self.scan = scan
        self.place = place
        self.prefix = int(place["cidr"].partition("/")[2])
        self.ips = [str(h.ip) for h in scan.hosts]
        self.hosts: dict[str, Host] = {}
        # Its own subnet, or any of those that hosts share: who is in one is in no other's own.
        self.inside = address.c.subnet_id == place["id"]
        if not place["scope"]:
            shared = select(subnet.c.id).where(
                subnet.c.network_id == visit.network, subnet.c.scope == ""
            )
            self.inside = address.c.subnet_id.in_(shared)

    @classmethod
    async def of(cls, visit: Visit, scan: Scan) -> _Block:
        """Find the block's subnet, or make it."""
        scopes = subnet.c.scope.in_((visit.host, "")) & (subnet.c.network_id == visit.network)
        present = scopes & subnet.c.gone_at.is_(None)
        told = subnet.c.source != "scan"
        exact = present & told & (subnet.c.cidr == str(scan.subnet))
        stored = await snapshot.rows(visit.connection, subnet, exact)
        if not stored:
            stored = await snapshot.rows(visit.connection, subnet, present)
        place = scans.nearest(scan.block, stored)
        if place is None:
            found = Subnet(scans.assumed(scan.subnet), SubnetKind.LAN)
            ids = await store_subnets(visit, (found,), "scan", whole=False)
            made = subnet.c.id == ids["", str(found.cidr)]
            (place,) = await snapshot.rows(visit.connection, subnet, made)
        else:
            await subnets.seen(visit.connection, [place["id"]], visit.now)
        return cls(visit, scan, place)

    # --- who

    async def recognise(self) -> None:
        known = {k.id: k for k in await self._known()}
        rows = await self._host_rows(known)
        whos = scans.recognise(self.scan.hosts, known.values())
        services = wire.to_builtins([h.services for h in self.scan.hosts])
        by_key: dict[str, Host] = {}
        for who, found in zip(whos, services, strict=True):
            if who.key not in by_key:
                one = Host(who.id or new_id())
                if who.id:
                    one.row, one.known = rows[who.id], known[who.id]
                by_key[who.key] = self.hosts[one.id] = one
            by_key[who.key].entries.append((who, scans.kept(found)))

    async def _known(self) -> list[Known]:
        """Who has one of the addresses or hardware addresses of the block."""
        macs = {h.mac for h in self.scan.hosts if h.mac}
        of_network = select(host.c.id).where(host.c.network_id == self.visit.network)
        is_inside = select(address.c.id).where(
            address.c.host_id == interface.c.host_id, self.inside
        )
        by_mac = select(interface.c.host_id).where(
            interface.c.mac.in_(macs),
            interface.c.gone_at.is_(None),
            interface.c.host_id.in_(of_network),
            is_inside.exists(),
        )
        by_ip = select(address.c.host_id).where(address.c.ip.in_(self.ips), self.inside)
        ids = {
            *(await self.connection.execute(by_mac)).scalars(),
            *(await self.connection.execute(by_ip)).scalars(),
        }
        have = select(interface.c.host_id, interface.c.mac).where(
            interface.c.host_id.in_(ids),
            interface.c.mac.is_not(None),
            interface.c.gone_at.is_(None),
        )
        of_mac = _grouped((await self.connection.execute(have)).all())
        at = select(address.c.host_id, address.c.ip, address.c.gone_at).where(
            address.c.host_id.in_(ids),
            self.inside,
            address.c.gone_at.is_(None) | address.c.ip.in_(self.ips),
        )
        ips: dict[str, set[str]] = defaultdict(set)
        former: dict[str, dict[str, float]] = defaultdict(dict)
        for host_id, ip, gone_at in await self.connection.execute(at):
            if gone_at is None:
                ips[host_id].add(ip)
            else:
                former[host_id][ip] = gone_at
        watched = select(agent.c.host_id, agent.c.online).where(agent.c.host_id.in_(ids))
        agents = _grouped((await self.connection.execute(watched)).all())
        return [
            Known(
                i,
                frozenset(of_mac[i]),
                frozenset(ips[i]),
                former[i],
                i in agents,
                True in agents[i],
            )
            for i in ids
        ]

    async def _host_rows(self, ids: Collection[str]) -> dict[str, Row]:
        """The hosts' rows, whose names nobody else changes before this transaction ends."""
        query = select(host).where(host.c.id.in_(ids)).order_by(host.c.id)
        rows = (await self.connection.execute(query.with_for_update(key_share=True))).mappings()
        return {row["id"]: dict(row) for row in rows}

    # --- where

    async def store_new_hosts(self) -> None:
        now = self.visit.now
        whose = {"network_id": self.visit.network, "given_name": None, "identity": None}
        empty = dict.fromkeys(("os", "kernel", "architecture"), "")
        rows = []
        for one in self.hosts.values():
            if one.row is None:
                ips = [str(who.seen.ip) for who, _ in one.entries]
                one.values = scans.host_values(None, one.entries, ips, now)
                seen = {"first_seen": now, "last_seen": now}
                rows.append({"id": one.id, **whose, **empty, **SCAN, **seen, **one.values})
        if rows:
            await self.connection.execute(insert(host), rows)

    async def store_interfaces(self) -> dict[tuple[str, str], str]:
        """Answers the interface at which each host has each of its addresses of the block."""
        theirs = interface.c.host_id.in_(self.hosts) & (interface.c.source == "scan")
        stored = await snapshot.rows(self.connection, interface, theirs)
        names = {row["id"]: row["name"] for row in stored}
        at = select(address.c.host_id, address.c.ip, address.c.interface_id).where(
            address.c.interface_id.in_(names),
            address.c.ip.in_(self.ips),
            address.c.gone_at.is_(None),
        )
        used = {(h, ip): names[i] for h, ip, i in await self.connection.execute(at)}
        of_host = {row["host_id"]: row["name"] for row in stored if row["gone_at"] is None}
        chosen: dict[tuple[str, str], str] = {}
        wanted: dict[tuple[str, str], Values] = {}
        for one in self.hosts.values():
            if one.says_where:
                continue
            for who, _ in one.entries:
                ip = str(who.seen.ip)
                name = who.mac or used.get((one.id, ip)) or of_host.get(one.id, UNNAMED)
                chosen[one.id, ip] = name
                wanted[one.id, name] = _interface(one.id, name)
        named = {one.id for one in self.hosts.values() if any(who.mac for who, _ in one.entries)}
        compared = [
            row
            for row in stored
            if (row["host_id"], row["name"]) in wanted
            or (row["name"] == UNNAMED and row["host_id"] in named)
        ]
        part = await snapshot.store(
            self.connection,
            interface,
            theirs,
            list(wanted.values()),
            ("host_id", "name"),
            fixed=SCAN,
            now=self.visit.now,
            stored=compared,
        )
        ids = {(row["host_id"], row["name"]): row["id"] for row in (*stored, *part.new)}
        return {(h, ip): ids[h, name] for (h, ip), name in chosen.items()}

    async def store_addresses(self, at: Mapping[tuple[str, str], str]) -> None:
        """Afterwards ``left`` and ``taken`` are the addresses that hosts lost and got."""
        block = self.scan.block
        if not self.scan.whole:
            where: ColumnElement[bool] = address.c.ip.in_(self.ips)
        elif block.version == 4:
            where = address.c.ip.in_([str(ip) for ip in block])
        else:
            where = true()
        where &= self.inside & (address.c.source == "scan")
        stored = await snapshot.rows(self.connection, address, where)
        if block.version == 6:
            stored = [row for row in stored if ":" in row["ip"]]
        own = await self._own_addresses()
        wanted = [
            {
                "host_id": host_id,
                "interface_id": interface_id,
                "subnet_id": self.place["id"],
                "ip": ip,
                "prefix": self.prefix,
                "peer": None,
            }
            for (host_id, ip), interface_id in at.items()
            if (host_id, ip) not in own
        ]
        part = await snapshot.store(
            self.connection,
            address,
            where,
            wanted,
            ("interface_id", "ip", "prefix"),
            fixed=SCAN,
            now=self.visit.now,
            stored=stored,
        )
        self.left = [row for row in stored if row["id"] in set(part.gone)]
        self.taken = [*part.new, *(change.values for change in part.changed)]

    async def _own_addresses(self) -> set[tuple[str, str]]:
        """What hosts of the block said themselves to be their addresses."""
        reporting = [one.id for one in self.hosts.values() if one.reports]
        query = select(address.c.host_id, address.c.ip).where(
            address.c.host_id.in_(reporting),
            address.c.source != "scan",
            address.c.gone_at.is_(None),
        )
        return {(h, ip) for h, ip in await self.connection.execute(query)}

    # --- what they are

    async def change_hosts(self) -> None:
        known = [one for one in self.hosts.values() if one.known]
        present = await present_addresses(self.connection, [one.id for one in known])
        for one in known:
            one.values = scans.host_values(
                one.row, one.entries, present[one.id], self.visit.now, reports=one.reports
            )
        if known:
            await snapshot.change(
                self.connection,
                host,
                [(one.id, {**one.values, "last_seen": self.visit.now}) for one in known],
            )

    async def tell_hosts(self) -> None:
        new = [one for one in self.hosts.values() if one.row is None]
        told = [
            self.visit.told(
                Entity.HOST,
                Operation.CREATED,
                one.id,
                scans.host_news(one.values, str(one.entries[0][0].seen.ip)),
            )
            for one in new
        ]
        self.tell(told, f"{len(new)} new hosts")
        moved = await self._moved({one.id for one in new})
        self.tell(moved, f"{len(moved)} hosts came, went or moved")
        said = {t.id for t in moved}
        for one in self.hosts.values():
            if one.row is None or one.id in said:
                continue
            if any(one.row[n] != v for n, v in one.values.items() if n not in scans.HOST_QUIET):
                changed = Changed(Entity.HOST, Operation.CHANGED, one.id, self.visit.network)
                self.visit.outcome.events.append(changed)

    async def _moved(self, new: Collection[str]) -> list[Told]:
        """What there is to tell of hosts that lost or got an address, but for the new ones."""
        lost, got = _grouped(_where(self.left)), _grouped(_where(self.taken))
        ids = sorted({*lost, *got} - {*new})
        present = await present_addresses(self.connection, ids)
        query = select(host.c.id, host.c.name).where(host.c.id.in_(ids))
        names = dict((await self.connection.execute(query)).all())
        titles = {
            i: scans.moved_news(names[i], (present[i] - got[i]) | lost[i], present[i]) for i in ids
        }
        return [
            self.visit.told(Entity.HOST, Operation.CHANGED, i, title)
            for i, title in titles.items()
            if title
        ]

    # --- telling

    def tell(self, told: list[Told], summary: str) -> None:
        """A few one by one; of many a single line, and to whoever looks that there were many."""
        if len(told) <= scans.FEW:
            self.visit.outcome.told += told
            return
        self.visit.outcome.events += [t.changed for t in told[: MAX_TOLD + 1]]
        title = f"{summary} in {self.scan.block}"
        self.visit.tell(Entity.SUBNET, Operation.CHANGED, self.place["id"], title)


def _interface(host_id: str, name: str) -> Values:
    return {
        "host_id": host_id,
        "name": name,
        "index": 0,
        "kind": InterfaceKind.OTHER.value,
        "state": InterfaceState.UP.value,
        "mac": None if name == UNNAMED else name,
        "mtu": 0,
        "master": None,
        "parent": None,
        "vlan": None,
    }


def _where(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return [(row["host_id"], row["ip"]) for row in rows]


def _grouped(pairs: Iterable[Any]) -> dict[str, set[Any]]:
    found: dict[str, set[Any]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return found
