"""Made-up remote hosts and forwards, reported to a real server as a forwarding program does."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from mooring.model import wire
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
from mooring.model.report import Report
from tests.e2e import sample

DAY = 86_400.0
BUILD = "ssh://deploy@build.example.net"
TEST = "ssh://ci@test.example.net:2222"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
HEALTHY = Diagnosis(
    Pattern.HEALTHY,
    (
        "a command over the link took 12 ms, Docker answered in 3 ms",
        "no event stream has ended in the last hour",
    ),
    (),
)
ADVICE = (
    "see whether the remote host can be reached: ping it, and ssh to it by hand",
    "connections made meanwhile are held for 30 s and served when the link is back",
)


@dataclass
class Forwarder:
    """A program that forwards, with an outbox of its own."""

    url: str
    key: str
    name: str = "workstation"
    outbox: str = field(default_factory=lambda: str(uuid.uuid4()))
    number: int = 0

    def report(self, *remotes: Reported) -> None:
        self.number += 1
        report = Report("forwards", self.outbox, self.number, time.time(), Forwards(remotes))
        sample.post(self.url, "reports", self.key, wire.encode(report))

    def poll(self, *, leaving: bool = False) -> None:
        said = {
            "outbox": self.outbox,
            "version": "0.1.0",
            "name": self.name,
            "duties": ["forward"],
            "wait_s": 0,
            "leaving": leaving,
        }
        sample.post(self.url, "agents/poll", self.key, json.dumps(said).encode())


def forward(
    port: int, container: str, state: ForwardState = ForwardState.LISTENING, **more: Any
) -> Forward:
    """A forward of a port to the same port; ``more`` are fields of it."""
    said = {
        "local": f"127.0.0.1:{port}",
        "remote": f"127.0.0.1:{port}",
        "protocol": "tcp",
        "since": time.time() - 2 * DAY,
        **more,
    }
    return Forward(container=container, state=state, **said)


def live(host: str, *forwards: Forward, **more: Any) -> Reported:
    """A remote host to which all is well; ``more`` are fields of what is reported of it."""
    now = time.time()
    remote = {
        "state": LinkState.LIVE,
        "since": now - 2 * DAY,
        "generation": 1,
        "consecutive_failures": 0,
        "docker": "docker 28.0.1 at unix:///var/run/docker.sock",
        "ping_ms": 1.5,
        "last_drop": None,
        "detail": "",
    }
    rest = {"diagnosis": HEALTHY, "totals": Totals(now - 2 * DAY), "history": ()}
    for name, value in more.items():
        (remote if name in remote else rest)[name] = value
    return Reported(RemoteHost(host=host, forwards=forwards, **remote), **rest)


def away(host: str, *forwards: Forward, why: str, **more: Any) -> Reported:
    """The same host while there is no link: its forwards are held."""
    now = time.time()
    said = {
        "state": LinkState.BACKOFF,
        "since": now - 4,
        "consecutive_failures": 3,
        "detail": why,
        "ping_ms": None,
        "last_drop": Drop(now - 4, "network_interruption", None),
        "diagnosis": Diagnosis(Pattern.NETWORK, (f"there is no link now: {why}",), ADVICE),
    }
    return live(host, *forwards, **{**said, **more})


def shown() -> tuple[Reported, Reported]:
    """Two remote hosts for the pictures: one well, with a conflict; one whose link is away."""
    now = time.time()
    kib, mib = 1024, 1024 * 1024

    def up(port: int, container: str, ago: float, connections: int, *count: int) -> Forward:
        return forward(
            port,
            container,
            since=now - ago,
            connections=connections,
            bytes_in=count[0],
            bytes_out=count[1],
        )

    taken = "127.0.0.1:5432 is taken by postgres (pid 812)"
    first = live(
        BUILD,
        up(3000, "monitoring-grafana-1", 6 * DAY, 1204, 418 * mib, 9 * mib),
        up(5000, "registry-registry-1", 6 * DAY, 87, 12 * 1024 * mib, 3 * 1024 * mib),
        forward(5432, "shop-db-1", ForwardState.CONFLICT, since=now - 900, detail=taken),
        up(8080, "shop-web-1", 2 * DAY, 3120, 64 * mib, 5 * mib),
        up(8443, "shop-web-1", 2 * DAY, 411, 31 * mib, 2 * mib),
        up(9090, "monitoring-prometheus-1", 6 * DAY, 612, 88 * mib, 4 * mib),
        forward(
            5353, "dns-1", protocol="udp", connections=0, bytes_in=220 * kib, bytes_out=91 * kib
        ),
        forward(49153, "sandbox-1", since=now - 40, connections=1, bytes_in=830, bytes_out=120),
        since=now - 2 * DAY - 3000,
        generation=4,
        last_drop=Drop(now - 2 * DAY - 3001, "network_interruption", 0.26),
        totals=Totals(
            since=now - 6 * DAY,
            outages=(("network_interruption", 2), ("stale_link", 1)),
            away_s=17.4,
            flaps=2,
            connections=5436,
            held=12,
            bytes_in=13_400 * mib,
            bytes_out=3_110 * mib,
            listening=Spread(BOUNDS, (204, 88, 15, 4, 1, 0, 0, 0, 0, 0), 1.84),
        ),
        history=_history(now),
    )
    held = ForwardState.HELD
    second = away(
        TEST,
        forward(6379, "ci-cache-1", held, since=now - 11, connections=52, bytes_in=9 * mib),
        forward(5433, "ci-postgres-1", held, since=now - 11, connections=240, bytes_in=71 * mib),
        forward(15672, "ci-rabbitmq-1", held, since=now - 11, connections=8, bytes_in=2 * mib),
        forward(9000, "ci-minio-1", held, since=now - 11, connections=19, bytes_in=640 * mib),
        why="connecting to test.example.net port 2222: no route to host",
        since=now - 11,
        generation=4,
        docker="docker 27.3.1 at unix:///run/user/1000/docker.sock",
        last_drop=Drop(now - 11, "network_interruption", None),
        totals=Totals(
            since=now - DAY,
            outages=(("network_interruption", 4),),
            away_s=31.2,
            connections=319,
            held=6,
            failed=1,
            bytes_in=722 * mib,
            bytes_out=48 * mib,
            listening=Spread(BOUNDS, (31, 12, 6, 2, 0, 0, 0, 0, 0, 0), 0.41),
        ),
        history=(
            Moment(now - DAY, "link_live", detail="docker 27.3.1"),
            *(
                Moment(now - DAY + 2, "opened", f"127.0.0.1:{port}/tcp", name)
                for port, name in ((6379, "ci-cache-1"), (5433, "ci-postgres-1"))
            ),
            Moment(now - 11, "link_lost", detail="no route to host"),
        ),
    )
    return first, second


def _history(now: float) -> tuple[Moment, ...]:
    taken = "127.0.0.1:5432 is taken by postgres (pid 812)"
    ports = (
        (3000, "monitoring-grafana-1"),
        (5000, "registry-registry-1"),
        (8080, "shop-web-1"),
        (8443, "shop-web-1"),
        (9090, "monitoring-prometheus-1"),
    )
    opened = [
        Moment(now - 6 * DAY + n / 10, "opened", f"127.0.0.1:{port}/tcp", name)
        for n, (port, name) in enumerate(ports)
    ]
    return (
        Moment(now - 6 * DAY - 1, "link_live", detail="docker 28.0.1"),
        *opened,
        Moment(now - 2 * DAY - 3001, "link_lost", detail=f"{BUILD} closed the connection"),
        Moment(now - 2 * DAY - 3000, "link_live", detail="docker 28.0.1"),
        Moment(now - 2 * DAY, "opened", "127.0.0.1:5353/udp", "dns-1"),
        Moment(now - 900, "conflict", "127.0.0.1:5432/tcp", "shop-db-1", taken),
        Moment(now - 400, "opened", "127.0.0.1:49153/tcp", "sandbox-1"),
        Moment(now - 45, "closed", "127.0.0.1:49153/tcp", "sandbox-1"),
        Moment(now - 40, "opened", "127.0.0.1:49153/tcp", "sandbox-1"),
    )
