"""Counts the SYNs that reach a host, with the kernel's own time of each."""

from __future__ import annotations

import socket
import struct
import threading

from tests.lab.netns import Namespace

_SO_TIMESTAMPNS = 35
_SYN_ONLY = [(0x28, 0, 0, 12), (0x15, 0, 5, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 3, 6),
             (0x30, 0, 0, 47), (0x15, 0, 1, 2), (6, 0, 0, 64), (6, 0, 0, 0)]  # fmt: skip


class Counter:
    """Listens on a host's eth0 until ``end``."""

    def __init__(self, ns: Namespace) -> None:
        from mooring.discovery.scan.wires import prepare

        def opened() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            prepare(made, _SYN_ONLY)
            made.setblocking(True)
            made.settimeout(0.1)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            made.bind(("eth0", 0x0800))
            return made

        self._socket = ns.call(opened)
        self._ending = threading.Event()
        self.times: list[float] = []
        self._thread = threading.Thread(target=self._listen, name="counting")
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                _, extra, _, _ = self._socket.recvmsg(64, 64)
            except TimeoutError:
                if self._ending.is_set():
                    return
                continue
            seconds, nanos = struct.unpack("qq", extra[0][2])
            self.times.append(seconds + nanos / 1e9)

    def end(self) -> list[float]:
        """Stop; when each came, in order."""
        self._ending.set()
        self._thread.join()
        self._socket.close()
        self.times.sort()
        return self.times

    def most(self, window: float) -> int:
        """The largest number that came within so many seconds."""
        most = first = 0
        for last, at in enumerate(self.times):
            while at - self.times[first] >= window:
                first += 1
            most = max(most, last - first + 1)
        return most
