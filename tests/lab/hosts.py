"""Real hosts to be scanned: many network namespaces, served by this one process. Needs root.

``with site([Spec("10.77.0.5", open=(22, 80), drops=True)]) as lab: lab.scanner.call(…)``. A bridge
for each subnet in a namespace of its own, a router that is the first address of each, a scanner in
the first subnet. Nothing is joined to the machine's own network.

A port that is open is a listener of this process; nobody accepts, which a half-open scan needs not.
64 hosts take half a second, 1,000 some five.
"""

from __future__ import annotations

import ipaddress
import os
import random
import resource
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.netns import Namespace, _check, _in_thread, _libc, namespace

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"

COMMON = (
    21,
    22,
    25,
    53,
    80,
    110,
    143,
    443,
    445,
    631,
    993,
    1883,
    3000,
    3306,
    5432,
    6379,
    8080,
    8443,
)
"""Ports that hosts have open, some of them each."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A host that shall be there."""

    ip: str
    open: tuple[int, ...] = ()
    drops: bool = False
    """It says nothing on the ports that are not open, in place of a reset."""
    all_open: bool = False
    """Every port takes connections."""
    silent: bool = False
    """It answers no echo."""
    loses: float = 0.0
    """The share of TCP packets that is lost on the way to it, and again on the way from it."""

    @property
    def mac(self) -> str:
        four = ipaddress.IPv4Address(self.ip).packed
        return "02:77:" + four.hex(":")


@dataclass(slots=True)
class Site:
    core: Namespace
    """Holds the bridges; the scanner's end there is sc0, a host's p0, p1, …."""
    scanner: Namespace
    router: Namespace
    hosts: dict[str, Namespace]
    truth: dict[str, frozenset[int]]
    """The ports that are open at each address."""
    listeners: list[socket.socket] = field(default_factory=list)


def some(
    count: int, *, subnet: str = "10.77.0.0/24", dropping: float = 0.0, seed: int = 1
) -> list[Spec]:
    """So many hosts with some open ports each, of which a share drops; the same each time."""
    chance = random.Random(seed)
    net = ipaddress.ip_network(subnet)
    first, last = int(net.network_address) + 2, int(net.broadcast_address) - 2
    addresses = sorted(chance.sample(range(first, last), count))
    return [
        Spec(
            str(ipaddress.ip_address(number)),
            tuple(sorted(chance.sample(COMMON, chance.randint(1, 5)))),
            drops=place < round(dropping * count),
        )
        for place, number in enumerate(addresses)
    ]


@contextmanager
def site(
    hosts: Sequence[Spec], subnets: Iterable[str] = ("10.77.0.0/24",), *, six: bool = False
) -> Iterator[Site]:
    """The hosts, each in the subnet that its address lies in; the scanner is in the first, at the
    last address but one. With ``six`` everything has an IPv6 address of fd77::/64 as well."""
    nets = [ipaddress.ip_network(subnet) for subnet in subnets]
    with ExitStack() as stack:
        core = stack.enter_context(namespace())
        router = stack.enter_context(namespace())
        scanner = stack.enter_context(namespace())
        router.sysctl("ipv4/ip_forward", 1)
        lines, routed = [], []
        for number, net in enumerate(nets):
            lines += [
                f"link add br{number} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
                f"link set br{number} up",
                f"link add rt{number} type veth peer name eth{number} netns {router.name}",
                f"link set rt{number} master br{number} up",
            ]
            address = f"{net[1]}/{net.prefixlen}"
            routed += [f"link set eth{number} up", f"addr add {address} dev eth{number}"]
        lines += [
            f"link add sc0 type veth peer name eth0 netns {scanner.name}",
            "link set sc0 master br0 up",
        ]
        core.batch(*lines)
        router.batch(*routed)
        own6 = ["addr add fd77::fffe/64 dev eth0 nodad"] if six else []
        scanner.batch(
            "link set eth0 up",
            f"addr add {nets[0][-2]}/{nets[0].prefixlen} dev eth0",
            f"route add default via {nets[0][1]}",
            *own6,
        )
        made = _make(stack, core, nets, hosts, six)
        truth = {spec.ip: frozenset(spec.open) for spec in hosts}
        lab = Site(core, scanner, router, made, truth)
        stack.callback(_close, lab.listeners)
        _listen(lab, hosts)
        yield lab


def addresses6(specs: Iterable[Spec]) -> dict[str, str]:
    """The IPv6 address of each host of a site with ``six``."""
    return {spec.ip: f"fd77::{int(ipaddress.IPv4Address(spec.ip)) & 0xFFFF:x}" for spec in specs}


def _make(
    stack: ExitStack,
    core: Namespace,
    nets: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
    hosts: Sequence[Spec],
    six: bool,
) -> dict[str, Namespace]:
    """A namespace for each host: three processes for each would be slow, so it is one."""
    made: dict[str, Namespace] = {}
    lines = []
    sixes = addresses6(hosts)
    for number, spec in enumerate(hosts):
        ns = Namespace(f"{core.name}-h{number}")
        stack.callback(_gone, ns.path)
        made[spec.ip] = ns
        where = next(
            place for place, net in enumerate(nets) if ipaddress.ip_address(spec.ip) in net
        )
        lines += [
            f"link add p{number} type veth peer name eth0 address {spec.mac} netns {ns.name}",
            f"link set p{number} master br{where} up",
        ]

    def unshare_each() -> None:
        for ns in made.values():
            ns.path.touch(exist_ok=False)
            _check(_libc.unshare(_CLONE_NEWNET), "unshare")
            bound = _libc.mount(_OWN.encode(), os.fsencode(ns.path), b"none", 0x1000, None)
            _check(bound, f"binding {ns.path}")
            for which in ("all", "default"):
                base = Path("/proc/sys/net/ipv6/conf") / which
                (base / "accept_dad").write_text("0")
                (base / "router_solicitations").write_text("0")
                (base / "disable_ipv6").write_text("0" if six else "1")

    _in_thread(unshare_each)
    core.batch(*lines)
    for spec in hosts:
        net = next(net for net in nets if ipaddress.ip_address(spec.ip) in net)
        own6 = [f"addr add {sixes[spec.ip]}/64 dev eth0 nodad"] if six else []
        made[spec.ip].batch(
            "link set lo up",
            "link set eth0 up",
            f"addr add {spec.ip}/{net.prefixlen} dev eth0",
            f"route add default via {net[1]}",
            *own6,
        )
        rules = _rules(spec)
        if rules:
            made[spec.ip].run(["iptables-restore"], input=rules)
            if six and spec.drops:
                made[spec.ip].run(["ip6tables-restore"], input=rules)
        if spec.silent:
            made[spec.ip].sysctl("ipv4/icmp_echo_ignore_all", 1)
    return made


def _rules(spec: Spec) -> str:
    if spec.all_open:
        # One listener gets them all.
        return "*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 7\nCOMMIT\n"
    if spec.loses:
        lost = f"-p tcp -m statistic --mode random --probability {spec.loses} -j DROP"
        return f"*filter\n-A INPUT {lost}\n-A OUTPUT {lost}\nCOMMIT\n"
    if spec.drops:
        accepted = "".join(f"-A INPUT -p tcp --dport {port} -j ACCEPT\n" for port in spec.open)
        return f"*filter\n{accepted}-A INPUT -p tcp -j DROP\nCOMMIT\n"
    return ""


def _listen(lab: Site, hosts: Sequence[Spec]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def listen(ports: Iterable[int]) -> None:
        for port in ports:
            made = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
            lab.listeners.append(made)

    def listen4(ports: Iterable[int]) -> None:
        for port in ports:
            lab.listeners.append(socket.create_server(("", port)))

    for spec in hosts:
        ports = (7,) if spec.all_open else spec.open
        ns = lab.hosts[spec.ip]
        with_six = ns.call(Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text) == "0\n"
        ns.call(listen if with_six else listen4, ports)


def _close(listeners: list[socket.socket]) -> None:
    for one in listeners:
        one.close()


def _gone(path: Path) -> None:
    _libc.umount2(os.fsencode(path), 2)
    path.unlink(missing_ok=True)
