"""The site of the pictures: some machines with agents, what their scans found, links and buses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from mooring.model.scan import Depth, ScannedHost
from tests.e2e import buses, links, sample, scanned
from tests.e2e.scanned import Scanner, line
from tests.e2e.site import agent_key

FOUND = (
    (scanned.OFFICE, scanned.OFFICE_DEVICES),
    (scanned.SERVERS, scanned.SERVER_DEVICES),
    (scanned.LAB, scanned.LAB_DEVICES),
)


@dataclass(frozen=True)
class Shown:
    """What the pictures are of, by id."""

    host: str
    scanned: str
    subnet: str
    complete: str
    running: str
    failed: str
    bus: str
    remotes: dict[str, str]
    online: Callable[[], None]
    """Let the agents be heard of, which they must be each minute."""

    def remote(self, address: str) -> str:
        return self.remotes[address]


class Site:
    """A server that is asked and told things by the person whose page it is."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def get(self, path: str) -> Any:
        answer = self.page.context.request.get(f"{self.url}/api/v1/{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def post(self, path: str, body: object) -> Any:
        headers = {"Origin": self.url}
        answer = self.page.context.request.post(
            f"{self.url}/api/v1/{path}", data=body, headers=headers
        )
        assert answer.ok, answer.text()
        return answer.json()

    def agent(self, name: str) -> str:
        return str(
            next(a["id"] for a in self.get("agents?limit=100")["items"] if a["name"] == name)
        )

    def ask_scan(self, agent: str, *targets: str, depth: str = "light") -> str:
        body = {"agent_id": agent, "kind": "scan", "targets": targets, "depth": depth}
        return str(self.post("runs", body)["id"])


def fill(page: Page, url: str) -> Shown:
    """The sample site, and a run in each state that a picture should show."""
    site = Site(page, url)
    key = agent_key(page, url)
    machines = sample.site(office=4, servers=6, lab=3)
    outboxes = dict(
        zip((m.hostname for m, _ in machines), sample.send(url, key, machines), strict=True)
    )
    names = ("app-01", "build-01", "gateway")
    agents = {name: Scanner(url, key, name, outboxes[name], number=10) for name in names}
    for agent in agents.values():
        agent.poll()
    complete = _scanned(site, agents["app-01"])
    running = _running(site, agents["gateway"])
    failed = _failed(site, agents["build-01"])
    _scheduled(site)
    rig = buses.Reporter(url, key, "rig-01", ("discovery", "can"), outboxes["rig-01"], 2)
    rig.poll()
    rig.report(buses.shown())
    forwarder = links.Forwarder(url, key)
    forwarder.poll()
    forwarder.report(*links.shown())

    def online() -> None:
        for machine, _ in machines:
            name = machine.hostname
            agent = agents.get(name) or Scanner(url, key, name, outboxes[name])
            agent.poll([running] if name == "gateway" else [])
        rig.poll()
        forwarder.poll()

    online()
    by_name = {h["name"]: h["id"] for h in site.get("hosts?limit=200")["items"]}
    by_address = {a: h["id"] for h in site.get("hosts?limit=200")["items"] for a in h["addresses"]}
    subnets = {s["cidr"]: s["id"] for s in site.get("subnets?limit=200")["items"]}
    remotes = {r["address"]: r["id"] for r in site.get("remote-hosts")["items"]}
    bus = next(b["id"] for b in site.get("can-buses")["items"] if b["device"] == "can0")
    return Shown(
        host=by_name["app-01"],
        scanned=by_address["10.20.0.50"],
        subnet=subnets[scanned.OFFICE],
        complete=complete,
        running=running,
        failed=failed,
        bus=bus,
        remotes=remotes,
        online=online,
    )


def _scanned(site: Site, agent: Scanner) -> str:
    """A scan that found the site."""
    run = site.ask_scan(site.agent(agent.name), *(cidr for cidr, _ in FOUND))
    agent.poll()
    agent.tell(run, state="starting", lines=[line("Scan of 3 networks, 768 addresses")])
    done = 0
    for cidr, devices in FOUND:
        hosts = [scanned.seen(cidr, device, Depth.NONE) for device in devices]
        agent.report(scanned.scan(cidr, hosts), run)
        done += 256
        told = [line(f"{host.ip} is there ({_by(host)})") for host in hosts]
        agent.tell(run, state="running", phase="hosts", done=done, total=768, lines=told)
    total = sum(len(devices) for _, devices in FOUND)
    agent.tell(run, state="running", phase="ports", done=total, total=total)
    for at, (cidr, devices) in enumerate(FOUND):
        hosts = [scanned.seen(cidr, device) for device in devices]
        told = [
            line(f"{host.ip}:{port.number} is {port.services[0].title} {port.services[0].version}")
            for host in hosts
            for port in host.ports
            if port.services
        ]
        agent.tell(
            run, state="running", phase="services", done=(at + 1) * 18, total=54, lines=told[:50]
        )
        agent.report(scanned.scan(cidr, hosts), run, final=at == len(FOUND) - 1)
    return run


def _running(site: Site, agent: Scanner) -> str:
    """A scan under way, whose pace is known."""
    run = site.ask_scan(site.agent(agent.name), scanned.OFFICE, depth="full")
    agent.poll()
    agent.tell(run, state="starting", lines=[line("Scan of 10.20.0.0/24, all ports")])
    hosts = [scanned.seen(scanned.OFFICE, device) for device in scanned.OFFICE_DEVICES]
    agent.tell(run, state="running", phase="hosts", done=256, total=256)
    agent.report(scanned.scan(scanned.OFFICE, hosts), run)
    told = [line(f"{host.ip} is there ({_by(host)})") for host in hosts]
    told.append(line("10.20.0.92 answers slowly: asked less often", "slowed", "warning"))
    told += [
        line(f"{host.ip}: open are {', '.join(str(p.number) for p in host.ports)}")
        for host in hosts[:7]
        if host.ports
    ]
    agent.tell(
        run, state="running", phase="ports", done=7, total=13, remaining_s=96, lines=told[-50:]
    )
    agent.poll([run])
    return run


def _failed(site: Site, agent: Scanner) -> str:
    run = site.ask_scan(site.agent(agent.name), "10.20.8.0/24")
    agent.poll()
    agent.tell(run, state="starting")
    agent.tell(run, state="running", phase="hosts", done=31, total=256)
    why = "the interface eno1 went down while it was scanned; look at its cable or its driver"
    agent.tell(run, state="failed", reason=why, lines=[line(why, "scan_failed", "error")])
    return run


def _scheduled(site: Site) -> None:
    nightly = {
        "name": "Office and servers, every night",
        "agent_id": site.agent("app-01"),
        "targets": [scanned.OFFICE, scanned.SERVERS],
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
    }
    site.post("schedules", nightly)
    lab = {**nightly, "name": "Lab, each hour of a working day", "targets": [scanned.LAB]}
    site.post("schedules", {**lab, "cron": "0 8-18 * * 1-5", "depth": "none"})
    site.post(
        "schedules",
        {**lab, "name": "All ports, on Sundays", "cron": "30 1 * * 0", "depth": "full"}
        | {"enabled": False},
    )


def _by(host: ScannedHost) -> str:
    said = [", ".join(sign.value.upper() for sign in host.signs), host.vendor]
    return ", ".join(part for part in said if part)
