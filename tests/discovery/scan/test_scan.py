"""Scans of real hosts, in namespaces: what is found is the truth, and nothing else."""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing, suppress
from pathlib import Path

import pytest
import zeroconf

from mooring.discovery.scan import arp, echo, run, wiring
from mooring.discovery.scan import hosts as finding
from mooring.discovery.scan.events import Advanced, Event, Found, HostFound, PhaseBegan
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.run import Scanner
from mooring.discovery.scan.table import ArpTable
from mooring.model.scan import Depth, Sign
from tests.lab.counting import Counter
from tests.lab.hosts import Site, Spec, addresses6, site, some
from tests.lab.netns import Namespace
from tests.lab.scanning import Result, planned, scan
from tests.parts import need

pytestmark = [pytest.mark.real]

LAN = "10.77.0.0/24"
FAR = "10.78.0.0/24"
OWN = "10.77.0.254"
ROUTER = "10.77.0.1"
BEST = (80, 443, 22, 53, 8080, 3000)
"""The ports that most services are on."""

NEAR = [*some(23, dropping=0.3), Spec("10.77.0.200", (80, 9100, 9107), silent=True)]
AWAY = [*some(8, subnet=FAR, dropping=0.3, seed=2), Spec("10.78.0.77", (80,), silent=True)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Site]:
    need("netns")
    need("iptables")
    with site([*NEAR, *AWAY], [LAN, FAR], six=True) as made:
        yield made


def near(lab: Site) -> dict[str, frozenset[int]]:
    """The truth of the first subnet, as far as a light scan looks."""
    return {spec.ip: lab.truth[spec.ip] - {9107} for spec in NEAR}


def without_us(found: dict[str, frozenset[int]]) -> dict[str, frozenset[int]]:
    return {ip: ports for ip, ports in found.items() if ip not in {OWN, ROUTER, "10.78.0.1"}}


def test_all_hosts_and_all_open_ports_of_a_lan_are_found_and_no_others(lab: Site) -> None:
    found = scan(lab.scanner, [LAN])
    assert without_us(found.ports) == near(lab)
    assert found.warnings == []
    assert found.phases == ["hosts", "ports"]
    for spec in NEAR:
        host = found.hosts[spec.ip]
        assert Sign.ARP in host.signs
        assert host.mac == spec.mac
    assert Sign.SELF in found.hosts[OWN].signs


def test_who_is_there_is_all_that_is_asked_when_no_ports_are_wanted(lab: Site) -> None:
    found = scan(lab.scanner, [LAN], Depth.NONE)
    assert found.hosts.keys() == {*near(lab), OWN, ROUTER}
    assert found.ports == {}
    assert found.phases == ["hosts"]
    assert found.asked == [LAN]


def test_hosts_behind_a_router_are_found_by_icmp_and_by_tcp(lab: Site) -> None:
    found = scan(lab.scanner, [FAR], allowed=[FAR])
    assert without_us(found.ports) == {spec.ip: lab.truth[spec.ip] for spec in AWAY}
    assert Sign.ICMP in found.hosts[AWAY[0].ip].signs
    assert found.hosts["10.78.0.77"].signs == (Sign.TCP,)
    assert found.hosts[AWAY[0].ip].mac is None
    assert found.asked == [FAR]


def test_nobody_behind_a_router_is_taken_for_gone_by_who_may_not_ask_by_icmp(
    lab: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(finding, "Echoes", refused)
    found = scan(lab.scanner, [FAR], Depth.NONE, allowed=[FAR])
    assert AWAY[0].ip in found.hosts
    assert found.asked == []


def test_nobody_is_taken_for_gone_when_the_arp_table_had_no_room(
    lab: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    tables = iter([ArpTable(1024, 20, 3), ArpTable(1024, 20, 4)])
    monkeypatch.setattr(finding, "arp_table", lambda: next(tables))
    found = scan(lab.scanner, [LAN], Depth.NONE)
    assert found.asked == []


def test_nobody_is_taken_for_gone_when_the_cable_is_out(lab: Site) -> None:
    lab.core.batch("link set sc0 down")
    try:
        found = scan(lab.scanner, [LAN], Depth.NONE)
    finally:
        lab.core.batch("link set sc0 up")
    assert found.hosts.keys() == {OWN}
    assert found.asked == []
    assert [one.what for one in found.warnings] == [f"asking {LAN} on eth0"]


@pytest.mark.parametrize("line", ["route del default", "link set sc0 down"])
def test_nobody_behind_a_router_is_taken_for_gone_when_nothing_goes_there(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    need("netns")
    monkeypatch.setattr(finding, "KNOCKED", (22,))
    with site([Spec("10.78.0.5", (22,))], [LAN, FAR]) as lab:
        (lab.scanner if "route" in line else lab.core).batch(line)
        found = scan(lab.scanner, [FAR], Depth.NONE, allowed=[FAR])
        assert found.hosts == {}
        assert found.asked == []
        assert found.warnings


def test_nobody_is_taken_for_gone_whom_a_firewall_of_our_own_lets_nobody_ask() -> None:
    need("netns")
    need("iptables")
    with site([Spec("10.78.0.5", (22,))], [LAN, FAR]) as lab:
        lab.scanner.run(["iptables", "-A", "OUTPUT", "-p", "icmp", "-j", "DROP"])
        found = scan(lab.scanner, [FAR], Depth.NONE, allowed=[FAR])
        assert "10.78.0.5" in found.hosts
        assert found.asked == []
        assert [(one.what, one.why) for one in found.warnings] == [
            ("asking by ICMP echo", "operation not permitted")
        ]


def test_one_host_again_asks_no_other(lab: Site) -> None:
    found = scan(lab.scanner, [NEAR[3].ip])
    assert found.ports == {NEAR[3].ip: lab.truth[NEAR[3].ip]}


def test_all_ports_of_one_host_are_looked_at_printers_among_them(lab: Site) -> None:
    options = ScanOptions(target_rate=20_000)
    found = scan(lab.scanner, ["10.77.0.200"], Depth.FULL, options)
    assert found.ports == {"10.77.0.200": frozenset({80, 9100, 9107})}


def test_an_ipv6_subnet_is_found_by_asking_all_its_nodes(lab: Site) -> None:
    sixes = addresses6(NEAR)
    found = scan(lab.scanner, ["fd77::/64"])
    # A host that answers no echo to its IPv4 address answers one to the other.
    assert {ip: found.ports[sixes[ip]] for ip in sixes} == near(lab)
    assert found.hosts[sixes[NEAR[0].ip]].mac == NEAR[0].mac
    one = scan(lab.scanner, [sixes[NEAR[0].ip]])
    assert one.ports == {sixes[NEAR[0].ip]: lab.truth[NEAR[0].ip]}


def test_without_rights_the_same_is_found_through_the_kernel_and_said(
    lab: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    found = scan(lab.scanner, [LAN])
    assert without_us(found.ports) == near(lab)
    assert found.hosts[NEAR[0].ip].mac == NEAR[0].mac
    assert found.asked == [LAN]
    (warned,) = found.warnings
    assert "CAP_NET_RAW" in warned.why
    assert "setcap" in warned.remedy


@pytest.mark.parametrize("phase", ["hosts", "ports"])
def test_a_scan_that_is_closed_ends_at_once_with_its_threads(lab: Site, phase: str) -> None:
    async def leave() -> float:
        slow = ScanOptions(target_rate=50)
        async with aclosing(Scanner(slow).scan(planned([LAN]), Depth.FULL)) as events:
            async for event in events:
                if isinstance(event, PhaseBegan) and event.phase == phase:
                    break
            left = time.monotonic()
        return time.monotonic() - left

    before = threading.active_count()
    took = lab.scanner.call(asyncio.run, leave())
    # Far less; but a loaded machine may keep a thread from running.
    assert took < 5
    assert threading.active_count() <= before + 1


def test_the_loop_is_never_held_and_hears_how_far_it_is(lab: Site) -> None:
    async def watch() -> tuple[list[Event], int]:
        beats = 0
        seen: list[Event] = []

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            beating = group.create_task(beat())
            seen += [event async for event in Scanner().scan(planned([LAN]), Depth.LIGHT)]
            beating.cancel()
        return seen, beats

    seen, beats = lab.scanner.call(asyncio.run, watch())
    # A loop that waits for the scan itself would beat a few times only.
    assert beats > 100
    total = 0
    for event in seen:
        if isinstance(event, PhaseBegan):
            total = event.total
        if isinstance(event, Advanced):
            assert event.done <= total


def test_a_host_that_takes_all_connections_is_told_as_such_and_not_asked_on() -> None:
    need("netns")
    need("iptables")
    with site([Spec("10.77.0.5", all_open=True), Spec("10.77.0.6", (22,))]) as lab:
        for depth in (Depth.LIGHT, Depth.FULL):
            options = ScanOptions(target_rate=20_000, usual=BEST)
            found = scan(lab.scanner, ["10.77.0.5", "10.77.0.6"], depth, options)
            assert found.all_open == {"10.77.0.5"}
            assert set(BEST) <= found.ports["10.77.0.5"]
            assert len(found.ports["10.77.0.5"]) <= 1024
            assert found.ports["10.77.0.6"] == {22}
            (warned,) = found.warnings
            assert "all of them" in warned.why


@pytest.mark.parametrize("raw", [True, False])
def test_a_target_never_sees_more_than_its_rate(monkeypatch: pytest.MonkeyPatch, raw: bool) -> None:
    need("netns")
    if not raw:
        monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    with site([Spec("10.77.0.5", (22, 80)), Spec("10.77.0.6", (22,), drops=True)]) as lab:
        counters = [Counter(lab.hosts[ip]) for ip in lab.hosts]
        rate = 400
        found = scan(lab.scanner, [*lab.hosts], options=ScanOptions(target_rate=rate))
        assert found.ports["10.77.0.5"] == {22, 80}
        for counter in counters:
            times = counter.end()
            assert len(times) >= 990
            assert counter.most(0.1) <= rate / 10
            assert counter.most(1.0) <= rate


def test_a_machine_whose_arp_table_is_too_small_is_told_so(
    lab: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = iter([ArpTable(1024, 20, 3), ArpTable(1024, 1024, 9)])
    monkeypatch.setattr(run, "arp_table", lambda: next(tables))
    found = scan(lab.scanner, [LAN], Depth.NONE)
    (warned,) = found.warnings
    assert "1,024 entries" in warned.why
    assert "overflowed" in warned.why
    assert "gc_thresh3=2048" in warned.remedy


def test_a_sweep_by_the_kernel_takes_no_more_of_its_table_than_there_is(
    lab: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    monkeypatch.setattr(finding, "arp_table", lambda: ArpTable(300, 100, 0))
    found = scan(lab.scanner, ["10.77.0.0/25"], Depth.NONE)
    expected = {
        ip for ip in near(lab) if ipaddress.ip_address(ip) <= ipaddress.ip_address("10.77.0.127")
    }
    assert found.hosts.keys() == expected | {ROUTER}


def test_the_kernel_asks_for_hundreds_of_silent_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    need("netns")
    monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    monkeypatch.setattr(finding, "arp_table", lambda: ArpTable(2000, 0, 0))
    there = {f"10.77.{third}.{last}" for third in (0, 1) for last in range(9, 250, 10)}
    with site([Spec(ip, (22,)) for ip in there], ["10.77.0.0/23"]) as lab:
        found = scan(lab.scanner, ["10.77.0.0/23"], Depth.NONE)
        assert there <= found.hosts.keys()
        assert len(found.asked) == 2


def test_no_open_port_is_missed_where_every_tenth_packet_is_lost() -> None:
    need("netns")
    need("iptables")
    odd = tuple(range(3000, 3059, 2))
    with site([Spec(f"10.77.0.{n}", odd, loses=0.1) for n in range(5, 11)]) as lab:
        found = scan(lab.scanner, ["10.77.0.0/28"])
        assert {ip: found.ports[ip] for ip in lab.truth} == lab.truth


@pytest.mark.parametrize(
    ("where", "cut", "what", "why"),
    [
        ("scanner", "link set eth0 down", "sending on eth0", "network is down"),
        ("scanner", "link del eth0", "sending on eth0", "no such device or address"),
        ("core", "link set sc0 down", "sending on eth0", "the interface is down"),
    ],
)
def test_a_link_that_goes_down_in_a_scan_is_told_of_and_no_port_is_taken_for_closed(
    where: str, cut: str, what: str, why: str
) -> None:
    need("netns")
    with site([Spec("10.77.0.5", (22,))]) as lab:
        found = cut_in_ports(lab, ["10.77.0.5"], getattr(lab, where), cut)
        assert found.unsure == {"10.77.0.5"}
        (warned,) = found.warnings
        assert (warned.what, warned.why) == (what, why)


@pytest.mark.parametrize("raw", [True, False])
def test_a_route_that_goes_in_a_scan_is_told_of_and_no_port_is_taken_for_closed(
    monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    need("netns")
    if not raw:
        monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    with site([Spec("10.78.0.5", (22,))], [LAN, FAR]) as lab:
        found = cut_in_ports(lab, ["10.78.0.5"], lab.scanner, "route del default", [FAR])
        assert found.unsure == {"10.78.0.5"}
        assert "sending on routed links" in [warned.what for warned in found.warnings]


def cut_in_ports(
    lab: Site, targets: Sequence[str], where: Namespace, line: str, allowed: Sequence[str] = ()
) -> Result:
    """What a scan tells in which ``ip LINE`` is called when it begins to ask for ports."""

    async def follow() -> Result:
        result = Result()
        slow = ScanOptions(target_rate=500)
        async for event in Scanner(slow).scan(planned(targets, allowed), Depth.LIGHT):
            result.take(event)
            if isinstance(event, PhaseBegan) and event.phase == "ports":
                await asyncio.to_thread(where.batch, line)
        return result

    return lab.scanner.call(asyncio.run, follow())


@pytest.mark.parametrize("raw", [True, False])
def test_a_router_that_answers_for_others_makes_none_of_them_be_there(
    monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    need("netns")
    if not raw:
        monkeypatch.setattr(wiring, "may_be_raw", lambda: False)
    with site([Spec("10.78.0.5")], [LAN, FAR]) as lab:
        lab.router.batch("route add 10.77.0.128/26 dev eth1")
        lab.router.sysctl("ipv4/neigh/eth0/proxy_delay", 0)
        lab.router.sysctl("ipv4/conf/eth0/proxy_arp", 1)
        found = scan(lab.scanner, ["10.77.0.128/26"], Depth.NONE)
    assert found.hosts == {}
    assert any("answers for 64 addresses" in warned.why for warned in found.warnings)


def test_a_router_that_answers_for_others_does_not_make_them_be_there() -> None:
    need("netns")
    with site([Spec("10.77.0.5", (22,)), Spec("10.78.0.5")], [LAN, FAR]) as lab:
        lab.router.batch(
            "route add 10.77.0.128/26 dev eth1",
            # This one is really there, if only at the router.
            "addr add 10.77.0.130/32 dev lo",
        )
        lab.router.sysctl("ipv4/neigh/eth0/proxy_delay", 0)
        lab.router.sysctl("ipv4/conf/eth0/proxy_arp", 1)
        found = scan(lab.scanner, [LAN])
    assert found.hosts.keys() == {OWN, ROUTER, "10.77.0.5", "10.77.0.130"}
    assert found.hosts["10.77.0.130"].mac is None
    assert found.hosts["10.77.0.5"].mac is not None
    assert found.asked == [LAN]
    (warned,) = found.warnings
    assert "answers for 65 addresses, as a router does for others" in warned.why


def test_an_address_that_many_say_to_have_is_told_of_once() -> None:
    need("netns")
    ip = ipaddress.ip_address("10.77.0.5")
    with site([Spec(str(ip)), Spec("10.77.0.6"), Spec("10.77.0.7")]) as lab:
        for other in ("10.77.0.6", "10.77.0.7"):
            lab.hosts[other].batch(f"addr add {ip}/24 dev eth0")
        found = scan(lab.scanner, [LAN], Depth.NONE)
    (warned,) = found.warnings
    assert warned.what == f"asking who has {ip}"


def test_what_comes_in_a_flood_is_read_in_turns(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arp, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(echo, "MOST_AT_ONCE", 3)
    ips = [ipaddress.ip_address(spec.ip) for spec in NEAR]

    def turns() -> Iterator[int]:
        (block,) = planned([LAN]).blocks
        assert block.link is not None
        for asker in (
            arp.Arp(block.link, ips, lambda *_: None),
            echo.Echoes(ips, lambda *_: None),
        ):
            with closing(asker):
                for place in range(len(ips)):
                    asker.ask(place, 1)
                select.select([asker.fileno()], [], [], 30)
                time.sleep(0.5)
                yield len(list(asker.hear()))

    assert all(1 <= heard <= 3 for heard in lab.scanner.call(lambda: list(turns())))


AVAHI = """[server]
host-name=lamp
enable-dbus=no
use-ipv6=no
allow-interfaces=eth0
[publish]
publish-workstation=yes
"""


def test_names_and_services_are_heard_by_mdns(lab: Site, tmp_path: Path) -> None:
    avahi = need("avahi-daemon")
    conf = tmp_path / "avahi.conf"
    conf.write_text(AVAHI)
    script = f"mount -t tmpfs none /run; mkdir /run/avahi-daemon; exec {avahi} -f {conf}"
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = lab.hosts[NEAR[0].ip].popen(
            ["unshare", "-m", "sh", "-ec", f"{script} --no-drop-root --no-chroot --no-rlimits"],
            stdout=out,
            stderr=out,
        )
    try:
        limit = time.monotonic() + 30
        while b"startup complete" not in log.read_bytes():
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.1)
        host = heard(lab, NEAR[0].ip)
        assert host.names == ("lamp.local",)
        assert host.mdns == ("_workstation._tcp",)
        assert Sign.MDNS in host.signs
    finally:
        process.terminate()
        process.wait()


class Responder:
    """Answers every question of mDNS with a packet, and with nonsense, after some seconds."""

    def __init__(self, ns: Namespace, packet: bytes, after: float = 0.0) -> None:
        self._packet = packet
        self._after = after
        self._ending = threading.Event()
        self._socket = ns.call(self._open)
        self._thread = threading.Thread(target=self._answer, name="responder")
        self._thread.start()

    def _open(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("", 5353))
        eth0 = socket.if_nametoindex("eth0")
        group = socket.inet_aton("224.0.0.251") + bytes(4) + struct.pack("=i", eth0)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        made.settimeout(0.1)
        return made

    def _answer(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                _, sender = self._socket.recvfrom(9000)
                time.sleep(self._after)
                self._socket.sendto(self._packet, sender)
                self._socket.sendto(b"\0\0\x84\0" + b"\xff" * 60, sender)

    def end(self) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close()


def lies(neighbour: str) -> bytes:
    """Names for its sender, a neighbour and far addresses."""
    out = zeroconf.DNSOutgoing(0x8400)

    def add(record: zeroconf.DNSRecord) -> None:
        out.add_answer_at_time(record, 0)

    for number in range(12):
        add(
            zeroconf.DNSService(f"a{number}._x._tcp.local.", 33, 1, 9, 0, 0, 1, f"n{number}.local.")
        )
        kind = f"_t{number}._tcp.local."
        add(zeroconf.DNSPointer("_services._dns-sd._udp.local.", 12, 1, 9, kind))
    for claimed in (neighbour, "8.8.8.8", "10.77.0.99"):
        add(zeroconf.DNSAddress("gateway.local.", 1, 1, 9, socket.inet_aton(claimed)))
    (packet,) = out.packets()
    return packet


def test_who_lies_by_mdns_makes_no_hosts_and_has_a_few_names(lab: Site) -> None:
    liar = Responder(lab.hosts[NEAR[1].ip], lies(NEAR[2].ip))
    try:
        host = heard(lab, NEAR[1].ip)
        found = scan(lab.scanner, [LAN], Depth.NONE)
    finally:
        liar.end()
    assert 1 <= len(host.names) <= 4
    assert len(host.mdns) <= 50
    assert found.hosts.keys() == {*near(lab), OWN, ROUTER}
    # What one says of another is kept as a name, and is no sign that it is there.
    assert Sign.MDNS not in found.hosts[NEAR[2].ip].signs


def test_what_a_host_calls_itself_comes_before_what_others_call_it(lab: Site) -> None:
    ip = NEAR[2].ip
    out = zeroconf.DNSOutgoing(0x8400)
    out.add_answer_at_time(zeroconf.DNSAddress("lamp.local.", 1, 1, 9, socket.inet_aton(ip)), 0)
    liar = Responder(lab.hosts[NEAR[1].ip], lies(ip))
    honest = Responder(lab.hosts[ip], out.packets()[0], after=0.1)
    try:
        host = heard(lab, ip, "lamp.local", "gateway.local")
    finally:
        liar.end()
        honest.end()
    assert host.names == ("lamp.local", "gateway.local")


def heard(lab: Site, ip: str, *names: str) -> Found:
    """The host, once it was heard by mDNS: a multicast may be lost on a loaded machine."""
    found: Result | None = None
    for _ in range(5):
        found = scan(lab.scanner, [LAN], Depth.NONE)
        if found.hosts[ip].names and {*names} <= {*found.hosts[ip].names}:
            break
    assert found is not None
    return found.hosts[ip]


def test_each_thing_that_is_told_of_a_host_holds_what_was_told_before(lab: Site) -> None:
    async def follow() -> None:
        known: dict[str, Found] = {}
        async for event in Scanner().scan(planned([LAN]), Depth.LIGHT):
            if isinstance(event, HostFound):
                before = known.get(str(event.host.ip))
                known[str(event.host.ip)] = event.host
                assert before is None or set(before.signs) <= set(event.host.signs)

    lab.scanner.call(asyncio.run, follow())
