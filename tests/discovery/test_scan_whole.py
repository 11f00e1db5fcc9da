"""A scan as people have it: a real server, a real agent and real hosts, in a lab of namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.lab.forwarding import TOP
from tests.lab.hosts import Site, site, some
from tests.lab.served import ServerProgram, a_server_program
from tests.parts import need

pytestmark = [pytest.mark.real, pytest.mark.slow]

SUBNET = "10.77.0.0/24"
NEAR = ip_network("10.77.0.0/26")
HOSTS = some(12, dropping=0.25)
WEB = HOSTS[-1]
"""One that does not drop what it does not know."""
PAGE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n"
    b"Content-Length: 44\r\nConnection: close\r\n\r\n<title>Welcome to nginx!</title>------------"
)
SLOWLY = "40"
"""Packets a second: each phase then takes long enough to be met in the midst of it."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Site]:
    need("netns")
    with ExitStack() as stack:
        made = stack.enter_context(site(HOSTS))
        web = made.hosts[WEB.ip].call(socket.create_server, ("", 8888))
        stack.enter_context(web)
        threading.Thread(target=_serve, args=(web,), daemon=True).start()
        made.truth[WEB.ip] |= {8888}
        yield made


def _serve(listening: socket.socket) -> None:
    """A web server that says that it is nginx, until its socket is closed."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            try:
                connection.settimeout(2)
                connection.recv(4096)
                connection.sendall(PAGE)
            except OSError:
                continue


@dataclass
class House:
    """A server and an agent, both in the scanner's namespace. Its methods are called in there."""

    folder: Path
    server: ServerProgram
    owner: str
    agent_key: str
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_agent(self, *words: str) -> None:
        command = [
            *(sys.executable, "-m", "mooring", "agent", "--server", self.server.url),
            *("--data-dir", str(self.folder / "agent"), "--every", "3600", *words),
        ]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "PYTHONPATH": str(TOP),
            "MOORING_KEY": self.agent_key,
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "MOORING_LOG_FORMAT": "json",
        }
        with (self.folder / "agent.log").open("ab") as log:
            self.agents.append(
                subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )
        self.until(lambda: self.agent() is not None)

    def kill_agent(self) -> None:
        agent = self.agents.pop()
        agent.kill()
        agent.wait()

    def end(self) -> None:
        for agent in self.agents:
            agent.send_signal(signal.SIGTERM)
        for agent in self.agents:
            agent.wait(20)

    # What a person asks

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.server.url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "authorization": f"Bearer {self.owner}",
                "content-type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error

    def items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ask("GET", path)["items"]
        return items

    def agent(self) -> dict[str, Any] | None:
        """The agent, once it may scan."""
        return next((a for a in self.items("agents") if "scan" in a["duties"]), None)

    def scan(self, **order: Any) -> str:
        agent = self.agent()
        assert agent is not None
        run: str = self.ask("POST", "runs", {"agent_id": agent["id"], "kind": "scan", **order})[
            "id"
        ]
        return run

    def run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"runs/{run}")
        return found

    def ended(self, run: str, seconds: float = 120.0) -> dict[str, Any]:
        over = ("complete", "failed", "cancelled")
        self.until(lambda: self.run(run)["state"] in over, seconds)
        return self.run(run)

    def in_phase(self, run: str, phase: str) -> None:
        def there() -> bool:
            now = self.run(run)
            assert now["state"] in ("pending", "starting", "running"), now
            return now["phase"] == phase

        self.until(there, 120.0)

    def story(self, run: str) -> list[str]:
        return [line["event"] for line in self.items(f"runs/{run}/lines?limit=1000")]

    def open_ports(self) -> dict[str, set[int]]:
        """By each host's address, as the server has them."""
        found: dict[str, set[int]] = {}
        for host in self.items("hosts?limit=1000"):
            ports = self.items(f"ports?host_id={host['id']}&limit=1000")
            for address in host["addresses"]:
                found[address] = {p["number"] for p in ports if p["protocol"] == "tcp"}
        return found

    def log(self) -> list[dict[str, Any]]:
        lines = (self.folder / "agent.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def until(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        limit = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < limit, (self.folder / "agent.log").read_text()[-4000:]
            time.sleep(0.05)


Inside = Callable[[Callable[[House], None]], None]


@pytest.fixture
def inside(lab: Site, tmp_path: Path) -> Inside:
    """Runs a test's body in the scanner's namespace, with a server of its own."""

    def run(body: Callable[[House], None]) -> None:
        def there() -> None:
            with a_server_program(tmp_path / "server") as server:
                owner = server.key("--name", "owner", "--role", "owner")
                house = House(tmp_path, server, owner, server.agent_key())
                try:
                    body(house)
                finally:
                    house.end()

        lab.scanner.call(there)

    return run


def test_a_scan_brings_all_hosts_their_ports_and_services_to_the_server(
    lab: Site, inside: Inside
) -> None:
    def body(house: House) -> None:
        house.start_agent()
        run = house.scan()
        ended = house.ended(run)
        assert (ended["state"], ended["reason"]) == ("complete", None), house.story(run)
        found = house.open_ports()
        assert {ip: found.get(ip) for ip in lab.truth} == lab.truth
        [web] = [p for p in house.items("ports?number=8888") if p["protocol"] == "tcp"]
        assert web["service"] == "nginx"
        # The last line may come just after the end.
        house.until(lambda: "scan_ended" in house.story(run))
        assert house.story(run).count("phase_ended") == 3
        logged = [e for e in house.log() if e.get("run") == run]
        assert {"run_received", "scan_started", "phase_ended", "scan_ended"} <= {
            e["event"] for e in logged
        }

    inside(body)


@pytest.mark.parametrize("phase", ["hosts", "ports", "services"])
def test_a_scan_is_cancelled_in_any_phase_and_the_next_one_goes_on(
    inside: Inside, phase: str
) -> None:
    def body(house: House) -> None:
        house.start_agent("--scan-rate", SLOWLY if phase != "services" else "50000")
        run = house.scan(targets=[HOSTS[0].ip] if phase == "ports" else [])
        house.in_phase(run, phase)
        assert house.ask("POST", f"runs/{run}/cancel")["state"] == "cancelled"
        # The agent hears of it and lets go: it is free for another one.
        house.until(lambda: "scan_ended_early" in [e["event"] for e in house.log()])
        again = house.scan(targets=[HOSTS[0].ip], depth="none")
        assert house.ended(again)["state"] == "complete"
        assert house.run(run)["state"] == "cancelled"

    inside(body)


def test_a_scan_of_an_agent_that_was_killed_has_failed_and_says_why(inside: Inside) -> None:
    def body(house: House) -> None:
        house.start_agent("--scan-rate", SLOWLY)
        run = house.scan()
        house.in_phase(run, "hosts")
        house.kill_agent()
        house.start_agent()
        ended = house.ended(run)
        assert ended["state"] == "failed"
        assert ended["reason"]
        assert house.ended(house.scan(depth="none"))["state"] == "complete"

    inside(body)


def test_a_scan_goes_on_while_the_server_starts_anew_and_is_complete_in_the_end(
    lab: Site, inside: Inside
) -> None:
    def body(house: House) -> None:
        house.start_agent("--scan-rate", "600")
        run = house.scan(targets=[str(NEAR)])
        house.in_phase(run, "hosts")
        house.server.kill()
        time.sleep(1)
        house.server.start()
        ended = house.ended(run, 240.0)
        assert (ended["state"], ended["reason"]) == ("complete", None), house.story(run)
        found = house.open_ports()
        near = {ip: ports for ip, ports in lab.truth.items() if ip_address(ip) in NEAR}
        assert {ip: found.get(ip) for ip in near} == near

    inside(body)


def test_what_may_not_be_scanned_is_refused_with_what_may(inside: Inside) -> None:
    def body(house: House) -> None:
        house.start_agent("--allow-scan", "10.99.0.0/24")

        def refused() -> str:
            try:
                house.scan(targets=["192.168.9.0/24"])
            except AssertionError as error:
                return str(error)
            return ""

        reason = refused()
        assert f"may scan: {SUBNET}, 10.99.0.0/24" in reason
        assert "--allow-scan 192.168.9.0/24" in reason
        assert house.items("runs?kind=scan") == []
        for words in ("link add far0 type veth peer name far1", "addr add 192.168.9.1/24 dev far0"):
            subprocess.run(["ip", *words.split()], check=True)
        try:
            # The poll that waits now ends within half a minute, and the next one tells it.
            house.until(lambda: not refused())
        finally:
            subprocess.run(["ip", "link", "del", "far0"], check=True)

    inside(body)
