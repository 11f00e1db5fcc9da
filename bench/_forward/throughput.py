"""How fast bytes pass a forward, against `ssh -L` with the same cipher, and how much is kept.

A container on the remote host sends and takes bytes (pipe.py). It is reached

    none       directly, without a tunnel
    ssh -L     by OpenSSH's own forward, with the cipher that asyncssh has negotiated
    asyncssh   by `mooring forward`, each of its transports
    openssh

in turns, round after round, to the same address of the remote host: one that its kernel hands to
the container, so that no proxy of Docker's is in the way. Kinds of load:

    down, up   one connection, --mib each; CPU seconds per GiB of the processes on this side
    small      --requests connections at once, each asks 9 bytes and hears 1 KiB
    memory     resident memory with 100 forwards; its peak while, for --seconds, a client does not
               read, a client sends what the container does not read, a client stops reading after
               256 MiB, and a hundred clients do not read

With --delay 50 everything to the remote host passes a relay in a process of its own, which lets it
wait for 25 ms each way. It loses nothing and has room for 512 MiB; what `none` gets through it
shows how much it lets pass. TCP ends at the relay, so its windows do not count, SSH's do.

Goals: down asyncssh >= 0.75 x ssh -L, and with a delay >= 3 x; down and up openssh >= 0.9 x;
memory < 80 MiB with 100 forwards, and < 120 MiB with one end that does not read. The exit code is
1 if one is missed.

    bench/forward throughput [--only down,up,small,memory] [--delay 0] [--delay 50] [--mib N]
                             [--rounds 5] [--requests 200] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench._forward import pipe
from bench._forward.lab import TRANSPORTS, Site, lab, until
from bench._lib import machine, quantile
from mooring.forward.address import Address
from mooring.forward.login import log_in
from mooring.forward.transport import Options
from tests.lab.forwarding import Whole
from tests.lab.remote import RemoteHost

LOADS = ("down", "up", "small", "memory")
PORTS = range(20000, 20100)
"""Published by the container; all lead to the same server in it."""
SERVES = 9000
SSH_RELAYED, TARGET_RELAYED = 2222, 2223
MIB = 1024 * 1024
GIB = 1024 * MIB
BASE = "ssh -L"
BINDS = {BASE: "127.0.0.1", "asyncssh": "127.0.0.2", "openssh": "127.0.0.3"}
GOALS = {
    ("down", False, "asyncssh"): 0.75,
    ("down", False, "openssh"): 0.9,
    ("down", True, "asyncssh"): 3.0,
    ("down", True, "openssh"): 0.9,
    ("up", False, "openssh"): 0.9,
    ("up", True, "openssh"): 0.9,
}
"""Times what ``ssh -L`` does; whether there is a delay."""
RESIDENT, PEAK = 80 * MIB, 120 * MIB
READ_FIRST = 256 * MIB
HUNDRED = "a hundred clients that do not read"


@dataclass(frozen=True, slots=True)
class Way:
    """How the container's server is reached, and the processes that carry it on this side."""

    name: str
    address: tuple[str, int]
    pids: tuple[int, ...] = ()

    def cpu(self) -> float:
        """CPU seconds of its processes so far."""
        ticks = 0
        for pid in self.pids:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, what: str) -> int:
        """Bytes of its processes together: VmRSS now, or VmHWM since ``forget_peak``."""
        kib = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{what}:"):
                    kib += int(line.split()[1])
        return kib * 1024

    def forget_peak(self) -> None:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")


@dataclass(slots=True)
class Verdict:
    missed: list[str] = field(default_factory=list)

    def hold(self, what: str, met: bool) -> str:
        """Remember a goal that is missed; a mark for the line that shows it."""
        if not met:
            self.missed.append(what)
        return "" if met else "  MISSED"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/forward throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(LOADS), help="loads, with commas between")
    parser.add_argument("--delay", type=int, action="append", help="ms of round trip")
    parser.add_argument("--mib", type=int, help="default: 1024, and 256 with a delay")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20, help="that nobody reads")
    options = parser.parse_args(arguments)
    loads = options.only.split(",")
    if not set(loads) <= set(LOADS):
        parser.error(f"--only: expected some of {', '.join(LOADS)}, got {options.only}")
    print(machine())
    verdict = Verdict()
    with lab() as site:
        target = _start_server(site)
        cipher = asyncio.run(_negotiated(site.host))
        print(f"cipher of all: {cipher}")
        moving = [load for load in loads if load != "memory"]
        for delay in options.delay or (0, 50) if moving else ():
            size = (options.mib or (256 if delay else 1024)) * MIB
            with _ways(site, target, delay / 1000, cipher) as ways:
                for load in moving:
                    if load == "small":
                        _measure_small(ways, delay, options.requests, max(options.rounds, 10))
                    else:
                        _measure_bulk(load, ways, delay, size, options.rounds, verdict)
        if "memory" in loads:
            for transport in TRANSPORTS:
                with _mooring(site, site.host, transport) as way:
                    _measure_memory(way, options.seconds, verdict)
    for what in verdict.missed:
        print(f"missed: {what}")
    return 1 if verdict.missed else 0


# --- the lab


def _start_server(site: Site) -> tuple[str, int]:
    """Start pipe.py in a container; where the remote host reaches it."""
    python = Path(sys.executable).resolve()
    script = Path(pipe.__file__).resolve()
    # The image has no Python: this machine's own is lent to it.
    lent = {"/usr", "/lib", "/lib64", sys.base_prefix}
    binds = [f"{path}:{path}:ro" for path in sorted(lent) if Path(path).exists()]
    published = [{"HostIp": site.host.ip, "HostPort": str(port)} for port in PORTS]
    site.engine.run(
        "pipe",
        command=("env", str(python), "-I", "-S", "/pipe.py", "serve", str(SERVES)),
        ExposedPorts={f"{SERVES}/tcp": {}},
        HostConfig={
            "NetworkMode": "bridge",
            "PortBindings": {f"{SERVES}/tcp": published},
            "Binds": [*binds, f"{script}:/pipe.py:ro"],
        },
    )
    target = (site.host.ip, PORTS[0])
    _wait_for(target)
    return target


def _wait_for(address: tuple[str, int]) -> None:
    """Wait until the server answers there."""

    def answers() -> bool:
        try:
            pipe.request_at_once(address, 1)
        except OSError:
            return False
        return True

    until(answers, 20)


async def _negotiated(host: RemoteHost) -> str:
    """The cipher that asyncssh and this sshd agree on when Mooring logs in."""
    options = Options(identity=host.key, known_hosts=host.known_hosts, config=host.config)
    connection, _ = await log_in(Address(host.ip, "root", host.port), options)
    async with connection:
        return str(connection.get_extra_info("recv_cipher"))


@contextmanager
def _ways(site: Site, target: tuple[str, int], delay: float, cipher: str) -> Iterator[list[Way]]:
    with ExitStack() as stack:
        host, direct = site.host, target
        if delay:
            stack.enter_context(_relay(site, SSH_RELAYED, ("127.0.0.1", host.port), delay / 2))
            stack.enter_context(_relay(site, TARGET_RELAYED, target, delay / 2))
            host, direct = copy.copy(host), (host.ip, TARGET_RELAYED)
            host.port = SSH_RELAYED
        ways = [Way("none", direct), stack.enter_context(_ssh(host, target, cipher))]
        ways += [stack.enter_context(_mooring(site, host, name)) for name in TRANSPORTS]
        for way in ways:
            _wait_for(way.address)
        yield ways


@contextmanager
def _relay(site: Site, listen: int, target: tuple[str, int], delay: float) -> Iterator[None]:
    where = f"{target[0]}:{target[1]}"
    command = [sys.executable, pipe.__file__, "relay", str(listen), where, str(delay)]
    relay = site.host.ns.popen(command)
    try:
        until(lambda: bool(site.host.ns.run(["ss", "-Hltn", f"sport = :{listen}"]).stdout), 20)
        yield
    finally:
        relay.terminate()
        relay.wait()


@contextmanager
def _ssh(host: RemoteHost, target: tuple[str, int], cipher: str) -> Iterator[Way]:
    address = (BINDS[BASE], PORTS[0])
    forward = f"{address[0]}:{address[1]}:{target[0]}:{target[1]}"
    command = ["ssh", "-F", str(host.config), "-i", str(host.key), "-p", str(host.port)]
    command += ["-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "BatchMode=yes"]
    command += ["-c", cipher, "-N", "-L", forward, f"root@{host.ip}"]
    ssh = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield Way(BASE, address, (ssh.pid,))
    finally:
        ssh.terminate()
        ssh.wait()


@contextmanager
def _mooring(site: Site, host: RemoteHost, transport: str) -> Iterator[Way]:
    bind = BINDS[transport]
    with site.mooring(transport, "--bind", bind, host=host) as whole:
        for port in (PORTS[0], PORTS[-1]):
            _wait_for((bind, port))
        yield Way(transport, (bind, PORTS[0]), _family(whole))


def _family(whole: Whole) -> tuple[int, ...]:
    """The program's process and its children: the openssh transport has an ssh of its own."""
    assert whole.process
    own = whole.process.pid
    found = [own]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == own:
            found.append(int(stat.parent.name))
    return tuple(found)


# --- what is measured


def _from(ways: list[Way], turn: int) -> list[Way]:
    """All ways, another one first each turn: none always runs in the wake of the same other."""
    first = turn % len(ways)
    return ways[first:] + ways[:first]


def _measure_bulk(
    load: str, ways: list[Way], delay: int, size: int, rounds: int, verdict: Verdict
) -> None:
    move = pipe.download if load == "down" else pipe.upload
    speeds: dict[str, list[float]] = {way.name: [] for way in ways}
    cpu: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(rounds):
        for way in _from(ways, turn):
            before = way.cpu()
            speeds[way.name].append(size / MIB / move(way.address, size))
            cpu[way.name].append((way.cpu() - before) / size * GIB)
    print(f"\n{load}, {delay} ms, {size // MIB} MiB, {rounds} rounds; MiB/s, CPU s per GiB")
    print(f"{'':10}{'median':>8}{'least':>8}{'most':>8}{'x ssh -L':>10}{'CPU':>7}")
    base = median(speeds[BASE])
    for way in ways:
        got = speeds[way.name]
        ratio = median(got) / base
        goal = GOALS.get((load, delay > 0, way.name))
        mark = ""
        if goal is not None:
            what = f"{load}, {delay} ms: {way.name} {ratio:.2f} x ssh -L, not {goal:g}"
            mark = f"  goal {goal:g}{verdict.hold(what, ratio >= goal)}"
        used = f"{median(cpu[way.name]):7.2f}" if way.pids else f"{'-':>7}"
        print(
            f"{way.name:10}{median(got):8.0f}{min(got):8.0f}{max(got):8.0f}{ratio:10.2f}"
            f"{used}{mark}",
            flush=True,
        )


def _measure_small(ways: list[Way], delay: int, requests: int, rounds: int) -> None:
    totals: dict[str, list[float]] = {way.name: [] for way in ways}
    each: dict[str, list[float]] = {way.name: [] for way in ways}
    for turn in range(rounds):
        for way in _from(ways, turn):
            took = pipe.request_at_once(way.address, requests)
            totals[way.name].append(took.total)
            each[way.name] += took.each
    print(f"\nsmall, {delay} ms, {requests} at once, {rounds} rounds; ms")
    print(f"{'':10}{'all':>8}{'least':>8}{'most':>8}{'x ssh -L':>10}{'p50':>7}{'p99':>7}")
    base = median(totals[BASE])
    for way in ways:
        got = [seconds * 1000 for seconds in totals[way.name]]
        one = [seconds * 1000 for seconds in each[way.name]]
        print(
            f"{way.name:10}{median(got):8.0f}{min(got):8.0f}{max(got):8.0f}"
            f"{base / median(totals[way.name]):10.2f}"
            f"{quantile(one, 0.5):7.0f}{quantile(one, 0.99):7.0f}",
            flush=True,
        )


def _measure_memory(way: Way, seconds: int, verdict: Verdict) -> None:
    print(f"\nmemory, {way.name}; MiB")
    addresses = [(way.address[0], port) for port in PORTS]
    for address in addresses:
        _wait_for(address)
    resident = way.memory("VmRSS")
    mark = verdict.hold(f"{way.name}: {resident / MIB:.0f} MiB resident", resident < RESIDENT)
    print(f"{resident / MIB:8.1f}  resident with 100 forwards, each used once{mark}")
    faults: dict[str, Callable[[ExitStack], object]] = {
        "a client that does not read": lambda stack: stack.enter_context(pipe.unread(way.address)),
        "a container that does not read": lambda stack: stack.enter_context(
            pipe.untaken(way.address, seconds)
        ),
        "a client that stops reading after 256 MiB": lambda stack: stack.enter_context(
            pipe.unread(way.address, READ_FIRST)
        ),
        HUNDRED: lambda stack: [stack.enter_context(pipe.unread(address)) for address in addresses],
    }
    for fault, begin in faults.items():
        way.forget_peak()
        with ExitStack() as stack:
            begin(stack)
            time.sleep(seconds)
            peak = way.memory("VmHWM")
        what = f"{way.name}: {peak / MIB:.0f} MiB with {fault}"
        # Each costs a first window: no goal, since that is what one costs, a hundred times.
        mark = "" if fault == HUNDRED else verdict.hold(what, peak < PEAK)
        print(f"{peak / MIB:8.1f}  peak in {seconds} s with {fault}{mark}", flush=True)
