"""The driver in a machine with CAN and Docker: frames, containers that come and go, reboots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.can import Party, container, each_once, exchange, network
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.make_tools()
        can.serve(made)
        yield made


@pytest.fixture
def clear(vm: Machine) -> Iterator[None]:
    yield
    vm.shell("docker ps -aq | xargs -r docker rm -f; docker network prune -f")


@pytest.mark.usefixtures("clear")
def test_each_frame_reaches_each_other_party_once_and_never_its_sender(vm: Machine) -> None:
    network(vm, "bus0", "vxcan.dev=vcan", "vxcan.id=0", "vxcan.peer=can")
    container(vm, "one", "bus0")
    container(vm, "two", "bus0")
    parties = Party(vm, "host", "vcan0"), Party(vm, "one", "can0"), Party(vm, "two", "can0")
    assert exchange(*parties) == each_once(*parties)


@pytest.mark.usefixtures("clear")
def test_after_a_pulled_plug_every_container_is_on_its_buses_again(vm: Machine) -> None:
    network(vm, "bus0", "vxcan.dev=vcan", "vxcan.id=0", "vxcan.peer=can")
    network(vm, "bus1", "vxcan.dev=vcan", "vxcan.id=1", "vxcan.peer=can")
    container(vm, "one", "bus0", restart="always")
    container(vm, "two", "bus0", "bus1", restart="always")
    container(vm, "three", "bus1", restart="always")
    vm.run("sync")
    vm.reboot_hard()
    assert sorted(vm.run("docker", "ps", "--format", "{{.Names}}").split()) == [
        "one", "three", "two",
    ], can.log(vm)  # fmt: skip
    first = Party(vm, "host", "vcan0"), Party(vm, "one", "can0"), Party(vm, "two", "can0")
    assert exchange(*first) == each_once(*first)
    second = Party(vm, "host", "vcan1"), Party(vm, "two", "can1"), Party(vm, "three", "can0")
    assert exchange(*second) == each_once(*second)
