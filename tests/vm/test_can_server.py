"""The service that reports to a server, and what it makes of a Docker that differs from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm import can
from tests.vm.can import BUS0, container, network
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]

SERVER = "http://127.0.0.1:8930"
ASK = """\
import json, sys, urllib.request
key = open("/root/viewer").read().strip()
asked = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + key})
print(urllib.request.urlopen(asked, timeout=60).read().decode())
"""
# The machine knows no curl: whether something listens is asked of the kernel.
BEGIN = """\
run="systemd-run --quiet --setenv PYTHONPATH=/opt/mooring:/opt/libraries"
$run --unit server --setenv MOORING_DATA_DIR=/root/server \
    /usr/bin/python3 -m mooring server --port 8930
until ss -ltn | grep -q :8930; do sleep 0.2; done
export MOORING_DATA_DIR=/root/server
key() { mooring keys create "$@" | grep -o 'mooring_[0-9a-f]*_[A-Za-z0-9_-]*'; }
umask 077
key --name lab --agent >/root/key
key --name look --role viewer >/root/viewer
mooring can install --server http://127.0.0.1:8930 --key-file /root/key
"""


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        made.write("/root/ask.py", ASK)
        made.shell(BEGIN, within=600)
        yield made


@pytest.fixture
def vm(installed: Machine) -> Iterator[Machine]:
    yield installed
    can.clear(installed)


def listed(vm: Machine, what: str) -> list[dict[str, Any]]:
    told = json.loads(vm.run("python3", "/root/ask.py", f"{SERVER}/api/v1/{what}"))
    items: list[dict[str, Any]] = told["items"]
    return items


def wait_for(vm: Machine, what: str, word: str) -> list[dict[str, Any]]:
    """What the server lists, once this is in it."""
    can.wait(vm, f"python3 /root/ask.py '{SERVER}/api/v1/{what}' | grep -q '{word}'", within=300)
    return listed(vm, what)


def agent(vm: Machine, *more: str) -> None:
    """Have an agent of this machine, until its unit is stopped."""
    vm.run(
        "systemd-run", "--quiet", "--unit", "agent",
        "--setenv", "PYTHONPATH=/opt/mooring:/opt/libraries",
        "/usr/bin/python3", "-m", "mooring", "agent", "--server", SERVER,
        "--key-file", "/root/key", "--data-dir", "/root/agent", *more,
    )  # fmt: skip


def test_an_installed_service_reports_its_buses_with_the_key_of_its_file(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    (bus,) = wait_for(vm, "can-buses", '"state":"joined"')
    assert (bus["device"], bus["condition"], bus["host_id"]) == ("vcan0", "healthy", None)
    assert [one["container"] for one in bus["endpoints"]] == [None]
    unit = vm.run("systemctl", "cat", can.SERVICE)
    assert vm.run("cat", "/root/key").strip() not in unit
    # An agent of the same machine: the bus is on its host, the endpoint is its container's.
    agent(vm)
    try:
        (bus,) = wait_for(vm, "can-buses", '"container":"one"')
        (host,) = listed(vm, "hosts")
        assert bus["host_id"] == host["id"]
    finally:
        vm.run("systemctl", "stop", "agent")


def test_what_was_mended_is_on_the_timeline_by_what_it_was(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "two", "bus0")
    vm.run("ip", "link", "del", "vcan0")
    assert "0 failed" in vm.run("mooring", "can", "repair")
    events = wait_for(vm, "timeline?limit=100", "vcan0 on lab: 4 rules made again")
    mended = [one["title"] for one in events if one["operation"] == "recovered"]
    assert "CAN bus vcan0 on lab: its interface made again" in mended


def test_networks_that_docker_forgot_meanwhile_are_told_and_forgotten_by_repair(
    vm: Machine,
) -> None:
    network(vm, "bus0", *BUS0)
    vm.shell("systemctl stop mooring-can.service mooring-can.socket; docker network prune -f")
    vm.shell("systemctl start mooring-can.socket mooring-can.service")
    (finding,) = can.health(vm)["findings"]
    assert (finding["weight"], finding["subject"]) == ("warning", "vcan0")
    can.wait(vm, f"journalctl -u {can.SERVICE} -o cat | grep -q network_gone_from_docker")
    assert "0 failed" in vm.run("mooring", "can", "repair")
    told = can.health(vm)
    assert (told["findings"], told["buses"]) == ([], [])
    assert vm.tried("ip", "link", "show", "vcan0").code


def test_a_driver_that_lost_its_journal_has_its_networks_from_docker(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "three", "bus0")
    vm.shell("systemctl stop mooring-can.service mooring-can.socket")
    vm.shell("rm /var/lib/mooring/can/*.json /var/lib/mooring/can/*.old")
    vm.shell("systemctl start mooring-can.socket mooring-can.service")
    can.wait(vm, f"journalctl -u {can.SERVICE} -o cat | grep -q what=network")
    vm.run("docker", "restart", "-t", "0", "three")
    can.check_rules(vm, vcan0=1)


def test_an_agent_reports_the_buses_of_its_machine_by_itself(vm: Machine) -> None:
    can.install(vm)
    network(vm, "bus0", *BUS0)
    container(vm, "four", "bus0")
    agent(vm, "--can")
    try:
        buses = wait_for(vm, "can-buses", '"container":"four"')
        (bus,) = [one for one in buses if [e["container"] for e in one["endpoints"]] == ["four"]]
        (reporter,) = [one for one in listed(vm, "agents") if one["id"] == bus["agent_id"]]
        assert "can" in reporter["duties"]
        assert bus["host_id"] == reporter["host_id"]
    finally:
        vm.run("systemctl", "stop", "agent")
