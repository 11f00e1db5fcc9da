"""Asks addresses by ICMP echo, of IPv4 and IPv6, and a link's all nodes. Of one thread.

By a raw socket where that is allowed, else by the kernel's own for pings (icmp(7)).
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from mooring.discovery.scan import frames
from mooring.discovery.scan.plan import Link
from mooring.discovery.scan.sweeping import LOOK, Reply
from mooring.discovery.scan.timing import FIRST_WAIT
from mooring.discovery.scan.wires import MOST_AT_ONCE
from mooring.model.net import IpAddress

RATE = 2000.0
"""Echoes a second, at the most: routers answer for what is not there, and count what they do."""

ALL_NODES = "ff02::1"
_ALL_NODES_TRIES = 3
_ALL_NODES_WAIT = 0.25
"""Seconds: hosts may wait before they answer what all hear (RFC 4443 asks for no more)."""

_ICMP6_FILTER = 1


class Echo:
    """A socket for echoes. Raises PermissionError where neither kind is allowed."""

    def __init__(self, version: int) -> None:
        self.version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        self.raw = True
        try:
            self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        except PermissionError:
            self.raw = False
            self.socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
        self.socket.setblocking(False)
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if self.raw and version == 6:
            # All types are blocked but the echo reply (RFC 3542).
            blocked = bytearray(b"\xff" * 32)
            struct.pack_into("=I", blocked, 129 // 32 * 4, 0xFFFFFFFF & ~(1 << 129 % 32))
            self.socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        self.identity = secrets.randbelow(1 << 16)
        self.fault: OSError | None = None
        """Why something could not be sent: no route, a firewall of our own."""

    def ask(self, where: tuple[str, int] | tuple[str, int, int, int], attempt: int) -> bool:
        """Send one; False if there is no room for it now. What ``fault`` is of counts as sent."""
        tick = frames.ticks(time.monotonic())
        packet = frames.echo_request(self.version, self.identity, attempt, tick)
        try:
            self.socket.sendto(packet, where)
        except BlockingIOError:
            return False
        except OSError as error:
            # As good as no answer, and it is asked again; for lack of a buffer nobody is unheard.
            if error.errno != errno.ENOBUFS:
                self.fault = error
        return True

    def hear(self) -> list[tuple[str, int, float]]:
        """Who answered: address, which try, seconds."""
        found: list[tuple[str, int, float]] = []
        for _ in range(MOST_AT_ONCE):
            try:
                packet, sender = self.socket.recvfrom(256)
            except BlockingIOError:
                break
            except OSError:
                continue
            if self.raw and self.version == 4 and packet:
                packet = packet[(packet[0] & 0x0F) * 4 :]
            answer = frames.echo_answer(packet, self.version)
            # The kernel's socket for pings has an identity of its own, and sorts by it.
            if answer and (not self.raw or answer[0] == self.identity):
                since = frames.since(answer[2], time.monotonic())
                found.append((sender[0].partition("%")[0], answer[1], since))
        return found

    def close(self) -> None:
        self.socket.close()


class Echoes:
    """Echoes to addresses, all of one version, as an ``Asker``.

    ``tell`` hears of an address and the round trip in seconds.
    """

    first_wait = FIRST_WAIT
    least_tries = 2
    last_wait = 2
    """Behind routers one host is much farther than another."""

    def __init__(
        self, addresses: Sequence[IpAddress], tell: Callable[[IpAddress, float], None]
    ) -> None:
        """Raises PermissionError where neither raw sockets nor pings are allowed."""
        self._echo = Echo(addresses[0].version)
        self._addresses = addresses
        self._tell = tell
        self._names = [str(ip) for ip in addresses]
        self._places = {name: place for place, name in enumerate(self._names)}

    @property
    def fault(self) -> OSError | None:
        """Why some could not be asked; None if all were."""
        return self._echo.fault

    def fileno(self) -> int:
        return self._echo.socket.fileno()

    def ask(self, place: int, attempt: int) -> bool:
        return self._echo.ask((self._names[place], 0), attempt)

    def hear(self) -> Iterator[Reply]:
        for sender, attempt, since in self._echo.hear():
            place = self._places.get(sender)
            if place is not None:
                self._tell(self._addresses[place], since)
                yield Reply(place, attempt, since)

    def close(self) -> None:
        self._echo.close()


def all_nodes(link: Link, ending: threading.Event, most: int) -> dict[str, float]:
    """Who of a link's IPv6 answers when all are asked: address and round trip in seconds.

    Asked from our address in the network, they answer with theirs in it.

    Raises:
        PermissionError: neither raw sockets nor pings are allowed.
    """
    echo = Echo(6)
    poll = select.poll()
    poll.register(echo.socket, select.POLLIN)
    found: dict[str, float] = {}
    try:
        with suppress(OSError):
            echo.socket.bind((str(link.ip), 0, 0, 0))
        echo.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.index)
        for attempt in range(1, _ALL_NODES_TRIES + 1):
            echo.ask((ALL_NODES, 0, 0, link.index), attempt)
            until = time.monotonic() + _ALL_NODES_WAIT
            while (left := until - time.monotonic()) > 0 and not ending.is_set():
                poll.poll(max(1.0, min(left, LOOK) * 1000))
                for sender, _, since in echo.hear():
                    if len(found) < most:
                        found.setdefault(sender, since)
    finally:
        echo.close()
    return found
