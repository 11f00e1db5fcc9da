"""After a boot everything is as it was, whatever happened before and meanwhile.

Three containers on two buses, started by Docker's restart policy; and nobody touches anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.can import BUS0, BUS1, check_bus, check_rules, container, network
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        can.install(made)
        network(made, "bus0", *BUS0)
        network(made, "bus1", *BUS1)
        container(made, "one", "bus0", restart="always")
        container(made, "two", "bus0", "bus1", restart="always")
        container(made, "three", "bus1", restart="always")
        yield made


def check(vm: Machine) -> None:
    """All run, and all frames pass."""
    assert can.running(vm) == ["one", "three", "two"], can.log(vm)
    check_bus(vm, "host:vcan0", "one:can0", "two:can0")
    check_bus(vm, "host:vcan1", "two:can1", "three:can0")
    check_rules(vm, vcan0=2, vcan1=2)


def test_after_a_pulled_plug(vm: Machine) -> None:
    vm.run("sync")
    vm.reboot_hard()
    check(vm)


def test_after_a_pulled_plug_when_the_driver_starts_ten_seconds_after_docker(vm: Machine) -> None:
    late = "until pidof dockerd; do sleep 0.1; done; sleep 10; exec mooring can serve"
    with can.altered(vm, f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{late}'\n"):
        vm.run("sync")
        vm.reboot_hard()
        check(vm)
        assert serving_since(vm) > loading_since(vm) + 5
    vm.run("systemctl", "restart", can.SERVICE)


def test_after_a_pulled_plug_when_the_driver_is_killed_in_the_middle_of_joins(vm: Machine) -> None:
    with can.dying(vm):
        vm.run("sync")
        vm.reboot_hard()
        assert can.kills(vm) >= 1, can.log(vm)
        check(vm)
    vm.run("systemctl", "restart", can.SERVICE)


def test_after_dockerd_was_killed(vm: Machine) -> None:
    restarted(vm, "systemctl kill --kill-who=main --signal=KILL docker.service")
    check(vm)


# `systemctl reload` runs /bin/kill, which this machine has not.
RELOAD = "systemctl kill --kill-who=main --signal=HUP docker.service"


def test_after_dockerd_was_killed_while_its_containers_live_on(vm: Machine) -> None:
    vm.write("/etc/docker/daemon.json", json.dumps({"live-restore": True}))
    vm.shell(RELOAD)
    can.wait(vm, "test \"$(docker info -f '{{.LiveRestoreEnabled}}')\" = true")
    try:
        with can.streaming(vm, "one:can0", "two:can0", "host:vcan0") as told:
            restarted(vm, "systemctl kill --kill-who=main --signal=KILL docker.service")
        assert told["lost"] == {"two": 0, "host": 0}
        assert told["twice"] == {"two": 0, "host": 0}
        check(vm)
        vm.run("docker", "restart", "-t", "0", "one")
        check(vm)
    finally:
        vm.shell(f"rm /etc/docker/daemon.json; {RELOAD}")


def restarted(vm: Machine, command: str) -> None:
    """Run it, and wait until another dockerd serves and what it starts has started."""
    before = vm.run("systemctl", "show", "-P", "MainPID", "docker").strip()
    vm.shell(command)
    can.wait(vm, f'test "$(systemctl show -P MainPID docker)" -ne {before}')
    can.wait(vm, 'test "$(systemctl is-active docker)" = active && docker ps')


def loading_since(vm: Machine) -> float:
    """When dockerd began with its containers, in seconds."""
    return said_at(vm, "docker.service", "Loading containers: start")


def serving_since(vm: Machine) -> float:
    return said_at(vm, can.SERVICE, "serving_handed_over")


def said_at(vm: Machine, unit: str, words: str) -> float:
    lines = vm.run("journalctl", "-b", "-u", unit, "-o", "short-unix", "--no-pager").splitlines()
    return next(float(line.split()[0]) for line in lines if words in line)
