"""The driver in a machine with CAN and Docker: who hears whom, and what stays when it is killed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.can import BUS0, check_bus, check_rules, container, network
from tests.vm.machine import TOOLS, Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        can.install(made)
        yield made


@pytest.fixture
def vm(installed: Machine) -> Iterator[Machine]:
    yield installed
    can.clear(installed)


def test_each_frame_reaches_each_other_party_once_and_never_its_sender(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    container(vm, "two", "bus0")
    check_bus(vm, "host:vcan0", "one:can0", "two:can0")
    check_rules(vm, vcan0=2)


def test_what_a_container_sends_the_host_s_candump_shows_once(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    container(vm, "two", "bus0")
    vm.shell("rm -f /run/heard; systemd-run --quiet --unit heard "
             "sh -c 'exec stdbuf -oL candump -L vcan0 >/run/heard'")  # fmt: skip
    can.wait(vm, "grep -q 'vcan0 .*raw' /proc/net/can/rcvlist_all")
    vm.run("docker", "exec", "one", "cansend", "can0", "123#1122")
    vm.run("docker", "exec", "two", "cansend", "can0", "1FFFFFFF#AABB")
    can.wait(vm, "grep -q 1FFFFFFF /run/heard")
    vm.run("systemctl", "stop", "heard")
    heard = [line.split()[2] for line in vm.run("cat", "/run/heard").splitlines()]
    assert heard == ["123#1122", "1FFFFFFF#AABB"]


def test_frames_still_come_once_after_fifty_random_joins_and_leaves(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    names = ["one", "two", "three", "four"]
    for name in names:
        container(vm, name, "bus0")
    chance = random.Random(50)
    on = set(names)
    for _ in range(50):
        name = chance.choice(names)
        verb = "disconnect" if name in on else "connect"
        vm.run("docker", "network", verb, "bus0", name)
        on ^= {name}
    check_rules(vm, vcan0=len(on))
    for name in names:
        if name not in on:
            vm.run("docker", "network", "connect", "bus0", name)
    # Docker counts on: who has come back has another number.
    check_bus(vm, "host:vcan0", *(f"{name}:can*" for name in names))
    check_rules(vm, vcan0=4)


DOCKER_COMPOSE = "COMPOSE_HTTP_TIMEOUT=500 docker-compose"
"""It gives Docker a minute by itself, which is little for eight at once on a busy host."""

COMPOSE = f"""\
version: "2.4"
services:
  app:
    image: {TOOLS}
    command: /bin/sleep 1000000
    stop_signal: SIGKILL
    networks: [bus]
networks:
  bus:
    driver: mooring-can
    ipam: {{driver: "null"}}
    driver_opts: {{vxcan.dev: vcan, vxcan.id: "5", vxcan.peer: can}}
"""


@pytest.mark.timeout(2400)
def test_eight_containers_started_at_once_are_all_wired_ten_times(vm: Machine) -> None:
    vm.write("/root/scale/docker-compose.yml", COMPOSE)
    for _ in range(10):
        vm.shell(f"cd /root/scale; {DOCKER_COMPOSE} up -d --scale app=8", within=600)
        assert len(can.running(vm)) == 8, can.log(vm)
        check_rules(vm, vcan5=8)
        vm.shell("docker ps -q | xargs docker stop -t 0")
    vm.shell(f"cd /root/scale; {DOCKER_COMPOSE} up -d --scale app=8", within=600)
    check_bus(vm, "host:vcan5", *(f"{name}:can0" for name in can.running(vm)))
    assert " [error" not in can.log(vm)


# The form of rustycan4docker's own example, with the driver's name changed and nothing else.
RUSTYCAN = f"""\
version: "3.8"

services:
  sender:
    image: {TOOLS}
    command: ["/bin/sleep", "1000000"]
    networks:
      - canbus
  listener:
    image: {TOOLS}
    command: ["/bin/sleep", "1000000"]
    networks:
      canbus:

networks:
  canbus:
    driver: mooring-can
    IPAM
    driver_opts:
      vxcan.dev: vcan
      vxcan.id: 0
      vxcan.peer: can
"""


@pytest.mark.parametrize("ipam", ["ipam:\n      driver: 'null'", "# default addresses"])
def test_a_compose_file_of_rustycan4docker_works_with_the_driver_s_name_changed(
    vm: Machine, ipam: str
) -> None:
    vm.write("/root/rusty/docker-compose.yml", RUSTYCAN.replace("IPAM", ipam))
    vm.shell(f"cd /root/rusty; {DOCKER_COMPOSE} up -d", within=600)
    check_bus(vm, "host:vcan0", *(f"{name}:can0" for name in can.running(vm)))
    check_rules(vm, vcan0=2)
    vm.shell(f"cd /root/rusty; {DOCKER_COMPOSE} down -t 0", within=600)


def test_the_driver_killed_or_ended_under_traffic_loses_no_frame_and_no_call(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    for name in ("one", "two", "three"):
        container(vm, name, "bus0")
    with can.streaming(vm, "one:can0", "two:can0", "host:vcan0") as told:
        for signal in ("KILL", "TERM", "KILL", "TERM"):
            before = vm.run("systemctl", "show", "-P", "MainPID", can.SERVICE)
            vm.run("systemctl", "kill", "--kill-who=main", f"--signal={signal}", can.SERVICE)
            # Made while nobody serves: it waits in the socket.
            vm.run("docker", "network", "disconnect", "bus0", "three")
            vm.run("docker", "network", "connect", "bus0", "three")
            assert vm.run("systemctl", "show", "-P", "MainPID", can.SERVICE) != before
    assert told["sent"] > 100
    assert told["lost"] == {"two": 0, "host": 0}
    assert told["twice"] == {"two": 0, "host": 0}
    check_bus(vm, "host:vcan0", "one:can0", "two:can0", "three:can*")
    check_rules(vm, vcan0=3)


def test_calls_that_a_kill_interrupts_are_served_by_the_next_process(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    names = [f"app{n}" for n in range(6)]
    for name in names:
        vm.run("docker", "create", "--name", name, "--network", "bus0", TOOLS, "/bin/sleep", "1000")
    with can.dying(vm):
        vm.shell("rm -f /run/lab/joins; systemctl restart mooring-can.service")
        before = can.kills(vm)
        at_once = 'for name in "$@"; do docker start "$name" & done; wait'
        started = vm.tried("sh", "-c", at_once, "sh", *names)
        assert can.kills(vm) == before + 2, can.log(vm)
    vm.run("systemctl", "restart", can.SERVICE)
    assert can.running(vm) == names, started.err + can.log(vm)
    check_bus(vm, "host:vcan0", *(f"{name}:can0" for name in names))
    check_rules(vm, vcan0=6)


def test_repair_puts_back_what_somebody_deleted(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    container(vm, "two", "bus0")
    vm.run("docker", "exec", "one", "ip", "link", "show", "can0")
    vm.shell("ip link del vcan0; for it in /sys/class/net/vx*; do ip link del ${it##*/}; done")
    assert not can.health(vm)["well"]
    said = vm.run("mooring", "can", "repair")
    assert "0 failed" in said, can.log(vm)
    check_bus(vm, "host:vcan0", "one:can0", "two:can0")
    check_rules(vm, vcan0=2)


def test_installing_again_changes_no_file_and_breaks_no_bus(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    said = can.install(vm)
    assert "wrote" not in said
    assert can.install(vm, "--strict-ipam").count("wrote") == 1
    refused = vm.tried("docker", "network", "create", "--driver", can.DRIVER, "bus1")
    assert "--ipam-driver null" in refused.err
    can.install(vm)
    check_bus(vm, "host:vcan0", "one:can0")
    check_rules(vm, vcan0=1)


def test_uninstalled_it_is_gone_and_containers_keep_their_bus(vm: Machine) -> None:
    network(vm, "bus0", *BUS0)
    container(vm, "one", "bus0")
    vm.run("mooring", "can", "uninstall")
    try:
        assert vm.tried("test", "-e", "/run/docker/plugins/mooring-can.sock").code
        assert "could not be found" in vm.tried("systemctl", "status", can.SERVICE).err
        check_bus(vm, "host:vcan0", "one:can0")
        again = vm.tried("mooring", "can", "uninstall")
        assert (again.code, "nothing to do" in again.err) == (2, True)
    finally:
        can.install(vm)
    check_rules(vm, vcan0=1)
