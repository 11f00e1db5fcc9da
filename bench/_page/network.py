"""A network that a scan discovers step by step: hosts first, then ports, services, and changes.

Pure but for the recorded samples that are read once. Each step is one block's whole snapshot, as an
agent's reports are.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mooring.model.scan import Depth, Scan, ScannedHost
from mooring.model.service import OpenPort
from tests.e2e import scanned

RUNS = ("openssh", "nginx", "redis", "mosquitto", "mariadb", "prometheus", "cups", "samba")
MAKERS = ("b8:27:eb", "00:11:32", "ac:1f:6b", "24:a4:3c", "00:1b:a9", "3c:22:fb")
IN_A_BLOCK = 250


class Network:
    """So many hosts in blocks of 256 addresses, found and changed in steps of so many changes."""

    def __init__(self, hosts: int, seed: int = 1) -> None:
        self.size = hosts
        self._chance = random.Random(seed)
        self._blocks: list[dict[int, ScannedHost]] = [{} for _ in range(-(-hosts // IN_A_BLOCK))]
        self._ports = [scanned.ports(name)[0] for name in RUNS]

    @property
    def blocks(self) -> int:
        return len(self._blocks)

    def found(self) -> int:
        return sum(len(block) for block in self._blocks)

    def discover(self, at: int, changes: int) -> tuple[int, Scan]:
        """More hosts of a block, as many as there are changes; how many they were."""
        block = self._blocks[at]
        last = IN_A_BLOCK if at < self.blocks - 1 else self.size - IN_A_BLOCK * (self.blocks - 1)
        more = range(len(block) + 1, min(last, len(block) + changes) + 1)
        for octet in more:
            block[octet] = self._host(at, octet)
        return len(more), self._scan(at)

    def change(self, at: int, changes: int) -> tuple[int, Scan]:
        """Some hosts of a block with one more open port, or a port with another service."""
        block = self._blocks[at]
        chosen = self._chance.sample(sorted(block), min(changes, len(block)))
        for octet in chosen:
            block[octet] = self._changed(block[octet])
        return len(chosen), self._scan(at)

    def whole(self) -> Iterator[Scan]:
        """Every block with all its hosts, each with three ports."""
        for at in range(self.blocks):
            self.discover(at, IN_A_BLOCK)
            block = self._blocks[at]
            for octet, host in block.items():
                block[octet] = _looked_at(host, self._chance.sample(self._ports, 3))
            yield self._scan(at)

    def _host(self, at: int, octet: int) -> ScannedHost:
        number = at * 256 + octet
        maker = MAKERS[number % len(MAKERS)]
        mac = f"{maker}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        device = scanned.Device(octet, mac, f"host-{number:05}.example.org")
        return scanned.seen(self._cidr(at), device, Depth.NONE)

    def _changed(self, host: ScannedHost) -> ScannedHost:
        have = {p.number: p for p in host.ports}
        new = self._chance.choice(self._ports)
        if new.number in have:
            turned = f"{have[new.number].says[:60]} {self._chance.randrange(10**6)}"
            new = replace(new, says=turned)
        return _looked_at(host, [p for p in host.ports if p.number != new.number] + [new])

    def _cidr(self, at: int) -> str:
        return str(ipaddress.ip_network((int(ipaddress.ip_address("10.64.0.0")) + at * 256, 24)))

    def _scan(self, at: int) -> Scan:
        return scanned.scan(self._cidr(at), self._blocks[at].values())


def _looked_at(host: ScannedHost, ports: Iterable[OpenPort]) -> ScannedHost:
    ordered = tuple(sorted(ports, key=lambda p: p.number))
    return replace(host, depth=Depth.LIGHT, ports=ordered)
