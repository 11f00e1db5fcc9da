"""CAN in the machine: the driver installed, containers on buses, frames sent and counted."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.vm.machine import TOOLS, Machine

DRIVER = "mooring-can"
SERVICE = "mooring-can.service"
BUS0 = ("vxcan.dev=vcan", "vxcan.id=0", "vxcan.peer=can")
BUS1 = ("vxcan.dev=vcan", "vxcan.id=1", "vxcan.peer=can")
DIES = "/usr/local/lib/lab/dies.py"
FRAMES = "/usr/local/lib/lab/frames.py"
SETTLED = 240.0
"""Seconds in which what was begun has come to its end, on a machine that is slow and busy."""


def install(vm: Machine, *options: str) -> str:
    """Have the driver run as a service, now and after each boot; what the command says."""
    bring(vm)
    return vm.run("mooring", "can", "install", *options)


def bring(vm: Machine) -> None:
    """Have what sends and hears frames there."""
    vm.write(FRAMES, Path(__file__).with_name("frames.py").read_text())


@contextmanager
def altered(vm: Machine, text: str, unit: str = SERVICE) -> Iterator[None]:
    """Have this in the service's file too, meanwhile."""
    folder = f"/etc/systemd/system/{unit}.d"
    vm.write(f"{folder}/lab.conf", text)
    vm.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        vm.run("rm", "-r", folder)
        vm.run("systemctl", "daemon-reload")


@contextmanager
def dying(vm: Machine) -> Iterator[None]:
    """Have a driver that is killed in the middle of its second Join since the boot, and its fifth.

    From its next start on.
    """
    vm.write(DIES, Path(__file__).with_name("dies.py").read_text())
    with altered(
        vm,
        f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 {DIES} serve\n"
        "RuntimeDirectory=lab\nRuntimeDirectoryPreserve=yes\n",
    ):
        yield


def kills(vm: Machine) -> int:
    """How often the driver was killed since the boot."""
    said = vm.run("journalctl", "-b", "-u", SERVICE, "-o", "cat", "--no-pager")
    return said.count("status=9/KILL")


def log(vm: Machine) -> str:
    """What the driver has said since the machine's start."""
    return vm.run("journalctl", "-b", "-u", SERVICE, "-o", "cat", "--no-pager")


def network(vm: Machine, name: str, *options: str, driver: str = DRIVER) -> None:
    words = [word for option in options for word in ("-o", option)]
    ipam = ("--ipam-driver", "null")
    vm.run("docker", "network", "create", "--driver", driver, *ipam, *words, name)


def container(vm: Machine, name: str, *networks: str, restart: str = "no") -> None:
    """A container on these buses that does nothing."""
    first, *others = networks
    vm.run(
        "docker", "create", "--name", name, "--restart", restart, "--network", first,
        TOOLS, "/bin/sleep", "1000000",
    )  # fmt: skip
    for other in others:
        vm.run("docker", "network", "connect", other, name)
    vm.run("docker", "start", name)


def clear(vm: Machine) -> None:
    """No container and no network any more, and of ours nothing left in the kernel."""
    vm.shell("docker ps -aq | xargs -r docker rm -f; docker network prune -f")
    if vm.run("docker", "network", "ls", "-q", "--filter", f"driver={DRIVER}"):
        # This Docker counts a network's endpoints wrongly when many come and go at once, and then
        # will not remove it (moby issue 42119); at its start it counts anew.
        vm.shell("systemctl restart docker.service; docker network prune -f")
    assert not rules(vm)
    left = [line for line in vm.run("ip", "-d", "-o", "link").splitlines() if "mooring:" in line]
    assert not left


def running(vm: Machine) -> list[str]:
    return sorted(vm.run("docker", "ps", "--format", "{{.Names}}").split())


def wait(vm: Machine, condition: str, within: float = SETTLED) -> None:
    """Until a shell's condition holds."""
    vm.shell(f"until {condition}; do sleep 0.1; done", within=within)


# --- frames ---------------------------------------------------------------------------------------

Heard = dict[str, dict[str, int]]
KINDS = (0x100, 0x92345600, 0x40000200, 0x300)
"""Ids, less their party's number: a classic frame, an extended one, a request, one of CAN FD.

The first digits of an extended id and of a request hold the flags by which the kernel tells them.
"""


def parties(vm: Machine, *names: str) -> list[str]:
    """Of ``container:interface`` and ``host:interface``, what frames.py wants to know."""
    words = [name.split(":") for name in names]
    others = [name for name, _ in words if name != "host"]
    pids = {"host": "1"}
    if others:
        said = vm.run("docker", "inspect", "-f", "{{.State.Pid}}", *others).split()
        pids |= dict(zip(others, said, strict=True))
    return [f"{name}:{pids[name]}:{device}" for name, device in words]


def exchange(vm: Machine, *names: str) -> Heard:
    """Each party sends one frame of every kind; what each heard of others, by id."""
    said = vm.run("python3", FRAMES, "once", *parties(vm, *names))
    told: Heard = json.loads(said)
    return told


def each_once(*names: str) -> Heard:
    """What ``exchange`` answers on a good bus: all of the others' frames, once, none of its own."""
    ids = {name: [f"{kind + n:X}" for kind in KINDS] for n, name in enumerate(names)}
    return {
        name.partition(":")[0]: {i: 1 for other in names if other != name for i in ids[other]}
        for name in names
    }


def check_bus(vm: Machine, *names: str) -> None:
    assert exchange(vm, *names) == each_once(*names), log(vm)


@contextmanager
def streaming(vm: Machine, *names: str) -> Iterator[dict[str, Any]]:
    """The first sends numbered frames to the others meanwhile; after it, what became of them."""
    told: dict[str, Any] = {}
    words = " ".join(parties(vm, *names))
    vm.shell(
        "rm -f /run/stop /run/told; systemctl reset-failed stream 2>/dev/null || true;"
        "systemd-run --quiet --unit stream "
        f"sh -c 'python3 {FRAMES} stream /run/stop {words} >/run/told.new;"
        " mv /run/told.new /run/told'"
    )
    wait(vm, 'test "$(systemctl show -P ActiveState stream)" = active')
    time.sleep(1)
    try:
        yield told
    finally:
        vm.run("touch", "/run/stop")
        wait(vm, "test -e /run/told")
        told |= json.loads(vm.run("cat", "/run/told"))


# --- rules ----------------------------------------------------------------------------------------


def rules(vm: Machine) -> Counter[str]:
    """The rules that the kernel has, as cangw lists them, without their counters."""
    lines = vm.tried("cangw", "-L").out.splitlines()
    return Counter(line.partition("#")[0].strip() for line in lines if line.startswith("cangw"))


def health(vm: Machine) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(vm.tried("mooring", "can", "health", "--format", "json").out)
    return told


def check_rules(vm: Machine, **endpoints: int) -> None:
    """On each device a mesh over so many endpoints, each rule once; and health agrees."""
    found = rules(vm)
    assert set(found.values()) <= {1}, found
    wanted = sum(2 * count * (count + 1) for count in endpoints.values())
    assert len(found) == wanted, "\n".join(found)
    told = health(vm)
    assert told["well"], told["findings"]
    assert not told["findings"]
    assert {bus["device"]: len(bus["endpoints"]) for bus in told["buses"]} == endpoints
    assert sum(bus["rules_wanted"] for bus in told["buses"]) == wanted
