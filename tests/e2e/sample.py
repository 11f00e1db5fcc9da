"""A made-up site that reports to a real server: for lists of some length and for pictures.

Machines with Docker, two LANs with IPv4 and IPv6, a lab, a VPN and a router in all of them. What
is sent are reports such as agents send, through the same door.
"""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.request
import uuid
from dataclasses import dataclass, replace
from typing import Any

from mooring.discovery.catalogue.folders import load
from mooring.discovery.identify import identify_container
from mooring.model import wire
from mooring.model.container import (
    Attachment,
    Container,
    Engine,
    EngineKind,
    EngineNetwork,
    EngineState,
    PublishedPort,
)
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    IpNetwork,
    Neighbour,
    NeighbourState,
    Route,
    Subnet,
    SubnetKind,
)
from mooring.model.report import Engines, Report, RunMark, SetAside

DEBIAN = OperatingSystem("Debian GNU/Linux 12 (bookworm)", "Linux 6.1.0-28-amd64", "x86_64")
UBUNTU = OperatingSystem("Ubuntu 24.04.1 LTS", "Linux 6.8.0-49-generic", "x86_64")
RASPBERRY = OperatingSystem("Raspberry Pi OS 12", "Linux 6.6.51-v8", "aarch64")

OFFICE = ("10.20.0.0/24", "fd5a:20::/64")
SERVERS = ("10.20.8.0/24", "fd5a:28::/64")
LAB = ("10.40.0.0/24",)
VPN = "10.99.0.0/24"


@dataclass(frozen=True)
class Link:
    """An interface of a machine and the networks that it has an address in."""

    name: str
    kind: InterfaceKind
    networks: tuple[str, ...]
    subnet_kind: SubnetKind = SubnetKind.LAN


def site(office: int = 22, servers: int = 14, lab: int = 9) -> list[tuple[Machine, Engines]]:
    """Machines and their containers; the first servers have the most to show."""
    machines = []
    number = 0

    def add(name: str, os: OperatingSystem, *links: Link, projects: tuple[str, ...] = ()) -> None:
        nonlocal number
        number += 1
        machines.append(_machine(number, name, os, links, projects))

    ethernet = InterfaceKind.ETHERNET
    office_link = Link("eth0", ethernet, OFFICE)
    server_link = Link("eno1", ethernet, SERVERS)
    lab_link = Link("end0", ethernet, LAB)
    vpn_link = Link("wg0", InterfaceKind.WIREGUARD, (VPN,), SubnetKind.VPN)
    shown = ("shop", "monitoring", "registry")
    for i in range(servers):
        name = ("app", "db", "storage", "build", "mail", "backup")[i % 6]
        projects = shown if i == 0 else shown[: i % 3] if i % 4 == 0 else ()
        links = (server_link, vpn_link) if i == 5 else (server_link,)
        add(f"{name}-{i // 6 + 1:02}", DEBIAN, *links, projects=projects)
    for i in range(office):
        name = ("desk", "printer", "meeting", "kiosk")[i % 4]
        projects = ("dev",) if i % 8 == 0 else ()
        links = (office_link, vpn_link) if i % 11 == 2 else (office_link,)
        add(f"{name}-{i // 4 + 1:02}", UBUNTU, *links, projects=projects)
    for i in range(lab):
        add(f"rig-{i + 1:02}", RASPBERRY, lab_link)
    add("gateway", DEBIAN, server_link, Link("eno2", ethernet, OFFICE), vpn_link)
    add("lab-gateway", DEBIAN, server_link, Link("eno2", ethernet, LAB))
    return machines


def renamed(machine: Machine, name: str) -> Machine:
    """Another machine, of this name, in the same networks: with addresses that are free there."""
    interfaces = tuple(
        replace(
            interface,
            mac=None if interface.mac is None else _mac(0xFFF, at),
            addresses=tuple(
                Address(a.ip if a.ip.is_loopback else a.ip + 0x80, a.prefix)
                for a in interface.addresses
            ),
        )
        for at, interface in enumerate(machine.interfaces)
    )
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    return replace(machine, identity=identity, hostname=name, interfaces=interfaces)


def send(
    url: str, key: str, reports: list[tuple[Machine, Engines]], *, bad: bool = True
) -> list[str]:
    """Report the machines and their containers; the outboxes by which their agents are known.

    With ``bad`` the first machine's report has an item that could not be stored.
    """
    outboxes = []
    for i, (machine, engines) in enumerate(reports):
        outbox, run = str(uuid.uuid4()), str(uuid.uuid4())
        now = time.time() - 0.2
        aside = (
            SetAside("subnet", "10.0.0.300/33 of tun7", "expected an IPv4 network, got 10.0.0.300"),
        )
        first = Report(
            "machine",
            outbox,
            1,
            now,
            machine,
            (RunMark(run, "start", now - 0.1),),
            aside if bad and i == 0 else (),
        )
        last = Report(
            "containers", outbox, 2, now, engines, (RunMark(run, "start", now - 0.1, True),)
        )
        for report in (first, last):
            post(url, "reports", key, wire.encode(report))
        outboxes.append(outbox)
        poll = {"outbox": outbox, "version": "0.1.0", "name": machine.hostname, "wait_s": 0}
        post(url, "agents/poll", key, json.dumps(poll).encode())
    return outboxes


def progress(url: str, key: str, outbox: str, run: str, **said: Any) -> None:
    """Say how far a run of the agent with this outbox is."""
    post(url, f"runs/{run}/progress", key, json.dumps({"outbox": outbox, **said}).encode())


def post(url: str, path: str, key: str, body: bytes) -> bytes:
    """What an agent sends, with its key; the answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def _machine(
    number: int,
    name: str,
    os: OperatingSystem,
    links: tuple[Link, ...],
    projects: tuple[str, ...],
) -> tuple[Machine, Engines]:
    interfaces = [_loopback()]
    subnets = [Subnet(ipaddress.ip_network("127.0.0.0/8"), SubnetKind.LOOPBACK, "lo")]
    routes: list[Route] = []
    for at, link in enumerate(links):
        networks = [ipaddress.ip_network(cidr) for cidr in link.networks]
        interfaces.append(
            Interface(
                link.name,
                2 + at,
                link.kind,
                InterfaceState.UP,
                None if link.kind is InterfaceKind.WIREGUARD else _mac(number, at),
                1420 if link.kind is InterfaceKind.WIREGUARD else 1500,
                tuple(Address(network[number + 9], network.prefixlen) for network in networks),
            )
        )
        subnets += [
            Subnet(network, link.subnet_kind, link.name, gateway=network[1]) for network in networks
        ]
        routes += [Route(network.version, network, None, link.name) for network in networks]
    routes.insert(0, Route(4, None, subnets[1].gateway, links[0].name, 100))
    engine_networks = []
    containers: list[Container] = []
    for at, project in enumerate(projects):
        network = ipaddress.ip_network(f"172.{18 + at}.0.0/16")
        bridge = f"br-{project[:8]}"
        mac = _mac(number, 20 + at)
        here = (Address(network[1], 16),)
        interfaces.append(
            Interface(bridge, 10 + at, InterfaceKind.BRIDGE, InterfaceState.UP, mac, 1500, here)
        )
        subnet = Subnet(network, SubnetKind.DOCKER_BRIDGE, bridge, project, network[1])
        subnets.append(subnet)
        engine_networks.append(
            EngineNetwork(_hex(number, at, "network"), project, "bridge", (subnet,), bridge)
        )
        containers += _containers(number, at, project, network)
    neighbours = tuple(
        Neighbour(n[1], links[0].name, NeighbourState.REACHABLE, _mac(99, i), True)
        for i, n in enumerate(s.cidr for s in subnets[1:3])
        if links
    )
    capabilities = tuple(Capability(c, True) for c in ("interfaces", "routes", "neighbours"))
    machine = Machine(
        str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        name,
        os,
        tuple(interfaces),
        tuple(subnets),
        tuple(routes),
        neighbours,
        capabilities,
    )
    socket = "unix:///var/run/docker.sock"
    if projects:
        engine = Engine(
            socket,
            EngineState.ANSWERED,
            EngineKind.DOCKER,
            "27.3.1",
            elapsed_ms=11.4,
            containers=tuple(containers),
            networks=tuple(engine_networks),
        )
    else:
        engine = Engine(socket, EngineState.ABSENT, detail=f"there is no {socket}")
    return machine, Engines((engine,))


_IMAGES = {
    "shop": (("web", "nginx:1.27", 80, 8080), ("db", "postgres:16", 5432, None)),
    "monitoring": (
        ("prometheus", "prom/prometheus:v2.55.0", 9090, 9090),
        ("grafana", "grafana/grafana:11.3.0", 3000, 3000),
    ),
    "registry": (("registry", "registry:2", 5000, 5000),),
    "dev": (("cache", "redis:7", 6379, 6379),),
}


def _containers(number: int, at: int, project: str, network: IpNetwork) -> list[Container]:
    found = []
    for n, (service, image, port, published) in enumerate(_IMAGES[project]):
        anywhere = ipaddress.ip_address("0.0.0.0")
        found.append(
            Container(
                _hex(number, at, service),
                f"{project}-{service}-1",
                image,
                "running",
                "Up 6 days",
                created_at=time.time() - 6 * 86_400,
                ports=(
                    PublishedPort("tcp", port, anywhere, published)
                    if published
                    else PublishedPort("tcp", port),
                ),
                attachments=(Attachment(project, network[n + 2]),),
                compose_project=project,
                compose_service=service,
                services=identify_container(image, {}, load().catalogue),
            )
        )
    return found


def _loopback() -> Interface:
    address = Address(ipaddress.ip_address("127.0.0.1"), 8)
    return Interface(
        "lo", 1, InterfaceKind.LOOPBACK, InterfaceState.UNKNOWN, None, 65536, (address,)
    )


def _mac(number: int, at: int) -> str:
    return f"02:00:5e:{at:02x}:{number // 256:02x}:{number % 256:02x}"


def _hex(*parts: object) -> str:
    return (uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(map(str, parts))).hex * 2)[:64]
