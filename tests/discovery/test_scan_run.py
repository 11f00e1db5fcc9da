"""A run of kind scan: what is found is reported as it comes, whatever becomes of the run."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import structlog.testing

from mooring.core.errors import MooringError
from mooring.core.progress import Progress
from mooring.core.tasks import Tasks
from mooring.discovery import scan_run
from mooring.discovery.scan import plan
from mooring.discovery.scan.events import (
    Advanced,
    BlockAsked,
    Event,
    Found,
    HostDone,
    HostFound,
    PhaseBegan,
    PortsFound,
    Warned,
)
from mooring.discovery.scan_run import Scans, Tools, Wiring
from mooring.model.net import Address, Interface, InterfaceKind, InterfaceState, IpAddress
from mooring.model.report import RunMark, SetAside
from mooring.model.scan import ALL_OPEN, Depth, Scan, ScanOrder, Sign
from mooring.model.service import OpenPort, Protocol, Service

RUN = RunMark("01a1fc21-767b-7291-98a6-27af129db9ad", "request", 5.0)
OTHER = replace(RUN, id="01a1fc21-767b-7291-98a6-27af129db9ae")
ETH0 = Interface(
    "eth0",
    2,
    InterfaceKind.ETHERNET,
    InterfaceState.UP,
    "02:00:00:00:00:01",
    1500,
    (Address(ip_address("10.0.0.1"), 24),),
)
ALPHA, BETA = ip_address("10.0.0.5"), ip_address("10.0.0.6")
NGINX = Service("nginx", "nginx", "web", "", 0.9)
LAN = ip_network("10.0.0.0/24")
ATTACHED = ScanOrder()


def found(ip: IpAddress, **more: Any) -> HostFound:
    return HostFound(Found(ip, (Sign.ARP,), **more))


WHOLE: list[Event | Callable[[], Awaitable[object]]] = [
    PhaseBegan("hosts", 254),
    found(ALPHA),
    Advanced(100),
    found(BETA, mac="02:00:00:00:00:06"),
    Advanced(254),
    BlockAsked(LAN),
    PhaseBegan("ports", 20),
    PortsFound(ALPHA, (22, 80)),
    HostDone(ALPHA, (22, 80)),
    HostDone(BETA, ()),
    Advanced(20),
]


@dataclass
class Book:
    """The far edge: takes what is reported and said."""

    reports: list[tuple[str, Scan, RunMark | None, tuple[SetAside, ...]]] = field(
        default_factory=list
    )
    said: list[tuple[str, Progress]] = field(default_factory=list)
    full: bool = False

    async def report(self, subject: str, body: Any, run: Any = None, aside: Any = ()) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise MooringError("keeping a report", "no space left on device", "make room")
        self.reports.append((subject, body, run, aside))

    def say(self, run: RunMark, progress: Progress) -> None:
        self.said.append((run.id, progress))

    @property
    def last(self) -> Scan:
        return self.reports[-1][1]

    def story(self, run: RunMark = RUN) -> list[str]:
        return [line.event for name, p in self.said for line in p.lines if name == run.id]

    def texts(self) -> list[str]:
        return [line.text for _, p in self.said for line in p.lines]

    def states(self, run: RunMark = RUN) -> list[str]:
        states = [p.state for name, p in self.said if name == run.id]
        return [s for at, s in enumerate(states) if at == 0 or states[at - 1] != s]


@dataclass
class Engine:
    """A scanner that tells what it is given to tell, and waits where it is told to."""

    events: list[Any] = field(default_factory=lambda: list(WHOLE))
    closed: int = 0
    depths: list[Depth] = field(default_factory=list)

    async def scan(self, planned: plan.Plan, depth: Depth) -> AsyncGenerator[Event, None]:
        self.depths.append(depth)
        try:
            for event in self.events:
                if callable(event):
                    await event()
                    continue
                await asyncio.sleep(0)
                yield event
        finally:
            self.closed += 1


async def nothing_on_udp(ip: IpAddress) -> tuple[OpenPort, ...]:
    return ()


async def nginx_on_80(ip: IpAddress, number: int) -> OpenPort:
    return OpenPort(Protocol.TCP, number, (NGINX,) if number == 80 else ())


@dataclass
class Setting:
    book: Book = field(default_factory=Book)
    engine: Engine = field(default_factory=Engine)
    ask: Callable[[IpAddress, int], Awaitable[OpenPort]] = nginx_on_80
    ask_udp: Callable[[IpAddress], Awaitable[tuple[OpenPort, ...]]] = nothing_on_udp
    warnings: tuple[str, ...] = ()
    allowed: tuple[Any, ...] = ()

    @contextlib.asynccontextmanager
    async def scans(self) -> AsyncIterator[Scans]:
        tools = Tools(
            self.engine,
            lambda depth: ((1, 1024),),
            self.ask,
            self.ask_udp,
            lambda host: ("Acme" if host.mac else "", ()),
            self.warnings,
        )
        wiring = Wiring(lambda: plan.Here([ETH0], []), lambda: tools, self.allowed)
        async with Tasks("test") as tasks:
            yield Scans(self.book, wiring, tasks)  # type: ignore[arg-type]

    async def run(self, order: ScanOrder = ATTACHED) -> None:
        async with self.scans() as scans:
            scans.begin(RUN, order)
            await until(lambda: not scans.active())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(scan_run, "LOOK_FOR_NEWS", 0.01)
    monkeypatch.setattr(scan_run, "REPORT_EVERY", 0.05)
    return Setting()


@pytest.fixture(autouse=True)
def logs() -> Any:
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as told:
        yield told


# --- what is reported


async def test_a_scan_reports_hosts_their_ports_and_what_answers_there(setting: Setting) -> None:
    await setting.run()
    last = setting.book.last
    assert {h.ip: h.depth for h in last.hosts} == {ALPHA: Depth.LIGHT, BETA: Depth.LIGHT}
    assert [(p.number, [s.name for s in p.services]) for p in last.hosts[0].ports] == [
        (22, []),
        (80, ["nginx"]),
    ]
    assert last.hosts[1].vendor == "Acme"
    assert (last.block, last.subnet, last.whole) == (LAN, LAN, True)
    assert last.looked_at == ((1, 1024),)
    assert {subject for subject, *_ in setting.book.reports} == {"scan:10.0.0.0/24"}


async def test_the_last_report_of_a_run_is_final_and_no_other_is(setting: Setting) -> None:
    await setting.run()
    finals = [run.final for _, _, run, _ in setting.book.reports if run]
    assert finals == [False] * (len(finals) - 1) + [True]
    assert len(finals) == len(setting.book.reports)


async def test_a_scan_that_finds_nobody_says_that_nobody_is_there(setting: Setting) -> None:
    setting.engine.events = [
        PhaseBegan("hosts", 254),
        Advanced(254),
        BlockAsked(LAN),
        PhaseBegan("ports", 0),
    ]
    await setting.run()
    assert setting.book.last.hosts == ()
    assert setting.book.last.whole
    assert setting.book.reports[-1][2] == replace(RUN, final=True)


async def test_what_was_not_asked_yet_is_not_taken_for_silent(setting: Setting) -> None:
    gate = asyncio.Event()
    setting.engine.events[3:3] = [gate.wait]
    async with setting.scans() as scans:
        scans.begin(RUN, ScanOrder())
        await until(lambda: setting.book.reports)
        assert [h.ip for h in setting.book.last.hosts] == [ALPHA]
        assert not setting.book.last.whole
        gate.set()
        await until(lambda: not scans.active())
    assert setting.book.last.whole


async def test_ports_that_are_known_so_far_do_not_say_that_the_others_are_closed(
    setting: Setting,
) -> None:
    gate = asyncio.Event()
    setting.engine.events[8:8] = [gate.wait]
    async with setting.scans() as scans:
        scans.begin(RUN, ScanOrder())
        await until(lambda: any(h.ports for _, s, *_ in setting.book.reports for h in s.hosts))
        alpha = setting.book.last.hosts[0]
        assert ([p.number for p in alpha.ports], alpha.depth) == ([22, 80], Depth.NONE)
        gate.set()
        await until(lambda: not scans.active())


async def test_a_scan_for_hosts_alone_asks_no_port(setting: Setting) -> None:
    setting.engine.events = WHOLE[:6]
    await setting.run(ScanOrder(depth=Depth.NONE))
    assert setting.engine.depths == [Depth.NONE]
    assert [h.depth for h in setting.book.last.hosts] == [Depth.NONE] * 2
    assert setting.book.last.looked_at == ()
    assert [p.phase for _, p in setting.book.said if p.phase] == ["hosts"] * (
        len([p for _, p in setting.book.said if p.phase])
    )


async def test_while_a_block_changes_it_is_reported_now_and_then_and_not_for_each_change(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_run, "REPORT_EVERY", 3600.0)
    hosts = [found(LAN[n]) for n in range(1, 200)]

    async def breathe() -> None:
        await asyncio.sleep(0.002)

    many = [event for host in hosts for event in (host, breathe)]
    setting.engine.events = [PhaseBegan("hosts", 254), *many, PhaseBegan("ports", 0)]
    await setting.run()
    # Once in between, at the end of each phase that has news, and at the end.
    assert len(setting.book.reports) <= 5
    assert len(setting.book.last.hosts) == 199


async def test_a_port_is_asked_what_it_is_while_others_are_still_looked_at(
    setting: Setting,
) -> None:
    asked = asyncio.Event()

    async def ask(ip: IpAddress, number: int) -> OpenPort:
        asked.set()
        return await nginx_on_80(ip, number)

    setting.ask = ask
    setting.engine.events[9:9] = [asked.wait]
    await setting.run()
    assert setting.book.last.hosts[0].ports[1].services == (NGINX,)


async def test_udp_ports_that_answer_are_found_by_asking_the_hosts(setting: Setting) -> None:
    snmp = OpenPort(Protocol.UDP, 161, (Service("snmp", "SNMP", "network"),))

    async def ask_udp(ip: IpAddress) -> tuple[OpenPort, ...]:
        return (snmp,) if ip == BETA else ()

    setting.ask_udp = ask_udp
    await setting.run()
    assert [h.ports for h in setting.book.last.hosts if h.ip == BETA] == [(snmp,)]


async def test_a_host_that_is_open_on_all_ports_is_told_and_not_asked(setting: Setting) -> None:
    asked: list[IpAddress] = []

    async def ask(ip: IpAddress, number: int) -> OpenPort:
        asked.append(ip)
        return await nginx_on_80(ip, number)

    setting.ask = ask
    setting.engine.events[8] = HostDone(ALPHA, tuple(range(1, 200)), all_open=True)
    await setting.run()
    assert asked == []
    assert "host_open_on_all_ports" in setting.book.story()
    assert [h.all_open for h in setting.book.last.hosts] == [True, False]
    # Which of the others are open nobody knows.
    assert setting.book.last.hosts[0].depth is Depth.NONE
    assert {port.says for port in setting.book.last.hosts[0].ports} == {ALL_OPEN}


async def test_of_a_host_that_could_not_be_asked_for_all_ports_none_is_taken_for_closed(
    setting: Setting,
) -> None:
    setting.engine.events[8] = HostDone(ALPHA, (22,), sure=False)
    await setting.run()
    alpha = setting.book.last.hosts[0]
    assert alpha.depth is Depth.NONE
    assert 22 in {port.number for port in alpha.ports}
    assert setting.book.last.hosts[1].depth is Depth.LIGHT


async def test_a_port_that_can_not_be_asked_costs_no_other(setting: Setting, logs: Any) -> None:
    async def ask(ip: IpAddress, number: int) -> OpenPort:
        if number == 22:
            raise RuntimeError("no")
        return await nginx_on_80(ip, number)

    setting.ask = ask
    await setting.run()
    assert [p.services for p in setting.book.last.hosts[0].ports] == [(), (NGINX,)]
    assert "port_not_asked" in setting.book.story()
    assert [e["run"] for e in logs if e["event"] == "port_not_asked"] == [RUN.id]
    assert setting.book.reports[-1][2] == replace(RUN, final=True)


# --- the story


async def test_a_run_tells_its_phases_with_counts_and_what_was_amiss(
    setting: Setting, logs: Any
) -> None:
    setting.engine.events[2:2] = [Warned("the ARP table", "it holds 1,024", "raise gc_thresh3")]
    setting.warnings = ("reading the catalogue x.toml: line 3",)
    await setting.run()
    assert setting.book.story() == [
        "scan_started",
        "scan_warned",
        "phase_began",
        "scan_warned",
        "phase_ended",
        "phase_began",
        "phase_ended",
        "phase_began",
        "phase_ended",
        "scan_ended",
    ]
    assert "the ARP table: it holds 1,024 (raise gc_thresh3)" in setting.book.texts()
    assert setting.book.texts()[-1].startswith("Found 2 hosts, 2 open ports and 1 service in ")
    told = [e for e in logs if e["event"] == "phase_ended"]
    assert [(e["run"], e["phase"], e["hosts"], e["ports"]) for e in told] == [
        (RUN.id, "hosts", 2, 0),
        (RUN.id, "ports", 2, 2),
        (RUN.id, "services", 2, 2),
    ]
    assert all(e["elapsed_ms"] >= 0 for e in told)
    assert setting.book.states() == ["starting", "running"]


async def test_progress_says_how_much_is_done_of_each_phase(setting: Setting) -> None:
    await setting.run()
    said = [(p.phase, p.done, p.total) for _, p in setting.book.said if p.phase]
    assert said[-1] == ("services", 4, 4)
    assert ("hosts", 100, 254) in said
    assert ("ports", 20, 20) in said
    for _, p in setting.book.said:
        assert p.remaining_s is None or 0 <= p.remaining_s < math.inf


async def test_of_very_many_lines_of_one_kind_the_story_has_the_first(setting: Setting) -> None:
    setting.engine.events[2:2] = [Warned(str(n), "no", "") for n in range(500)]
    await setting.run()
    assert setting.book.story().count("scan_warned") == scan_run.MAX_ALIKE


# --- how a run ends


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (ScanOrder((ip_network("192.168.9.0/24"),)), "--allow-scan 192.168.9.0/24"),
        (ScanOrder((ip_network("10.0.0.0/8"),)), "10.0.0.0/8"),
        (ScanOrder((ip_network("0.0.0.0/0"),)), "0.0.0.0/0"),
    ],
    ids=str,
)
async def test_what_may_not_be_scanned_fails_with_the_reason_and_asks_nobody(
    setting: Setting, order: ScanOrder, reason: str
) -> None:
    await setting.run(order)
    last = setting.book.said[-1][1]
    assert last.state == "failed"
    assert reason in (last.reason or "")
    assert setting.engine.depths == []
    assert setting.book.reports == []


async def test_a_network_that_was_allowed_is_scanned(setting: Setting) -> None:
    far = ip_network("192.168.9.0/24")
    setting.allowed = (far,)
    setting.engine.events = [PhaseBegan("hosts", 254), found(far[7]), PhaseBegan("ports", 0)]
    await setting.run(ScanOrder((far,)))
    assert [h.ip for h in setting.book.last.hosts] == [far[7]]


async def test_a_scanner_that_breaks_fails_the_run_and_what_was_found_is_reported(
    setting: Setting, logs: Any
) -> None:
    async def broken() -> None:
        raise RuntimeError("the engine broke")

    setting.engine.events[8:8] = [broken]
    await setting.run()
    last = setting.book.said[-1][1]
    assert (last.state, last.reason) == (
        "failed",
        "an error in the agent: RuntimeError('the engine broke')",
    )
    assert len(setting.book.last.hosts) == 2
    assert not any(run and run.final for _, _, run, _ in setting.book.reports)
    assert [e["event"] for e in logs].count("task_failed") == 1


async def test_a_report_that_can_not_be_kept_fails_the_run_with_the_reason(
    setting: Setting,
) -> None:
    setting.book.full = True
    await setting.run()
    last = setting.book.said[-1][1]
    assert last.state == "failed"
    assert "no space left on device" in (last.reason or "")
    assert setting.engine.closed == 1


@pytest.mark.parametrize("phase", ["hosts", "ports", "services"])
async def test_a_scan_is_cancelled_at_once_in_any_phase_and_what_was_found_stays(
    setting: Setting, phase: str
) -> None:
    for_ever = asyncio.Event()
    at = {"hosts": 3, "ports": 8}.get(phase)
    if at is None:

        async def ask(ip: IpAddress, number: int) -> OpenPort:
            await for_ever.wait()
            return await nginx_on_80(ip, number)

        setting.ask = ask
    else:
        setting.engine.events[at:at] = [for_ever.wait]
    async with setting.scans() as scans:
        scans.begin(RUN, ScanOrder())
        await until(lambda: setting.book.said and setting.book.said[-1][1].phase == phase)
        await until(lambda: setting.book.reports)
        assert list(scans.active()) == [RUN.id]
        scans.cancel(RUN.id)
        await until(lambda: not scans.active())
    assert setting.engine.closed == 1
    assert {h.ip for h in setting.book.last.hosts} >= {ALPHA}
    assert not any(run and run.final for _, _, run, _ in setting.book.reports)
    assert "failed" not in setting.book.states()


async def test_a_second_scan_waits_for_the_first_and_says_so(setting: Setting) -> None:
    gate = asyncio.Event()
    setting.engine.events[1:1] = [gate.wait]
    async with setting.scans() as scans:
        scans.begin(RUN, ScanOrder())
        await until(lambda: setting.engine.depths)
        scans.begin(OTHER, ScanOrder())
        await until(lambda: setting.book.story(OTHER))
        assert setting.book.story(OTHER) == ["scan_waits"]
        assert setting.book.said[-1][1].phase == "waiting"
        assert set(scans.active()) == {RUN.id, OTHER.id}
        gate.set()
        await until(lambda: not scans.active())
    assert setting.book.story(OTHER)[-1] == "scan_ended"
    ends = [run.id for _, _, run, _ in setting.book.reports if run and run.final]
    assert ends == [RUN.id, OTHER.id]


async def test_a_scan_that_waits_can_be_cancelled(setting: Setting) -> None:
    gate = asyncio.Event()
    setting.engine.events[1:1] = [gate.wait]
    async with setting.scans() as scans:
        scans.begin(RUN, ScanOrder())
        scans.begin(OTHER, ScanOrder())
        await until(lambda: setting.book.story(OTHER))
        scans.cancel(OTHER.id)
        await until(lambda: list(scans.active()) == [RUN.id])
        gate.set()
        await until(lambda: not scans.active())
    assert setting.engine.closed == 1
