"""Pure. Targets in, a plan of blocks of addresses out, or the reason why they are not scanned.

Only networks that are attached or were allowed are scanned; nothing is asked here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mooring.core.errors import UsageError
from mooring.core.targets import check_size
from mooring.discovery.subnets import Site
from mooring.model.net import (
    Interface,
    InterfaceKind,
    IpAddress,
    IpNetwork,
    Route,
    SubnetKind,
    network_of,
)
from mooring.model.scan import BLOCK_PREFIX

MOST_UNASKED = 1 << 12
"""Addresses of an attached network that is scanned without being named: a /20."""

_BY_THEMSELVES = frozenset(
    {
        SubnetKind.LAN,
        SubnetKind.MACVLAN,
        SubnetKind.DOCKER_BRIDGE,
        SubnetKind.PODMAN_BRIDGE,
        SubnetKind.VIRTUAL_BRIDGE,
        SubnetKind.POINT_TO_POINT,
    }
)
"""Kinds that are scanned when no target is named: whoever is there is on a link of ours."""

_NEVER = frozenset({SubnetKind.LOOPBACK, SubnetKind.LINK_LOCAL})

_WITHOUT_ARP = frozenset(
    {
        InterfaceKind.LOOPBACK,
        InterfaceKind.TUN,
        InterfaceKind.WIREGUARD,
        InterfaceKind.PPP,
        InterfaceKind.TUNNEL,
        InterfaceKind.IPVLAN,
        InterfaceKind.INFINIBAND,
    }
)
"""Links on which frames are not Ethernet's, or where ARP is another's."""


@dataclass(frozen=True, slots=True)
class Link:
    """The way to a network that this machine is in."""

    name: str
    index: int
    network: IpNetwork
    kind: SubnetKind
    ip: IpAddress
    """Our own address in it."""
    mac: str | None
    """Ours; None where frames have no such addresses, and hosts are asked through the kernel."""


class Here:
    """What this machine is attached to."""

    def __init__(self, interfaces: Sequence[Interface], routes: Sequence[Route]) -> None:
        site = Site(interfaces, routes)
        self.interfaces = {interface.name: interface for interface in interfaces}
        self.own = frozenset(a.ip for interface in interfaces for a in interface.addresses)
        self.links: list[Link] = []
        for interface in interfaces:
            kinds = {subnet.cidr: subnet.kind for subnet in site.subnets_of(interface)}
            mac = None if interface.kind in _WITHOUT_ARP else interface.mac
            for address in interface.addresses:
                network = address.network
                if kinds[network] in _NEVER or any(
                    link.network == network and link.name == interface.name for link in self.links
                ):
                    continue
                # A single address attaches nothing but itself, unless it is the other end's.
                if network.num_addresses == 1 and address.peer is None:
                    continue
                self.links.append(
                    Link(interface.name, interface.index, network, kinds[network], address.ip, mac)
                )


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a plan that is reported as one: a /24 of IPv4 or less, or a subnet of IPv6."""

    cidr: IpNetwork
    subnet: IpNetwork
    """The attached network that it lies in, or what was asked for."""
    asked: tuple[IpNetwork, ...]
    """The parts of it that are scanned."""
    link: Link | None
    """None: there are routers between."""

    @property
    def whole(self) -> bool:
        """All addresses are asked. Never so with IPv6: whoever is silent was not asked."""
        return self.cidr.version == 4 and self.cidr in self.asked

    def addresses(self) -> Iterator[IpAddress]:
        """Those that are asked one by one: no network's own, no broadcast; of IPv6 single ones."""
        ends = (
            {self.subnet.network_address, self.subnet.broadcast_address}
            if self.subnet.version == 4 and self.subnet.prefixlen < 31
            else set()
        )
        for part in self.asked:
            if part.version == 4 or part.num_addresses == 1:
                yield from (ip for ip in part if ip not in ends)


@dataclass(frozen=True, slots=True)
class Plan:
    blocks: tuple[Block, ...]
    own: frozenset[IpAddress] = frozenset()
    """This machine's own addresses."""
    left_out: tuple[str, ...] = ()
    """Attached networks that were not taken, each with the reason, where no target was named."""
    _by_cidr: dict[IpNetwork, Block] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._by_cidr.update((block.cidr, block) for block in self.blocks)

    def block_of(self, ip: IpAddress) -> Block | None:
        """The block in which an address lies, if it is one that was asked for."""
        for prefix in range(ip.max_prefixlen, -1, -1):
            block = self._by_cidr.get(network_of(ip, prefix))
            if block is not None:
                return block if any(ip in part for part in block.asked) else None
        return None


def permitted(
    targets: Sequence[IpNetwork],
    here: Here,
    allowed: Sequence[IpNetwork] = (),
    interface: str | None = None,
    option: str = "--allow",
) -> Plan:
    """What is scanned. Without targets: the attached networks, except those of ``left_out``.

    ``interface`` narrows what is attached to one; ``option`` is how more is allowed.
    IPv6 networks are never asked address by address; only attached ones can be named as a whole.

    Raises:
        UsageError: an unknown interface, too many addresses, or a target outside of the attached
            and the allowed networks.
    """
    links = _links(here, interface)
    left_out: tuple[str, ...] = ()
    if not targets:
        targets, left_out = _by_themselves(links)
        if not targets:
            why = "no network is attached that is scanned without being named"
            remedy = "; ".join(left_out) or f"name a target and allow it: {option} CIDR"
            raise UsageError("choosing what to scan", why, remedy)
    for target in targets:
        check_size(target, [target])
        _check_permitted(target, links, allowed, option)
    # A network within another is asked once.
    apart = _collapsed(targets)
    check_size(" and ".join(str(t) for t in targets), apart)
    blocks: dict[IpNetwork, Block] = {}
    for target in apart:
        for piece, link in _pieces(target, links):
            for cidr, subnet, asked in _blocks(piece, target, link):
                before = blocks.get(cidr)
                parts = (*before.asked, asked) if before else (asked,)
                blocks[cidr] = Block(cidr, subnet, parts, link)
    return Plan(tuple(blocks.values()), here.own, left_out)


def ranges(links: Iterable[Link], allowed: Sequence[IpNetwork]) -> list[IpNetwork]:
    """What may be scanned: attached networks and allowed ones, none within another."""
    return _collapsed([*(link.network for link in links), *allowed])


def _links(here: Here, interface: str | None) -> list[Link]:
    """The attached networks, the narrowest first, as a route would be chosen."""
    if interface is not None and interface not in here.interfaces:
        known = ", ".join(name for name in here.interfaces if name != "lo")
        raise UsageError(
            f"scanning by the interface {interface}",
            "this machine has no such interface",
            f"there are {known}" if known else "it has none at all",
        )
    links = [link for link in here.links if interface in (None, link.name)]
    if interface is not None and not links:
        raise UsageError(
            f"scanning by the interface {interface}",
            "it has no address in a network",
            "give it one, or name another",
        )
    return sorted(links, key=lambda link: -link.network.prefixlen)


def _by_themselves(links: Iterable[Link]) -> tuple[list[IpNetwork], tuple[str, ...]]:
    taken: list[IpNetwork] = []
    left_out: list[str] = []
    for link in links:
        if link.kind not in _BY_THEMSELVES:
            left_out.append(f"{link.network} ({link.name}) is of kind {link.kind}: name it")
        elif link.network.version == 4 and link.network.num_addresses > MOST_UNASKED:
            count = f"{link.network.num_addresses:,} addresses"
            left_out.append(f"{link.network} ({link.name}) has {count}: name it, or a part of it")
        else:
            taken.append(link.network)
    return taken, tuple(left_out)


def _check_permitted(
    target: IpNetwork, links: list[Link], allowed: Sequence[IpNetwork], option: str
) -> None:
    may = ranges(links, allowed)
    outside = _without(target, may)
    if outside:
        which = "it" if outside == [target] else f"{outside[0]} of it"
        known = ", ".join(map(str, may)) or "none at all"
        raise UsageError(
            f"scanning {target}",
            f"{which} is outside of the networks that may be scanned: {known}",
            f"if it is yours to scan, allow it: {option} {target}",
        )
    is_network = target.version == 6 and target.num_addresses > 1
    if is_network and not any(_overlap(target, link.network) for link in links):
        raise UsageError(
            f"scanning {target}",
            "an IPv6 network is never asked address by address, and this one is not attached",
            "name the single hosts of it, or run an agent within it",
        )


def _pieces(target: IpNetwork, links: Iterable[Link]) -> Iterator[tuple[IpNetwork, Link | None]]:
    """The parts of a target that lie on links of ours, and what is left."""
    rest = [target]
    for link in links:
        left: list[IpNetwork] = []
        for part in rest:
            common = _overlap(part, link.network)
            if common is None:
                left.append(part)
            else:
                yield common, link
                left += _without(part, [common])
        rest = left
    yield from ((part, None) for part in rest)


def _blocks(
    piece: IpNetwork, target: IpNetwork, link: Link | None
) -> Iterator[tuple[IpNetwork, IpNetwork, IpNetwork]]:
    """The blocks of a piece: each with the subnet that it lies in, and what of it is asked."""
    subnet = link.network if link else target
    if piece.version == 6:
        yield subnet, subnet, piece
        return
    prefix = max(BLOCK_PREFIX, subnet.prefixlen)
    if link is None and target.prefixlen > BLOCK_PREFIX:
        # Of a network behind a router only this part is known.
        prefix, subnet = BLOCK_PREFIX, network_of(target.network_address, BLOCK_PREFIX)
    if piece.prefixlen >= prefix:
        yield network_of(piece.network_address, prefix), subnet, piece
    else:
        yield from ((block, subnet, block) for block in piece.subnets(new_prefix=prefix))


def _collapsed(networks: Sequence[IpNetwork]) -> list[IpNetwork]:
    four = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    six = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]


def _overlap(one: IpNetwork, other: IpNetwork) -> IpNetwork | None:
    """Of two networks that overlap the smaller."""
    if one.version != other.version or not one.overlaps(other):
        return None
    return one if one.prefixlen >= other.prefixlen else other


def _without(network: IpNetwork, ranges: Iterable[IpNetwork]) -> list[IpNetwork]:
    """What is left of a network without the parts that lie in the ranges."""
    rest = [network]
    for each in ranges:
        left: list[IpNetwork] = []
        for part in rest:
            common = _overlap(part, each)
            if common is None:
                left.append(part)
            elif common != part:
                left += _excluded(part, common)
        rest = left
    return rest


def _excluded(network: IpNetwork, part: IpNetwork) -> list[IpNetwork]:
    if isinstance(network, ipaddress.IPv4Network):
        assert isinstance(part, ipaddress.IPv4Network)
        return list(network.address_exclude(part))
    assert isinstance(part, ipaddress.IPv6Network)
    return list(network.address_exclude(part))
