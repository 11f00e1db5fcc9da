"""Scans over a network that delays and loses: what is found is still the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(1200)]

TOP = Path(__file__).parents[2]
LAB = ("__init__", "hosts", "netns", "scanning")

HOSTS = 24

SCAN = """
import json, sys, time
sys.path[:0] = ["/root/lab", "/opt/mooring", "/opt/libraries"]
from tests.lab.hosts import site, some
from tests.lab.scanning import scan
from mooring.discovery.scan.options import ScanOptions
from mooring.model.scan import Depth

count, netem, depth = int(sys.argv[1]), sys.argv[2], Depth(sys.argv[3])
specs = some(count, dropping=0.25)
with site(specs) as lab:
    # On the way there and on the way back.
    lab.scanner.run(["tc", "qdisc", "add", "dev", "eth0", "root", "netem", *netem.split()])
    lab.core.run(["tc", "qdisc", "add", "dev", "sc0", "root", "netem", *netem.split()])
    began = time.monotonic()
    targets = ["10.77.0.0/24"] if depth is Depth.LIGHT else [specs[0].ip, specs[1].ip]
    found = scan(lab.scanner, targets, depth)
    took = time.monotonic() - began
asked = lab.truth if depth is Depth.LIGHT else targets
truth = {ip: sorted(lab.truth[ip]) for ip in asked}
print(json.dumps({
    "wrong": {ip: [ports, sorted(found.ports.get(ip, [-1]))]
              for ip, ports in truth.items() if sorted(found.ports.get(ip, [-1])) != ports},
    "others": sorted(found.ports.keys() - truth.keys() - {"10.77.0.1", "10.77.0.254"}),
    "took": took,
    "warnings": [one.why for one in found.warnings],
    "trips": [found.hosts[ip].round_trip_ms for ip in truth if ip in found.hosts],
}))
"""


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        for name in LAB:
            made.write(f"/root/lab/tests/lab/{name}.py", (TOP / f"tests/lab/{name}.py").read_text())
        made.write("/root/lab/tests/__init__.py", "")
        made.write("/root/scan.py", SCAN)
        made.shell("modprobe sch_netem; modprobe veth; modprobe bridge")
        yield made


@pytest.mark.parametrize(
    ("netem", "least_ms", "depth"),
    [
        ("delay 15ms loss 1% limit 100000", 30, "light"),
        ("delay 15ms 5ms loss 3% limit 100000", 20, "light"),
        ("delay 15ms loss 1% limit 200", 30, "light"),
        ("delay 15ms loss 1% limit 100000", 30, "full"),
    ],
    ids=["thirty-ms-and-one-percent", "more-loss-and-jitter", "a-short-queue", "all-ports"],
)
def test_all_hosts_and_ports_are_found_over_a_network_that_delays_and_loses(
    vm: Machine, netem: str, least_ms: float, depth: str
) -> None:
    said = vm.run("python3", "/root/scan.py", str(HOSTS), netem, depth, within=600)
    found = json.loads(said.splitlines()[-1])
    print(found)
    assert found["wrong"] == {}
    assert found["others"] == []
    # There and back, each 5 ms less at the most where the delay varies.
    assert min(found["trips"]) >= least_ms
