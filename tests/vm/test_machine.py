"""The virtual machine itself: it has CAN and Docker, and its disk outlives a pulled plug."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machine import TOOLS, Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        yield made


def test_its_kernel_has_can(vm: Machine) -> None:
    vm.shell("ip link add vcan9 type vcan; ip link add vx9 type vxcan peer name vy9")
    vm.shell("cangw -A -s vcan9 -d vx9 -X -e")
    assert "cangw -A -s vcan9 -d vx9" in vm.tried("cangw", "-L").out
    assert "vcan9" in vm.run("ip", "-br", "link")
    vm.shell("ip link del vcan9; ip link del vx9")


def test_our_own_code_runs_in_it(vm: Machine) -> None:
    assert vm.run("mooring", "--version").strip()


def test_its_disk_outlives_a_pulled_plug_and_its_interfaces_do_not(vm: Machine) -> None:
    vm.make_tools()
    vm.shell("ip link add vcan9 type vcan; docker run -d --name stays --restart always "
             '--network none "$1" sleep 1000000; sync', TOOLS)  # fmt: skip
    vm.reboot_hard()
    assert "stays" in vm.run("docker", "ps", "--format", "{{.Names}}")
    assert vm.tried("ip", "link", "show", "vcan9").code != 0
