"""Pure. What a snapshot changes of what is stored: rows in, differences out; touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.model.machine import Machine
from mooring.model.net import (
    Interface,
    InterfaceKind,
    IpAddress,
    IpNetwork,
    Neighbour,
    Route,
    Subnet,
    SubnetKind,
)

Row = Mapping[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A stored row that shall have other values; ``quiet`` when nobody needs to be told."""

    id: str
    values: Values
    quiet: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What to do to rows so that they are the snapshot. Empty when they are already."""

    new: tuple[Values, ...] = ()
    changed: tuple[Change, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def loud(self) -> bool:
        """Whether something changed that is worth telling."""
        return bool(self.new or self.gone or any(not change.quiet for change in self.changed))


def difference(
    stored: Iterable[Row],
    wanted: Iterable[Values],
    key: tuple[str, ...],
    quiet: frozenset[str] = frozenset(),
) -> Difference:
    """Compare rows with a snapshot by ``key``; of two wanted with one key the first counts.

    ``stored`` rows have ``id`` and ``gone_at``; a gone row that is wanted again is changed. A
    change of ``quiet`` columns alone (an engine's "Up 3 minutes") is stored and not told.
    """
    by_key = {tuple(row[k] for k in key): row for row in stored}
    new: list[Values] = []
    changed: list[Change] = []
    seen: set[tuple[Any, ...]] = set()
    for values in wanted:
        place = tuple(values[k] for k in key)
        if place in seen:
            continue
        seen.add(place)
        row = by_key.get(place)
        if row is None:
            new.append(values)
            continue
        other = {name for name, value in values.items() if row[name] != value}
        back = row["gone_at"] is not None
        if other or back:
            changed.append(Change(row["id"], values, not back and other <= quiet))
    gone = tuple(
        row["id"] for place, row in by_key.items() if place not in seen and row["gone_at"] is None
    )
    return Difference(tuple(new), tuple(changed), gone)


def unseen(known: Iterable[Row], happened: Iterable[Values], key: tuple[str, ...]) -> list[Values]:
    """Of what is said to have happened what is not known yet by its ``key``, in its order."""
    seen = {tuple(row[k] for k in key) for row in known}
    new = []
    for values in happened:
        place = tuple(values[k] for k in key)
        if place not in seen:
            seen.add(place)
            new.append(values)
    return new


# --- who is it


@dataclass(frozen=True, slots=True)
class Known:
    """A stored host of the same machine identity as the one that reports."""

    id: str
    macs: frozenset[str]
    watched: bool
    """Whether another agent on it is online."""


def recognise(known: Iterable[Known], macs: frozenset[str]) -> str | None:
    """The host that a machine with a new agent is, or None for one not seen before.

    The same identity is not enough: copies of a disk image share it. It is the same machine when
    it shares a hardware address too, or when no other agent is there that could be it.
    """
    known = list(known)
    for host in known:
        if host.macs & macs:
            return host.id
    for host in known:
        if not host.watched:
            return host.id
    return None


PHYSICAL = frozenset({InterfaceKind.ETHERNET, InterfaceKind.WIRELESS, InterfaceKind.INFINIBAND})
VIRTUAL = frozenset({InterfaceKind.VETH, InterfaceKind.MACVLAN})
"""Kinds that are a container's only way out, and on its host the ends of others' links."""


def hardware_macs(interfaces: Iterable[Interface]) -> frozenset[str]:
    """The hardware addresses by which a machine is known again.

    Not those of bridges and container ends, which many machines share or make up anew: of
    virtual links only such as nothing on this machine is the master of. A card in a bridge or a
    bond is the machine's own all the same.
    """
    return frozenset(
        i.mac
        for i in interfaces
        if i.mac and (i.kind in PHYSICAL or (i.kind in VIRTUAL and i.master is None))
    )


def own_mac(interfaces: Iterable[Interface]) -> str | None:
    """The hardware address by which others see a machine: of a card that is in use, if one is."""
    cards = [i for i in interfaces if i.mac and i.mac in hardware_macs([i])]
    used = [i for i in cards if i.addresses or i.master]
    return next((i.mac for i in (*used, *cards)), None)


def shown_name(given: str | None, hostname: str, interfaces: Iterable[Interface]) -> str:
    """What a host is called: the name that a person gave it, its own, or an address."""
    if given or hostname:
        return given or hostname
    for interface in interfaces:
        for address in interface.addresses:
            if not address.ip.is_loopback and not address.ip.is_link_local:
                return str(address.ip)
    return "a host without a name"


# --- rows of a snapshot


def interface_rows(interfaces: Iterable[Interface]) -> list[Values]:
    return [
        {
            "name": i.name,
            "index": i.index,
            "kind": i.kind.value,
            "state": i.state.value,
            "mac": i.mac,
            "mtu": i.mtu,
            "master": i.master,
            "parent": i.parent,
            "vlan": i.vlan,
        }
        for i in interfaces
    ]


def route_rows(routes: Iterable[Route]) -> list[Values]:
    return [
        {
            "family": r.family,
            "destination": "default" if r.destination is None else str(r.destination),
            "gateway": _text(r.gateway) or "",
            "interface": r.interface or "",
            "metric": r.metric,
        }
        for r in routes
    ]


def neighbour_rows(neighbours: Iterable[Neighbour]) -> list[Values]:
    return [
        {
            "interface": n.interface,
            "ip": str(n.ip),
            "mac": n.mac,
            "state": n.state.value,
            "router": n.router,
        }
        for n in neighbours
    ]


@dataclass(frozen=True, slots=True)
class AddressPlace:
    """An address of an interface, and the subnet that it lies in."""

    interface: str
    cidr: str
    values: Values


def address_places(interfaces: Iterable[Interface]) -> list[AddressPlace]:
    return [
        AddressPlace(
            i.name,
            str(a.network),
            {"ip": str(a.ip), "prefix": a.prefix, "peer": _text(a.peer)},
        )
        for i in interfaces
        for a in i.addresses
    ]


def all_subnets(machine: Machine) -> tuple[Subnet, ...]:
    """The subnets of a report, and those that its addresses imply and it does not hold.

    So no address is ever without its subnet, whatever was set aside.
    """
    held = {subnet.cidr for subnet in machine.subnets}
    implied: dict[IpNetwork, Subnet] = {}
    for interface in machine.interfaces:
        for address in interface.addresses:
            if address.network not in held:
                implied.setdefault(
                    address.network,
                    Subnet(address.network, _implied_kind(address.ip), interface.name),
                )
    return machine.subnets + tuple(implied.values())


def _implied_kind(ip: IpAddress) -> SubnetKind:
    if ip.is_loopback:
        return SubnetKind.LOOPBACK
    return SubnetKind.LINK_LOCAL if ip.is_link_local else SubnetKind.UNKNOWN


def subnet_place(subnet: Subnet, host_id: str) -> tuple[str, str]:
    """Whose a subnet is (the host's, or "" for all of the network's) and its CIDR."""
    return (host_id if subnet.kind.host_local else "", str(subnet.cidr))


def subnet_rows(subnets: Iterable[Subnet], host_id: str, source: str) -> list[Values]:
    """Rows for the subnets that a host reports: its own, and those that it shares.

    Of several with one CIDR (the same link-local network on ten interfaces) one row is made,
    with the first name and gateway that any of them has.
    """
    rows: dict[tuple[str, str], Values] = {}
    for s in subnets:
        place = subnet_place(s, host_id)
        row = rows.setdefault(
            place,
            {
                "scope": place[0],
                "cidr": place[1],
                "host_id": place[0] or None,
                "kind": s.kind.value,
                "name": None,
                "gateway": None,
                "source": source,
            },
        )
        row["name"] = row["name"] or s.name
        row["gateway"] = row["gateway"] or _text(s.gateway)
    return list(rows.values())


def settle_subnet(stored: Row | None, values: Values) -> Values:
    """The values that a subnet row shall have, of what is stored and what is now said.

    An engine knows a host's own networks better than the kernel does, and the kernel knows a LAN
    better than the engine whose containers are on it too. A shared subnet is seen by many hosts,
    and one that can't tell its kind or gateway takes nothing from those that can.
    """
    if stored is None or stored["gone_at"] is not None:
        return values
    unknown = SubnetKind.UNKNOWN.value
    told = stored["kind"] != unknown
    settled = dict(values)
    for column in ("name", "gateway"):
        settled[column] = values[column] or stored[column]
    kept: tuple[str, ...] = ()
    if values["source"] == "scan":
        kept = ("kind", "name", "gateway", "source")
    elif values["source"] != stored["source"]:
        better = "containers" if values["scope"] else "machine"
        if stored["source"] == better and (told or values["kind"] == unknown):
            kept = ("kind", "name", "gateway", "source")
    elif not values["scope"]:
        kept = ("kind", "name", "gateway") if told else ("name", "gateway")
    for column in kept:
        settled[column] = stored[column] or values[column]
    if values["kind"] == unknown:
        settled["kind"] = stored["kind"]
    return settled


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
