"""Asks a link by ARP who is there. Needs CAP_NET_RAW, and no place in the machine's ARP table."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence

from mooring.discovery.scan import frames
from mooring.discovery.scan.plan import Link
from mooring.discovery.scan.sweeping import Reply
from mooring.discovery.scan.wires import MOST_AT_ONCE, packet_socket
from mooring.model.net import IpAddress

RATE = 4000.0
"""Broadcasts a second, which every machine of the link hears, at the most."""


class Arp:
    """ARP requests for addresses as an ``Asker``.

    ``tell`` hears of an address, of a MAC that says to have it, and the round trip in seconds:
    more than once where several say so.
    """

    first_wait = 0.2
    least_tries = 3
    """A radio that sleeps wakes up for one broadcast of a few."""
    last_wait = 1
    """An answer to any try counts until the last has been waited for: 0.4 s for the first, in
    which a radio that sleeps through three beacons has woken up."""

    def __init__(
        self,
        link: Link,
        addresses: Sequence[IpAddress],
        tell: Callable[[IpAddress, str, float], None],
    ) -> None:
        """Raises PermissionError without CAP_NET_RAW, OSError if the link is gone."""
        assert link.mac
        self._addresses = addresses
        self._tell = tell
        self._places = {ip.packed: place for place, ip in enumerate(addresses)}
        self._attempts = bytearray(len(addresses))
        self._sent = [0.0] * len(addresses)
        self._head = frames.arp_request(frames.packed_mac(link.mac), link.ip.packed)
        self._socket = packet_socket(link, frames.ETH_ARP, frames.arp_filter())

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, place: int, attempt: int) -> bool:
        try:
            self._socket.send(self._head + self._addresses[place].packed)
        except OSError as error:
            if error.errno in (errno.ENOBUFS, errno.EAGAIN):
                return False
            raise
        self._attempts[place] = attempt
        self._sent[place] = time.monotonic()
        return True

    def hear(self) -> Iterator[Reply]:
        for _ in range(MOST_AT_ONCE):
            try:
                answer = frames.arp_answer(self._socket.recv(64))
            except BlockingIOError:
                return
            place = self._places.get(answer[0]) if answer else None
            if answer is None or place is None or not self._attempts[place]:
                continue
            since = time.monotonic() - self._sent[place]
            self._tell(self._addresses[place], answer[1].hex(":"), since)
            yield Reply(place, self._attempts[place], since)

    def close(self) -> None:
        self._socket.close()
