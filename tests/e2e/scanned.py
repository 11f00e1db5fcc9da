"""A made-up network as a scan finds it, reported to a real server as an agent reports it.

What is behind a port is a recorded sample, named by the real catalogue: its evidence is real.
"""

from __future__ import annotations

import ipaddress
import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mooring.discovery.catalogue.folders import load
from mooring.discovery.identify import identify, identify_host
from mooring.discovery.vendors import vendor_of
from mooring.model import wire
from mooring.model.report import Report, RunMark
from mooring.model.scan import Depth, Scan, ScannedHost, Sign
from mooring.model.service import OpenPort
from tests.discovery import samples
from tests.e2e import sample

LOOKED_AT = ((1, 1024), (1025, 65535))
DUTIES = ("discovery", "scan")


@cache
def _catalogue() -> Any:
    return load().catalogue


@cache
def ports(name: str) -> tuple[OpenPort, ...]:
    """The ports of a recorded sample, as they are identified."""
    seen = samples.read(samples.FOLDER / f"{name}.json").ports
    found = {(p.protocol, p.number): identify(p, _catalogue()) for p in seen}
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Device:
    """A thing in a network: its last octet, its interface, its names, what it runs."""

    at: int
    mac: str | None = None
    name: str = ""
    runs: tuple[str, ...] = ()
    mdns: tuple[str, ...] = ()


def seen(network: str, device: Device, depth: Depth = Depth.LIGHT) -> ScannedHost:
    """The device, as a scan of that depth sees it."""
    ip = ipaddress.ip_network(network)[device.at]
    vendor = vendor_of(device.mac) if device.mac else ""
    open_ports = {
        (p.protocol, p.number): p for name in device.runs for p in ports(name)
    }  # the last of a number is the one that has it
    looked = depth is not Depth.NONE
    return ScannedHost(
        ip=ip,
        signs=(Sign.ARP, Sign.ICMP) if device.mac else (Sign.ICMP, Sign.TCP),
        mac=device.mac,
        vendor=vendor,
        names=(device.name,) if device.name else (),
        round_trip_ms=0.4 + device.at / 40,
        depth=depth,
        ports=tuple(sorted(open_ports.values(), key=lambda p: p.number)) if looked else (),
        services=identify_host(vendor, device.mdns, _catalogue()) if looked else (),
    )


def scan(network: str, hosts: Iterable[ScannedHost], *, whole: bool = True) -> Scan:
    block = ipaddress.ip_network(network)
    return Scan(block, block, tuple(hosts), whole, LOOKED_AT)


OFFICE = "10.20.0.0/24"
SERVERS = "10.20.8.0/24"
LAB = "10.40.0.0/24"

OFFICE_DEVICES = (
    Device(1, "24:a4:3c:10:8f:01", "gw-office.local", ("openssh", "dnsmasq")),
    Device(40, "00:1b:a9:41:22:0c", "BRW-2F.local", ("cups",), ("_ipp._tcp Brother HL-L8360CDW",)),
    Device(41, "3c:2a:f4:1c:33:90", "reception.local", ("cups",), ("_ipp._tcp Reception",)),
    Device(50, "00:11:32:7a:90:11", "nas.local", ("samba", "rsync", "nginx", "minidlna")),
    Device(60, "b8:27:eb:21:04:7e", "doorbell.local", ("motion", "openssh")),
    Device(61, "dc:a6:32:90:12:aa", "octopi.local", ("octoprint", "openssh")),
    Device(62, "b8:27:eb:55:10:42", "radio.local", ("mopidy", "mpd")),
    Device(70, "f0:9f:c2:0a:71:33", "ap-east.local", ("dropbear",)),
    Device(71, "f0:9f:c2:0a:72:18", "ap-west.local", ("dropbear",)),
    Device(90, "3c:22:fb:0e:90:31"),
    Device(91, "a4:83:e7:55:1b:0f"),
    Device(92, "9c:b6:d0:e4:10:7a", "", ("vnc",)),
    Device(93, "00:17:88:28:11:0a", "hue.local"),
)
SERVER_DEVICES = (
    Device(1, "24:a4:3c:10:8f:02", "gw-servers.local", ("openssh", "unbound")),
    Device(30, "ac:1f:6b:20:10:30", "git.example.org", ("openssh", "cgit")),
    Device(31, "ac:1f:6b:20:10:31", "mail.example.org", ("postfix", "dovecot", "rspamd")),
    Device(32, "ac:1f:6b:20:10:32", "metrics.example.org", ("prometheus", "alertmanager")),
    Device(33, "ac:1f:6b:20:10:33", "queue.example.org", ("rabbitmq", "redis", "openssh")),
    Device(34, "ac:1f:6b:20:10:34", "data.example.org", ("mariadb", "minio", "openssh")),
    Device(35, "ac:1f:6b:20:10:35", "ldap.example.org", ("openldap", "openssh")),
    Device(36, "ac:1f:6b:20:10:36", "wiki.example.org", ("dokuwiki", "openssh")),
    Device(37, "ac:1f:6b:20:10:37", "proxy.example.org", ("haproxy", "openssh")),
)
LAB_DEVICES = (
    Device(1, "24:a4:3c:10:8f:03", "gw-lab.local", ("openssh",)),
    Device(20, "b8:27:eb:c0:01:20", "broker.local", ("mosquitto", "node-red", "openssh")),
    Device(21, "b8:27:eb:c0:01:21", "bench-a.local", ("openocd", "openssh")),
    Device(22, "b8:27:eb:c0:01:22", "bench-b.local", ("jupyter", "openssh")),
    Device(23, "70:b3:d5:09:11:7c", "logger.local", ("influxdb", "telnet")),
)


@dataclass
class Scanner:
    """An agent that scans, as the server sees it."""

    url: str
    key: str
    name: str = "app-01"
    outbox: str = field(default_factory=lambda: str(uuid.uuid4()))
    number: int = 0
    allowed: list[str] | None = None
    """The networks that it may scan, if it says so."""

    def poll(self, active: Sequence[str] = (), wait_s: float = 0) -> dict[str, Any]:
        """What there is to do."""
        said = {
            "outbox": self.outbox,
            "version": "0.1.0",
            "name": self.name,
            "duties": DUTIES,
            "active_runs": active,
            "wait_s": wait_s,
            "allowed": self.allowed,
        }
        answer: dict[str, Any] = json.loads(
            sample.post(self.url, "agents/poll", self.key, json.dumps(said).encode())
        )
        return answer

    def tell(self, run: str, **said: Any) -> None:
        """How far a run is, and what there is to tell of it."""
        sample.progress(self.url, self.key, self.outbox, run, **{"trigger": "request", **said})

    def report(self, body: Scan, run: str | None = None, *, final: bool = False) -> None:
        self.number += 1
        now = time.time()
        marks = (RunMark(run, "request", now, final),) if run else ()
        report = Report(f"scan:{body.block}", self.outbox, self.number, now, body, marks)
        sample.post(self.url, "reports", self.key, wire.encode(report))


def line(text: str, event: str = "told", level: str = "info") -> dict[str, Any]:
    """A line of a run's story, of this moment."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"at": now, "event": event, "text": text, "level": level}
