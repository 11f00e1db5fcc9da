"""``mooring can monitor`` where there are frames to be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.vm import can
from tests.vm.machine import Machine, machine

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.vm, pytest.mark.timeout(900)]

FRAMES = ("123#1122", "1FFFFFFF#AABB", "123#R", "300##1AABBCC")


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    with machine() as made:
        made.run("ip", "link", "add", "vcan0", "mtu", "72", "up", "type", "vcan")
        yield made


def monitored(vm: Machine, form: str) -> str:
    """What it writes of these frames, until Ctrl-C ends it."""
    vm.shell(
        "rm -f /run/seen; systemd-run --quiet --unit monitor --property=KillSignal=SIGINT "
        f"sh -c 'exec mooring can monitor vcan0 --format {form} >/run/seen'"
    )
    can.wait(vm, "grep -q 'vcan0 .*raw' /proc/net/can/rcvlist_all")
    for frame in FRAMES:
        vm.run("cansend", "vcan0", frame)
    vm.run("sleep", "1")
    vm.run("systemctl", "stop", "monitor")
    assert vm.tried("systemctl", "is-failed", "--quiet", "monitor").code
    return vm.run("cat", "/run/seen")


def test_frames_are_written_as_candump_logs_them(vm: Machine) -> None:
    lines = [line.split() for line in monitored(vm, "candump").splitlines()]
    assert [(bus, frame) for _, bus, frame in lines] == [("vcan0", frame) for frame in FRAMES]
    times = [float(at.strip("()")) for at, _, _ in lines]
    assert times == sorted(times)


def test_frames_are_written_as_json_with_the_rate_of_their_id(vm: Machine) -> None:
    told = [json.loads(line) for line in monitored(vm, "json").splitlines()]
    assert [(one["id"], one["kind"], one["data"]) for one in told] == [
        ("123", "data", "1122"),
        ("1FFFFFFF", "data", "AABB"),
        ("123", "remote", ""),
        ("300", "fd", "AABBCC"),
    ]
    assert all(one["rate"] > 0 for one in told)


def test_the_table_has_a_line_for_each_id(vm: Machine) -> None:
    rows = [line.split() for line in monitored(vm, "table").splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [("123", "2"), ("300", "1"), ("1FFFFFFF", "1")]


def test_what_is_no_can_interface_is_told_so(vm: Machine) -> None:
    for name, said in (("lo", "no CAN interface"), ("vcan77", "no such interface")):
        ran = vm.tried("mooring", "can", "monitor", name)
        assert (ran.code, said in ran.err) == (2, True)


def test_an_interface_that_goes_down_ends_it_with_a_word(vm: Machine) -> None:
    vm.run("ip", "link", "add", "vcan8", "up", "type", "vcan")
    vm.shell("rm -f /run/down; systemd-run --quiet --unit down "
             "sh -c 'mooring can monitor vcan8 2>/run/down; echo $? >>/run/down'")  # fmt: skip
    can.wait(vm, "grep -q 'vcan8 .*raw' /proc/net/can/rcvlist_all")
    vm.run("ip", "link", "set", "vcan8", "down")
    can.wait(vm, "grep -qx 1 /run/down")
    assert "listening to vcan8" in vm.run("cat", "/run/down")
