"""``mooring discover --scan`` as a person runs it, on hosts in namespaces."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

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
    done = run(lab, "--scan", LAN)
    assert (done.returncode, done.stderr) == (0, "")
    for spec in HOSTS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(spec.ip + " ")]
        ports = " ".join(str(port) for port in sorted(spec.open))
        assert spec.mac in line
        assert line.rstrip().endswith(ports)
    assert re.search(r"^7 hosts, \d+ open ports, \d+\.\d s$", done.stdout, re.MULTILINE)


def test_programs_get_json(lab: Site) -> None:
    done = run(lab, "--scan", "attached", "--format", "json")
    said: dict[str, Any] = json.loads(done.stdout)
    found = {host["ip"]: set(host["ports"]) for host in said["hosts"] if host["ip"] not in EXTRA}
    assert found == lab.truth
    assert said["whole"] is True
    assert said["blocks"] == [LAN]


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
    ],
)
def test_what_can_not_be_scanned_is_explained(lab: Site, arguments: list[str], said: str) -> None:
    done = run(lab, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_prints_what_was_found_by_then(lab: Site) -> None:
    master, slave = pty.openpty()
    slow = ["--scan", LAN, "--full", "--target-rate", "100", "--format", "json"]
    process = lab.scanner.popen([*COMMAND, *slow], stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    shown = b""
    limit = time.monotonic() + 60
    while b"what is open" not in shown:
        assert time.monotonic() < limit
        shown += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    # Nobody reads a terminal that is not there: what it still draws has room.
    out, _ = process.communicate(timeout=60)
    os.close(master)
    said = json.loads(out)
    assert process.returncode == 130
    assert said["whole"] is False
    assert {spec.ip for spec in HOSTS} <= {host["ip"] for host in said["hosts"]}
