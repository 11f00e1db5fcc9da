"""How much is asked at once and how long: one ``Limits`` for a whole scan, shared by its probes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from mooring.model.net import IpAddress


class Limits:
    """Turns to ask, for all hosts together and for each, and the seconds that things may take.

    A host has its seconds altogether too, summed over its ports: one that opens every port and
    never answers costs no more.
    """

    def __init__(
        self,
        *,
        at_once: int = 64,
        per_host: int = 6,
        connect_s: float = 3.0,
        greeting_s: float = 0.3,
        answer_s: float = 0.75,
        port_s: float = 8.0,
        host_s: float = 120.0,
        ask_printers: bool = False,
    ) -> None:
        self.connect_s = connect_s
        self.greeting_s = greeting_s
        """Waited for a greeting where none is usual, beside the round trips."""
        self.answer_s = answer_s
        """Waited for the first byte of an answer, likewise; thrice that where it is usual."""
        self.port_s = port_s
        self.host_s = host_s
        self.ask_printers = ask_printers
        """Whether printers' raw ports are asked too; a printer prints the question."""
        self._per_host = per_host
        self._all = asyncio.Semaphore(at_once)
        self._hosts: dict[IpAddress, asyncio.Semaphore] = {}
        self._spent: dict[IpAddress, float] = {}

    @contextlib.asynccontextmanager
    async def turn(self, ip: IpAddress) -> AsyncIterator[float]:
        """A turn to ask one port of a host: the seconds that it may take, 0 when none are left."""
        host = self._hosts.setdefault(ip, asyncio.Semaphore(self._per_host))
        # The host first: who waits for a slow one holds none of the turns of all.
        async with host, self._all:
            left = max(0.0, self.host_s - self._spent.get(ip, 0.0))
            began = time.monotonic()
            try:
                yield min(self.port_s, left)
            finally:
                self._spent[ip] = self._spent.get(ip, 0.0) + time.monotonic() - began
