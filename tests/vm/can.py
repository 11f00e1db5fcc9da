"""CAN in the machine: the plugin as a service, containers on buses, frames sent and counted."""

from __future__ import annotations

import time
from collections import Counter

from tests.vm.machine import TOOLS, Machine

DRIVER = "mooring-can"
IDS = {"1{:02X}": "#11", "123456{:02X}": "#22", "2{:02X}": "#R", "3{:02X}": "##1334455"}
"""Of a classic frame, an extended one, a request (RTR) and one of CAN FD; what else each has."""

UNIT = """\
[Unit]
Description=Mooring's CAN networks
Before=docker.service

[Service]
ExecStart=/usr/local/bin/mooring can serve
Restart=always
RestartSec=0.1

[Install]
WantedBy=multi-user.target
"""


def serve(vm: Machine) -> None:
    """Have the plugin run as a service, now and after each boot."""
    vm.write("/etc/systemd/system/mooring-can.service", UNIT)
    vm.shell("systemctl daemon-reload; systemctl enable --now mooring-can.service")
    vm.shell("until test -S /run/docker/plugins/mooring-can.sock; do sleep 0.1; done")


def log(vm: Machine) -> str:
    """What the plugin has said."""
    return vm.run("journalctl", "-u", "mooring-can.service", "-o", "cat", "--no-pager")


def network(vm: Machine, name: str, *options: str) -> None:
    words = [word for option in options for word in ("-o", option)]
    ipam = ("--ipam-driver", "null")
    vm.run("docker", "network", "create", "--driver", DRIVER, *ipam, *words, name)


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


class Party:
    """One who sends and hears on a CAN interface: the host, or a container."""

    def __init__(self, vm: Machine, name: str, device: str) -> None:
        self.vm = vm
        self.name = name
        self.device = device

    def _inside(self) -> tuple[str, ...]:
        return () if self.name == "host" else ("docker", "exec", self.name)

    def listen(self) -> None:
        """Write down what comes from now on."""
        where = f"/run/heard-{self.name}-{self.device}"
        enter = ""
        if self.name != "host":
            pid = self.vm.run("docker", "inspect", "-f", "{{.State.Pid}}", self.name).strip()
            enter = f"nsenter --net=/proc/{pid}/ns/net"
        self.vm.shell(
            f"systemctl reset-failed {self._unit} 2>/dev/null || true;"
            f"systemd-run --quiet --unit {self._unit} "
            f"sh -c 'exec {enter} candump -x {self.device} >{where}'"
        )

    @property
    def _unit(self) -> str:
        return f"heard-{self.name}-{self.device}"

    def heard(self) -> Counter[str]:
        """How often each id came from somebody else; ends the listening."""
        self.vm.shell(f"systemctl stop {self._unit}")
        lines = self.vm.run("cat", f"/run/heard-{self.name}-{self.device}").splitlines()
        # can0  RX - -  123   [1]  11
        parts = [line.split() for line in lines]
        return Counter(part[4] for part in parts if part[1] == "RX")

    def send(self, *frames: str) -> None:
        script = "".join(f"cansend {self.device} '{frame}';" for frame in frames)
        self.vm.run(*self._inside(), "sh", "-ec", script)


def ids(number: int) -> list[str]:
    """Of the frames that the party with this number sends."""
    return [form.format(number) for form in IDS]


def exchange(*parties: Party) -> dict[str, Counter[str]]:
    """Each sends one frame of every kind, with ids of its own; what each has heard of others."""
    for party in parties:
        party.listen()
    time.sleep(1)
    for number, party in enumerate(parties):
        party.send(*(form.format(number) + rest for form, rest in IDS.items()))
    time.sleep(1)
    return {party.name: party.heard() for party in parties}


def each_once(*parties: Party) -> dict[str, Counter[str]]:
    """What ``exchange`` answers on a good bus: all of the others' frames, once, none of its own."""
    return {
        party.name: Counter(i for n, other in enumerate(parties) if other != party for i in ids(n))
        for party in parties
    }
