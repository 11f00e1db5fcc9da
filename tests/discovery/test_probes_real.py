"""Real daemons on ports that nobody expects them on, each known for what it is."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench._identify.daemons import DAEMONS, UDP_DAEMONS, Daemon
from mooring.discovery.catalogue import load
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.port import identify_port
from mooring.discovery.probes.udp import ask_udp
from tests.lab.netns import namespace
from tests.parts import need

pytestmark = pytest.mark.real

HERE = ipaddress.ip_address("127.0.0.1")
PORT = 20011
PARTS = {
    "openssh": "sshd",
    "postgresql": "postgres",
    "redis": "redis-server",
    "net-snmp": "snmpd",
    "tftp": "tftpd",
    "coap": "coap-server",
}
CHOSEN = [
    daemon
    for daemon in DAEMONS
    if daemon.service in {"openssh", "postgresql", "redis", "nginx", "mosquitto", "dnsmasq"}
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that a daemon which gives up root can look into, as it cannot into pytest's."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("daemon", CHOSEN, ids=lambda daemon: daemon.label)
def test_a_daemon_on_an_odd_port_is_known(daemon: Daemon, folder: Path) -> None:
    need("netns")
    need(PARTS.get(daemon.service, daemon.service))
    catalogue = load().catalogue
    with namespace() as ns:
        process = ns.popen(
            daemon.start(PORT, folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ns.call(wait_for, PORT)
            found = ns.call(asyncio.run, identify_port(HERE, PORT, catalogue, Limits()))
        finally:
            process.terminate()
            process.wait(20)
    assert [service.name for service in found.services] == [daemon.service]
    assert found.tls == (daemon.variant == "TLS")


@pytest.mark.parametrize("daemon", UDP_DAEMONS, ids=lambda daemon: daemon.label)
def test_a_daemon_that_answers_over_udp_is_known(daemon: Daemon, folder: Path) -> None:
    need("netns")
    need(PARTS.get(daemon.service, daemon.service))
    catalogue = load().catalogue
    with namespace() as ns:
        process = ns.popen(
            daemon.start(daemon.port, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for _ in range(60):
                if found := ns.call(asyncio.run, ask_udp(HERE, catalogue, Limits())):
                    break
        finally:
            process.terminate()
            process.wait(20)
    named = [(port.number, [service.name for service in port.services]) for port in found]
    assert named == [(daemon.port, [daemon.service])]


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection((str(HERE), port), 2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")
