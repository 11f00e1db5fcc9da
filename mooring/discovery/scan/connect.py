"""Asks ports by connecting, for who may not open raw sockets, and for this machine's own.

Never waits for a connection and never holds one: what is open is reset at once.
"""

from __future__ import annotations

import errno
import os
import resource
import selectors
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress

from mooring.discovery.scan.target import Target
from mooring.discovery.scan.wires import Heard

MOST_OPEN = 1000
"""Connections that may be under way at one time, where so many files may be open."""

_OF_ONE_HOST = 8
"""Those to one host are an eighth of it at the most: one that drops packets takes no other's."""

_KEPT = 0.1
"""Seconds beyond the wait of its host for which a connection may still succeed."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets, and no port of ours waits."""

_NO_ROOM = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRNOTAVAIL}
)
_REFUSED = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


class _Try:
    __slots__ = ("attempt", "ip", "port", "sent", "socket", "until")

    def __init__(
        self, made: socket.socket, ip: bytes, port: int, attempt: int, sent: float, until: float
    ) -> None:
        self.socket = made
        self.ip = ip
        self.port = port
        self.attempt = attempt
        self.sent = sent
        self.until = until


class ConnectWire:
    """Connections as a ``Wire``."""

    def __init__(self) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(_OF_ONE_HOST, min(MOST_OPEN, files // 2))
        self._of_host: Counter[bytes] = Counter()
        self._selector = selectors.DefaultSelector()
        self._tries: deque[_Try] = deque()
        self._under_way = 0
        self._heard: list[Heard] = []
        self.no_room = 0
        """How often the kernel had no place in its tables for one more."""

    def fileno(self) -> int:
        # An epoll, like a kqueue, is itself readable when something in it is.
        fileno = getattr(self._selector, "fileno", None)
        return int(fileno()) if fileno else -1

    def ask(self, target: Target, ports: Sequence[int], attempt: int) -> int:
        family = socket.AF_INET if target.ip.version == 4 else socket.AF_INET6
        where, packed = str(target.ip), target.ip.packed
        for count, port in enumerate(ports):
            full = self._of_host[packed] >= self._most // _OF_ONE_HOST
            if full or self._under_way >= self._most:
                return count
            try:
                made = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                self.no_room += 1
                return count
            made.setblocking(False)
            with suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sent = time.monotonic()
            said = made.connect_ex((where, port))
            if said == errno.EINPROGRESS:
                until = sent + target.wait * attempt + _KEPT
                one = _Try(made, packed, port, attempt, sent, until)
                self._selector.register(made, selectors.EVENT_WRITE, one)
                self._tries.append(one)
                self._under_way += 1
                self._of_host[packed] += 1
                continue
            made.close()
            if said in _NO_ROOM:
                self.no_room += 1
                return count
            if said == 0 or said in _REFUSED:
                trip = time.monotonic() - sent
                self._heard.append(Heard(packed, port, said == 0, attempt, trip))
            else:
                target.fault = OSError(said, os.strerror(said))
        return len(ports)

    def hear(self) -> list[Heard]:
        found, self._heard = self._heard, []
        for key, _ in self._selector.select(0):
            one: _Try = key.data
            said = one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if said == 0 or said in _REFUSED:
                trip = time.monotonic() - one.sent
                found.append(Heard(one.ip, one.port, said == 0, one.attempt, trip))
            self._end(one)
        return found

    def forget(self, now: float) -> None:
        while self._tries and (self._tries[0].socket.fileno() < 0 or self._tries[0].until <= now):
            self._end(self._tries.popleft())

    def leave(self, target: Target) -> None:
        if not self._of_host[target.ip.packed]:
            del self._of_host[target.ip.packed]

    def close(self) -> None:
        for one in self._tries:
            self._end(one)
        self._selector.close()

    def _end(self, one: _Try) -> None:
        if one.socket.fileno() >= 0:
            self._selector.unregister(one.socket)
            one.socket.close()
            self._under_way -= 1
            self._of_host[one.ip] -= 1
