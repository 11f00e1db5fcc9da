"""Mooring's program and nmap, run in a namespace: what each found, its time, its memory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench._lib import MOORING, environment
from tests.lab.netns import Namespace
from tests.parts import need

THRESHOLDS = Path("/proc/sys/net/ipv4/neigh/default")


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    """From the start of the process to its end."""
    cpu: float
    peak_mib: float
    ports: dict[str, frozenset[int]]
    """Of each host found."""
    engine_s: float = 0.0
    """Mooring's: what it says of its scan itself, without the start of the program."""
    warnings: list[str] = field(default_factory=list)


def mooring(ns: Namespace, *arguments: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as home:
        env = environment(Path(home))
        command = [*MOORING, "discover", *arguments, "--no-services", "--format=json"]
        seconds, cpu, peak, out = _timed(ns, command, env)
    said: dict[str, Any] = json.loads(out)
    ports = {host["ip"]: frozenset(host["ports"]) for host in said["hosts"]}
    warnings = [one["why"] for one in said["warnings"]]
    return Run(seconds, cpu, peak, ports, said["elapsed_s"], warnings)


def nmap(ns: Namespace, *arguments: str) -> Run:
    command = [need("nmap"), "-n", "-oX", "-", *arguments]
    seconds, cpu, peak, out = _timed(ns, command, dict(os.environ))
    ports = {}
    for host in ElementTree.fromstring(out).iter("host"):
        status, address = host.find("status"), host.find("address[@addrtype='ipv4']")
        if status is None or address is None or status.get("state") != "up":
            continue
        ports[address.get("addr", "")] = frozenset(
            int(port.get("portid", "0"))
            for port in host.iter("port")
            if port.find("state[@state='open']") is not None
        )
    return Run(seconds, cpu, peak, ports)


def _timed(
    ns: Namespace, command: Sequence[str], env: dict[str, str]
) -> tuple[float, float, float, str]:
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = ns.popen(command, stdout=out, stderr=subprocess.DEVNULL, env=env)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command[:6])} ended with {process.returncode}")
        out.seek(0)
        text = out.read().decode()
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def wrong(found: Run, truth: dict[str, frozenset[int]], apart: Sequence[str]) -> list[str]:
    """What is not as it is there: hosts that are missing or too many, ports likewise."""
    hosts = {ip: ports for ip, ports in found.ports.items() if ip not in apart}
    said = [f"{ip} is missing" for ip in truth.keys() - hosts.keys()]
    said += [f"{ip} is not there" for ip in hosts.keys() - truth.keys()]
    for ip in truth.keys() & hosts.keys():
        if hosts[ip] != truth[ip]:
            said.append(f"{ip}: {sorted(hosts[ip])}, in truth {sorted(truth[ip])}")
    return said


@contextmanager
def arp_table(most: int) -> Iterator[None]:
    """The machine's ARP table with room for so many; put back afterwards."""
    before = [(THRESHOLDS / f"gc_thresh{n}").read_text() for n in (1, 2, 3)]
    try:
        for number, share in ((3, 1), (2, 2), (1, 8)):
            (THRESHOLDS / f"gc_thresh{number}").write_text(str(most // share))
        yield
    finally:
        for number, text in zip((1, 2, 3), before, strict=True):
            (THRESHOLDS / f"gc_thresh{number}").write_text(text)


class Goals:
    """What was to be reached, and whether it was."""

    def __init__(self) -> None:
        self.missed = 0

    def hold(self, met: bool, text: str) -> None:
        self.missed += not met
        print(f"  {'ok ' if met else 'NO '} {text}", flush=True)

    @property
    def code(self) -> int:
        return 1 if self.missed else 0
