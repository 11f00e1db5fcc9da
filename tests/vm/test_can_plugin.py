"""The driver as a managed plugin of Docker: made, enabled, and there again after a reboot."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.can import BUS0, BUS1, check_bus, container, network
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]

PLUGIN = "mooring-can:latest"
BUILD = "/opt/mooring/packaging/plugin/build"
ROOT = "/var/lib/lab-plugin"


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        can.bring(made)
        made.run(BUILD, "fill", ROOT)
        made.run(BUILD, "create", ROOT, PLUGIN)
        made.run("docker", "plugin", "enable", PLUGIN)
        network(made, "bus0", *BUS0, driver=PLUGIN)
        network(made, "bus1", *BUS1, driver=PLUGIN)
        container(made, "one", "bus0", restart="always")
        container(made, "two", "bus0", "bus1", restart="always")
        container(made, "three", "bus1", restart="always")
        yield made


def check(vm: Machine) -> None:
    assert can.running(vm) == ["one", "three", "two"], log(vm)
    check_bus(vm, "host:vcan0", "one:can0", "two:can0")
    check_bus(vm, "host:vcan1", "two:can1", "three:can0")
    found = can.rules(vm)
    assert len(found) == 2 * 2 * 2 * 3
    assert set(found.values()) == {1}
    assert health(vm) == []


def health(vm: Machine) -> list[object]:
    """What `mooring can health` finds, told where Docker keeps this plugin's things."""
    said = vm.run("docker", "plugin", "inspect", "-f", "{{.Id}}", PLUGIN).strip()
    told = json.loads(
        vm.tried(
            "mooring", "can", "health", "--format", "json",
            "--socket", f"/run/docker/plugins/{said}/mooring-can.sock",
            "--state-dir", f"/var/lib/docker/plugins/{said}/propagated-mount/can",
        ).out
    )  # fmt: skip
    findings: list[object] = told["findings"]
    return findings


def log(vm: Machine) -> str:
    return vm.run("journalctl", "-b", "-u", "docker.service", "-o", "cat", "--no-pager")[-8000:]


def test_its_containers_are_on_their_buses(vm: Machine) -> None:
    check(vm)


def test_a_pair_deleted_by_hand_is_put_back_when_it_starts_again(vm: Machine) -> None:
    vm.shell("for it in /sys/class/net/vx*; do ip link del ${it##*/}; done")
    vm.shell("kill -KILL $(grep -lzs '^serve$' /proc/[0-9]*/cmdline | cut -d/ -f3)")
    can.wait(vm, "docker plugin inspect -f '{{.Enabled}}' mooring-can:latest | grep -q true")
    can.wait(vm, "test $(cangw -L | grep -c ^cangw) -eq 24")
    check(vm)


def test_it_is_given_options_while_it_is_disabled_and_keeps_its_networks(vm: Machine) -> None:
    vm.run("docker", "plugin", "disable", "--force", PLUGIN)
    vm.run("docker", "plugin", "set", PLUGIN, "args=--strict-ipam")
    vm.run("docker", "plugin", "enable", PLUGIN)
    refused = vm.tried("docker", "network", "create", "--driver", PLUGIN, "bus2")
    assert "--ipam-driver null" in refused.err
    for name in ("one", "two", "three"):
        vm.run("docker", "restart", "-t", "0", name)
    check(vm)


def test_after_a_pulled_plug_they_are_again(vm: Machine) -> None:
    vm.run("sync")
    vm.reboot_hard()
    check(vm)
