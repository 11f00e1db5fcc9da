"""Runs where the kernel is: times the driver's calls, and programs that do the same. Prints JSON.

    guest.py standin REPETITIONS N…      joins, where the kernel has no CAN
    guest.py join REPETITIONS MOST N…    joins, and programs that do the same
    guest.py wiring REPETITIONS MOST N…  whole buses, and programs that do the same

Of more than MOST rules by programs these are run, and the rest reckoned.

It needs nothing but Mooring's own modules; all that it makes is taken away.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

from mooring.can import bus, rtcan, wiring
from mooring.can.driver import Driver
from mooring.can.journal import Journal
from mooring.can.kernel import Kernel, Kinds
from mooring.can.options import GENERIC
from mooring.can.protocol import Call
from mooring.core import netlink, nlmsg
from mooring.core.lines import Lines
from mooring.model.can import (
    Endpoint,
    EndpointState,
    FoundRule,
    Link,
    Network,
    NetworkOptions,
    Rule,
)

DEVICE = "vcan88"
OPTIONS = {GENERIC: {"vxcan.dev": "vcan", "vxcan.id": "88"}}


class StandIn(Kernel):
    """veth and a bridge for links; rules are packed and read as the kernel's, and kept here."""

    kept: ClassVar[list[bytes]] = []

    def __init__(self) -> None:
        super().__init__(Kinds(bus="bridge", pair="veth"))

    def links(self) -> dict[int, Link]:
        if self._links is None:
            own = {index: replace(one, can=True) for index, one in super().links().items()}
            self._links = own
        return self._links

    def rules(self) -> list[FoundRule]:
        return rtcan.rules(self.kept)

    def change_rules(self, remove: Sequence[Rule], add: Sequence[Rule]) -> None:
        requests = [rtcan.add_rule(one) for one in add]
        b"".join(nlmsg.message(one.kind, one.flags, 1, one.body) for one in requests)
        StandIn.kept += [one.body for one in requests]
        gone = {rtcan.delete_rule(one).body for one in remove}
        StandIn.kept = [one for one in StandIn.kept if one not in gone]


class Bus:
    """A driver on a folder of its own, and one network."""

    def __init__(self, kernel: Callable[[], Kernel]) -> None:
        self.kernel = kernel
        self.folder = Path(tempfile.mkdtemp())
        self.network = _id("network")
        self.start()

    def start(self) -> None:
        """As a process that starts."""
        journal = Journal(self.folder, "this boot")
        journal.read()
        self.driver = Driver(journal, self.kernel, Lines("error", stream=io.StringIO()))

    def call(self, verb: str, endpoint: str = "") -> float:
        """Milliseconds that it takes."""
        options = OPTIONS if verb == "CreateNetwork" else {}
        call = Call(verb, self.network, endpoint, "/nowhere/sandbox", options)
        began = time.perf_counter()
        self.driver.answer(call)
        return (time.perf_counter() - began) * 1000

    def wire(self, endpoints: Iterable[str]) -> float:
        """Milliseconds from nothing to a bus with all of them."""
        taken = self.call("CreateNetwork")
        for one in endpoints:
            taken += self.call("CreateEndpoint", one)
            taken += self.call("Join", one)
        return taken

    def end(self) -> None:
        self.call("DeleteNetwork")
        StandIn.kept = []
        shutil.rmtree(self.folder)


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _endpoints(count: int) -> list[str]:
    return [_id(f"endpoint {n}") for n in range(count)]


def join(
    kernel: Callable[[], Kernel], repetitions: int, counts: Sequence[int]
) -> list[dict[str, float]]:
    """The Nth Join, warm, and the Join that finds nothing of what it needs, by N."""
    rows = []
    for count in counts:
        *before, last = _endpoints(count)
        made = Bus(kernel)
        made.wire(before)
        warm = []
        for _ in range(repetitions):
            made.call("CreateEndpoint", last)
            warm.append(made.call("Join", last))
            made.call("Leave", last)
            made.call("DeleteEndpoint", last)
        compared = [_compared(made, last) for _ in range(repetitions)]
        made.end()
        cold = [_cold(kernel) for _ in range(repetitions)]
        rows.append(
            {
                "n": count,
                "warm_ms": statistics.median(warm),
                "warm_max_ms": max(warm),
                "compared_ms": statistics.median(compared),
                "cold_ms": statistics.median(cold),
                "cold_max_ms": max(cold),
            }
        )
    return rows


def _compared(made: Bus, last: str) -> float:
    """The first Join of a process, for which all rules of the bus are compared."""
    made.call("CreateEndpoint", last)
    made.start()
    taken = made.call("Join", last)
    made.call("Leave", last)
    made.call("DeleteEndpoint", last)
    return taken


def _cold(kernel: Callable[[], Kernel]) -> float:
    """Neither the interface of the bus nor the pair is there, and the endpoint is not known."""
    made = Bus(kernel)
    made.call("CreateNetwork")
    with kernel() as here:
        for link in here.links().values():
            if link.name == DEVICE:
                here.delete(link.index, link.name)
    made.start()
    taken = made.call("Join", _id("cold"))
    made.end()
    return taken


# --- the same by programs -------------------------------------------------------------------------


def links_by_programs(count: int) -> list[list[str]]:
    made = [["ip", "link", "add", DEVICE, "type", "vcan"], ["ip", "link", "set", DEVICE, "up"]]
    for n in range(count):
        made.append(["ip", "link", "add", f"vxp{n}", "type", "vxcan", "peer", "name", f"vyp{n}"])
        made.append(["ip", "link", "set", f"vxp{n}", "up"])
    return made


def rules_by_programs(count: int, last: bool = False) -> list[list[str]]:
    """All of a bus, or those of the last who joins."""
    names = {0: DEVICE, **{n + 1: f"vxp{n}" for n in range(count)}}
    parties = [wiring.Party(n + 1) for n in range(count)]
    rules = wiring.rules_of(0, parties, count) if last else wiring.rules(0, parties)
    return [
        ["cangw", "-A", "-s", names[one.source], "-d", names[one.target], "-l", "1",
         *(["-e"] if one.flags & wiring.ECHO else []), *(["-X"] if one.flags & wiring.FD else [])]
        for one in rules
    ]  # fmt: skip


def by_programs(commands: Sequence[list[str]], most: int) -> float:
    """Milliseconds; of more than ``most`` these are spread over all, and reckoned up."""
    step = max(1, -(-len(commands) // most))
    chosen = commands[::step]
    began = time.perf_counter()
    for command in chosen:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000 * len(commands) / len(chosen)


def wire_by_programs(count: int, most: int) -> float:
    try:
        taken = by_programs(links_by_programs(count), 1 << 30)
        return taken + by_programs(rules_by_programs(count), most)
    finally:
        clear(count)


def join_by_programs(count: int, most: int) -> float:
    try:
        links = links_by_programs(count)
        by_programs(links[:-2], 1 << 30)
        taken = by_programs(links[-2:], 1 << 30)
        return taken + by_programs(rules_by_programs(count, last=True), most)
    finally:
        clear(count)


def clear(count: int) -> None:
    for name in (DEVICE, *(f"vxp{n}" for n in range(count))):
        subprocess.run(["ip", "link", "del", name], check=True)


def wire_kernel(count: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Milliseconds of the driver for what the programs do: no journal, and no calls of Docker's."""
    network = Network(_id("network"), NetworkOptions(DEVICE, "can"), physical=False)
    joined = EndpointState.JOINED
    members = [(Endpoint(one, network.id, state=joined), network) for one in _endpoints(count)]
    log = Lines("error", stream=io.StringIO())
    began = clock()
    with Kernel() as kernel, ExitStack() as undo:
        device = bus.ready_device(kernel, network.options, False, undo, log).link
        for endpoint, _ in members:
            bus.ready_pair(kernel, endpoint.id, network.id, undo)
        bus.wire(kernel, device, members, undo)
        # What was made is taken back after it.
        return (clock() - began) * 1000


class Clocked(socket.socket):
    """Knows how long the kernel was at work: what netlink asks for is done while it is sent."""

    seconds = 0.0

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        began = time.perf_counter()
        try:
            return super().send(data, flags)
        finally:
            Clocked.seconds += time.perf_counter() - began


def kernels_share(count: int) -> float:
    """Milliseconds of it in the kernel: who asks for the same in any other way needs them too."""
    with patch.object(netlink.socket, "socket", Clocked):
        return wire_kernel(count, lambda: Clocked.seconds)


def wire_all(repetitions: int, most: int, counts: Sequence[int]) -> list[dict[str, float]]:
    rows = []
    for count in counts:
        own = []
        kernel = []
        share = []
        for _ in range(repetitions):
            kernel.append(wire_kernel(count))
            share.append(kernels_share(count))
            one = Bus(Kernel)
            own.append(one.wire(_endpoints(count)))
            one.end()
        rules = 2 * count * (count + 1)
        rows.append(
            {
                "n": count,
                "rules": rules,
                "wiring_ms": statistics.median(kernel),
                "kernel_ms": statistics.median(share),
                "calls_ms": statistics.median(own),
                "programs_ms": wire_by_programs(count, most),
                "run": min(rules, -(-rules // max(1, -(-rules // most)))),
            }
        )
    return rows


if __name__ == "__main__":
    what = sys.argv[1]
    given = [int(word) for word in sys.argv[2:]]
    if what == "standin":
        told = join(StandIn, given[0], given[1:])
    elif what == "join":
        told = join(Kernel, given[0], given[2:])
        for each in told:
            each["programs_ms"] = join_by_programs(int(each["n"]), given[1])
    else:
        told = wire_all(given[0], given[1], given[2:])
    print(json.dumps(told))
