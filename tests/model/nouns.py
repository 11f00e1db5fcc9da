"""Hypothesis strategies for every noun of a report: whatever an agent may rightly see."""

from __future__ import annotations

import ipaddress
import string

from hypothesis import strategies as st

from mooring.model.can import (
    BusHealth,
    Calls,
    CanWiring,
    DriverTotals,
    EndpointHealth,
    Finding,
    Health,
    Recovered,
    Recovery,
    Weight,
)
from mooring.model.container import (
    Attachment,
    Container,
    Engine,
    EngineKind,
    EngineNetwork,
    EngineState,
    PublishedPort,
)
from mooring.model.forward import (
    Diagnosis,
    Drop,
    Forward,
    Forwards,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
    RemoteHost,
    Reported,
    Spread,
    Totals,
)
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    Neighbour,
    NeighbourState,
    Route,
    Subnet,
    SubnetKind,
    network_of,
)
from mooring.model.report import Engines, Report, RunMark, SetAside
from mooring.model.scan import BLOCK_PREFIX, Depth, Scan, ScannedHost, Sign
from mooring.model.service import Evidence, Means, OpenPort, Protocol, Service


def texts(most: int, least: int = 0) -> st.SearchStrategy[str]:
    letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    return st.text(letters, min_size=least, max_size=min(most, 40))


names = texts(253, 1)
counts = st.integers(0, 2**32 - 1)
moments = st.floats(0, 1e11)
macs = st.integers(6, 20).flatmap(
    lambda size: st.binary(min_size=size, max_size=size).map(lambda raw: raw.hex(":"))
)
addresses_v4 = st.ip_addresses(v=4)
addresses_v6 = st.ip_addresses(v=6)
ips = addresses_v4 | addresses_v6
maybe_ips = st.none() | ips


@st.composite
def networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    ip = draw(ips)
    return network_of(ip, draw(st.integers(0, ip.max_prefixlen)))


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    ip = draw(ips)
    family = addresses_v4 if ip.version == 4 else addresses_v6
    return Address(ip, draw(st.integers(0, ip.max_prefixlen)), draw(st.none() | family))


interfaces = st.builds(
    Interface,
    name=names,
    index=counts,
    kind=st.sampled_from(InterfaceKind),
    state=st.sampled_from(InterfaceState),
    mac=st.none() | macs,
    mtu=counts,
    addresses=st.lists(addresses(), max_size=4, unique=True).map(tuple),
    master=st.none() | names,
    parent=st.none() | names,
    vlan=st.none() | st.integers(0, 4095),
)
subnets = st.builds(
    Subnet,
    cidr=networks(),
    kind=st.sampled_from(SubnetKind),
    interface=st.none() | names,
    name=st.none() | texts(500),
    gateway=maybe_ips,
)
routes = st.builds(
    Route,
    family=st.sampled_from([4, 6]),
    destination=st.none() | networks(),
    gateway=maybe_ips,
    interface=st.none() | names,
    metric=counts,
)
neighbours = st.builds(
    Neighbour,
    ip=ips,
    interface=names,
    state=st.sampled_from(NeighbourState),
    mac=st.none() | macs,
    router=st.booleans(),
)
capabilities = st.builds(Capability, name=texts(64), available=st.booleans(), detail=texts(2000))
machines = st.builds(
    Machine,
    identity=texts(128, 1),
    hostname=texts(253),
    os=st.builds(OperatingSystem, texts(500), texts(500), texts(64)),
    interfaces=st.lists(interfaces, max_size=4, unique_by=lambda i: i.name).map(tuple),
    subnets=st.lists(subnets, max_size=4).map(tuple),
    routes=st.lists(routes, max_size=4).map(tuple),
    neighbours=st.lists(neighbours, max_size=4).map(tuple),
    capabilities=st.lists(capabilities, max_size=3, unique_by=lambda c: c.name).map(tuple),
)

sure = st.floats(0, 1)
evidence = st.builds(Evidence, st.sampled_from(Means), seen=texts(200), confidence=sure)
services = st.builds(
    Service,
    name=texts(64, 1),
    title=texts(200),
    category=texts(64),
    version=texts(200),
    confidence=sure,
    evidence=st.lists(evidence, max_size=3).map(tuple),
)
service_lists = st.lists(services, max_size=2, unique_by=lambda s: s.name).map(tuple)

ports = st.integers(0, 65535)
published_ports = st.builds(
    PublishedPort,
    protocol=texts(64),
    container_port=ports,
    host_ip=maybe_ips,
    host_port=st.none() | ports,
)
attachments = st.builds(
    Attachment,
    network=texts(500),
    ip=maybe_ips,
    ip6=maybe_ips,
    mac=st.none() | macs,
    endpoint=st.none() | texts(128, 1),
)
containers = st.builds(
    Container,
    id=st.text(string.hexdigits.lower()[:16], min_size=12, max_size=128),
    name=texts(500),
    image=texts(1000),
    state=texts(64),
    status=texts(500),
    health=st.none() | texts(64),
    created_at=st.none() | moments,
    ports=st.lists(published_ports, max_size=3).map(tuple),
    attachments=st.lists(attachments, max_size=3).map(tuple),
    labels=st.lists(st.tuples(texts(500), texts(2000)), max_size=3).map(tuple),
    compose_project=st.none() | texts(500),
    compose_service=st.none() | texts(500),
    services=service_lists,
)
engine_networks = st.builds(
    EngineNetwork,
    id=texts(500),
    name=texts(500),
    driver=texts(500),
    subnets=st.lists(subnets, max_size=2).map(tuple),
    bridge=st.none() | names,
)
engines = st.builds(
    Engine,
    socket=texts(500),
    state=st.sampled_from(EngineState),
    kind=st.none() | st.sampled_from(EngineKind),
    version=texts(500),
    detail=texts(2000),
    elapsed_ms=st.floats(0, allow_infinity=False),
    containers=st.lists(containers, max_size=3, unique_by=lambda c: c.id).map(tuple),
    networks=st.lists(engine_networks, max_size=3, unique_by=lambda n: n.id).map(tuple),
)
engine_lists = st.builds(
    Engines, st.lists(engines, max_size=2, unique_by=lambda e: e.socket).map(tuple)
)

wholes = st.integers(0, 2**53)
spans = st.floats(0, 1e15)
places = texts(100)
forwards = st.builds(
    Forward,
    local=places,
    remote=texts(300),
    protocol=texts(16),
    container=texts(253),
    state=st.sampled_from(ForwardState),
    since=moments,
    connections=wholes,
    bytes_in=st.none() | wholes,
    bytes_out=st.none() | wholes,
    detail=texts(2000),
)


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    bounds = sorted(draw(st.sets(spans, max_size=5)))
    size = len(bounds) + 1
    counts = draw(st.lists(wholes, min_size=size, max_size=size))
    return Spread(tuple(bounds), tuple(counts), draw(spans))


totals = st.builds(
    Totals,
    since=moments,
    outages=st.lists(st.tuples(texts(64), wholes), max_size=3).map(tuple),
    away_s=spans,
    drift=wholes,
    flaps=wholes,
    connections=wholes,
    held=wholes,
    failed=wholes,
    bytes_in=wholes,
    bytes_out=wholes,
    listening=st.just(Spread()) | spreads(),
)
happened = st.builds(
    Moment,
    at=moments,
    what=texts(64, 1),
    place=places,
    container=texts(253),
    detail=texts(2000),
)
remote_hosts = st.builds(
    RemoteHost,
    host=texts(500, 1),
    state=st.sampled_from(LinkState),
    since=moments,
    generation=wholes,
    consecutive_failures=wholes,
    docker=texts(2000),
    ping_ms=st.none() | spans,
    last_drop=st.none() | st.builds(Drop, at=moments, pattern=texts(64), seconds=st.none() | spans),
    forwards=st.lists(forwards, max_size=3).map(tuple),
    detail=texts(2000),
)
said = st.lists(texts(2000), max_size=3).map(tuple)
reported = st.builds(
    Reported,
    remote=remote_hosts,
    diagnosis=st.builds(Diagnosis, st.sampled_from(Pattern), said, said),
    totals=totals,
    history=st.lists(happened, max_size=3).map(tuple),
)
forward_lists = st.builds(
    Forwards, st.lists(reported, max_size=2, unique_by=lambda r: r.remote.host).map(tuple)
)

endpoints = st.builds(
    EndpointHealth,
    id=texts(128, 1),
    network=texts(128),
    state=texts(64),
    interface=texts(253),
    access=texts(64),
    received=wholes,
    sent=wholes,
    dropped=wholes,
)
buses = st.builds(
    BusHealth,
    device=names,
    networks=st.lists(texts(128, 1), max_size=3).map(tuple),
    present=st.booleans(),
    up=st.booleans(),
    physical=st.booleans(),
    state=texts(64),
    rules_wanted=counts,
    rules_present=counts,
    endpoints=st.lists(endpoints, max_size=3, unique_by=lambda e: e.id).map(tuple),
)
findings = st.builds(
    Finding, st.sampled_from(Weight), subject=texts(2000), what=texts(2000), remedy=texts(2000)
)
driver_totals = st.builds(
    DriverTotals,
    since=moments,
    calls=st.lists(st.builds(Calls, texts(64, 1), st.booleans(), wholes, spans), max_size=3).map(
        tuple
    ),
    recoveries=st.lists(st.tuples(texts(64), wholes), max_size=3).map(tuple),
)
recoveries = st.builds(
    Recovery, st.sampled_from(Recovered), device=texts(253), subject=texts(2000), at=moments
)
wirings = st.builds(
    CanWiring,
    driver=texts(2000),
    health=st.builds(
        Health,
        modules=st.dictionaries(texts(64), st.booleans(), max_size=3),
        buses=st.lists(buses, max_size=2, unique_by=lambda b: b.device).map(tuple),
        findings=st.lists(findings, max_size=3).map(tuple),
    ),
    totals=st.none() | driver_totals,
    recoveries=st.lists(recoveries, max_size=3).map(tuple),
    identity=st.none() | texts(128, 1),
)

one_port = st.integers(1, 65535)
open_ports = st.builds(
    OpenPort,
    protocol=st.sampled_from(Protocol),
    number=one_port,
    services=service_lists,
    tls=st.booleans(),
    says=texts(200),
    asked=st.booleans(),
)


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    ip = draw(ips)
    least = BLOCK_PREFIX if ip.version == 4 else 0
    block = network_of(ip, draw(st.integers(least, ip.max_prefixlen)))
    size = min(block.num_addresses, 10**6)
    hosts = st.builds(
        ScannedHost,
        ip=st.integers(0, size - 1).map(lambda n: block[n]),
        signs=st.lists(st.sampled_from(Sign), unique=True).map(tuple),
        mac=st.none() | macs,
        vendor=texts(200),
        names=st.lists(texts(253, 1), max_size=3, unique=True).map(tuple),
        round_trip_ms=st.none() | spans,
        depth=st.sampled_from(Depth),
        ports=st.lists(open_ports, max_size=3, unique_by=lambda p: p.place).map(tuple),
        services=service_lists,
    )
    ranges = st.tuples(one_port, one_port).map(lambda pair: (min(pair), max(pair)))
    return Scan(
        block=block,
        subnet=draw(networks()),
        hosts=tuple(draw(st.lists(hosts, max_size=4, unique_by=lambda h: h.ip))),
        whole=draw(st.booleans()),
        looked_at=tuple(draw(st.lists(ranges, max_size=3))),
    )


run_marks = st.builds(
    RunMark,
    id=st.uuids().map(str),
    trigger=texts(64),
    started_at=moments,
    final=st.booleans(),
)
set_asides = st.builds(SetAside, kind=texts(64), item=texts(2000), reason=texts(2000))
reports = st.builds(
    Report,
    subject=texts(200, 1),
    outbox=texts(64, 1),
    number=st.integers(1, 2**53),
    taken_at=moments,
    body=machines | engine_lists | forward_lists | wirings | scans(),
    runs=st.lists(run_marks, max_size=3).map(tuple),
    set_aside=st.lists(set_asides, max_size=3).map(tuple),
)
