"""``mooring discover --scan`` as a person runs it, on hosts in namespaces."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.discovery.test_probes_real import wait_for
from tests.lab.hosts import Site, site, some
from tests.parts import need

pytestmark = [pytest.mark.real]

LAN = "10.77.0.0/24"
HOSTS = some(5, dropping=0.4)
COMMAND = [sys.executable, "-m", "mooring", "discover"]
EXTRA = ("10.77.0.1", "10.77.0.254")


@pytest.fixture(scope="module")
def lab() -> Iterator[Site]:
    need("netns")
    need("iptables")
    with site(HOSTS) as made:
        yield made


def run(lab: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = lab.scanner.call(
        subprocess.run, [*COMMAND, *arguments], text=True, capture_output=True, timeout=100
    )
    return done


def test_it_prints_the_hosts_their_ports_and_a_summary(lab: Site) -> None:
    done = run(lab, "--scan", LAN, "--no-services")
    assert (done.returncode, done.stderr) == (0, "")
    for spec in HOSTS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(spec.ip + " ")]
        ports = " ".join(str(port) for port in sorted(spec.open))
        assert spec.mac in line
        assert line.rstrip().endswith(ports)
    assert re.search(r"^7 hosts, \d+ open ports, \d+\.\d s$", done.stdout, re.MULTILINE)


def test_programs_get_json(lab: Site) -> None:
    done = run(lab, "--scan", "attached", "--no-services", "--format", "json")
    said: dict[str, Any] = json.loads(done.stdout)
    found = {host["ip"]: set(host["ports"]) for host in said["hosts"] if host["ip"] not in EXTRA}
    assert found == lab.truth
    assert said["whole"] is True
    assert said["blocks"] == [LAN]


@pytest.fixture
def greeted(lab: Site) -> Iterator[str]:
    """An address whose port 22 greets as OpenSSH does."""
    spec = next(spec for spec in HOSTS if 22 not in spec.open and not spec.drops)
    made = lab.hosts[spec.ip].call(socket.create_server, ("", 22))
    ending = threading.Event()

    def greet() -> None:
        while not ending.is_set():
            with suppress(OSError):
                line, _ = made.accept()
                with line:
                    line.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
                    line.recv(100)

    thread = threading.Thread(target=greet)
    thread.start()
    yield spec.ip
    ending.set()
    made.shutdown(socket.SHUT_RDWR)
    thread.join()
    made.close()


def test_it_prints_what_answers_on_each_port(lab: Site, greeted: str) -> None:
    done = run(lab, "--scan", greeted)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"22 +OpenSSH 9\.2p1", done.stdout)
    assert re.search(r"^1 host, \d+ open ports?, \d+ services?, ", done.stdout, re.MULTILINE)


def test_programs_get_the_services_with_their_evidence(lab: Site, greeted: str) -> None:
    said = json.loads(run(lab, "--scan", greeted, "--format", "json").stdout)
    (host,) = said["hosts"]
    (port,) = [one for one in host["answers"] if one["number"] == 22]
    (ssh,) = port["services"]
    assert (ssh["name"], ssh["version"]) == ("openssh", "9.2p1")
    assert ssh["evidence"][0]["means"] == "ssh"
    assert {one["number"] for one in host["answers"]} == set(host["ports"])


def test_a_printers_raw_port_is_shown_and_asked_only_when_that_is_wanted(lab: Site) -> None:
    spec = next(spec for spec in HOSTS if not spec.drops)
    exporter = lab.hosts[spec.ip].popen(
        [need("prometheus-node-exporter"), "--web.listen-address=:9100"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        lab.hosts[spec.ip].call(wait_for, 9100)
        left = run(lab, "--scan", spec.ip)
        asked = run(lab, "--scan", spec.ip, "--ask-printers")
    finally:
        exporter.kill()
        exporter.wait()
    said = " ".join(left.stdout.split())
    assert "9100 ? not asked: a printer prints what it is sent here (--ask-printers asks)" in said
    assert "9100 Prometheus node exporter" in " ".join(asked.stdout.split())


def test_who_is_there_is_told_without_reading_what_only_services_need(lab: Site) -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--scan", LAN, "--hosts-only"]
    done = lab.scanner.call(
        subprocess.run, command, text=True, capture_output=True, check=True, timeout=100
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mooring.discovery.scan.run" in modules
    unneeded = {"psutil", "mooring.discovery.catalogue", "mooring.discovery.scan_run"}
    assert not unneeded & modules


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scan", "10.0.0.0/8"], "65,536 at the most"),
        (["--scan", "0.0.0.0/0"], "65,536 at the most"),
        (["--scan", "10.77.0.7/24"], "10.77.0.0/24 is the network, 10.77.0.7 the one host"),
        (["--scan", "10.99.0.0/24"], "--allow 10.99.0.0/24"),
        (["--scan", LAN, "--interface", "eth7"], "there are eth0"),
        (["--scan", "the-router"], "no network and no address"),
        (["--scan", LAN, "--scan", "attached"], "name it alone"),
        (["--scan", LAN, "--full", "--hosts-only"], "leave one of them out"),
        (["--full", "--allow", LAN], "only a scan heeds --full and --allow"),
    ],
)
def test_what_can_not_be_scanned_is_explained(lab: Site, arguments: list[str], said: str) -> None:
    done = run(lab, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("phase", "slow"),
    [("what is open", ["--full", "--target-rate", "100"]), ("what answers there", [])],
)
def test_ctrl_c_prints_what_was_found_by_then(lab: Site, phase: str, slow: list[str]) -> None:
    master, slave = pty.openpty()
    command = [*COMMAND, "--scan", LAN, "--format", "json", *slow]
    process = lab.scanner.popen(command, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = b""
    limit = time.monotonic() + 60
    while phase.encode() not in shown:
        assert time.monotonic() < limit
        shown += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    # Nobody reads a terminal that is not there: what it still draws has room.
    out, _ = process.communicate(timeout=60)
    os.close(master)
    said = json.loads(out)
    assert process.returncode == 130
    assert said["whole"] is False
    found = {host["ip"]: set(host["ports"]) for host in said["hosts"]}
    assert lab.truth.keys() <= found.keys()
    if phase == "what answers there":
        assert {ip: found[ip] for ip in lab.truth} == lab.truth
