"""Asks open ports what they are, as they are found: hosts and ports in, what answers there out.

Every host gets its turn, and none has many asked at once. A port that can't be asked costs no
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from mooring.discovery.scan_turns import Turns
from mooring.model.net import IpAddress
from mooring.model.service import OpenPort

log = structlog.get_logger(__name__)

AT_ONCE = 128
"""Ports that are asked what they are at the same time."""
AT_ONCE_OF_ONE = 6
"""Of them those of one host."""
UDP = 0
"""In the place of a port: all UDP ports of a host, which are asked in one go."""


class Tools(Protocol):
    """What ports are asked with."""

    @property
    def ask(self) -> Callable[[IpAddress, int], Awaitable[OpenPort]]:
        """What answers on a TCP port."""
        ...

    @property
    def ask_udp(self) -> Callable[[IpAddress], Awaitable[Sequence[OpenPort]]]:
        """The UDP ports of a host that answer, and what is there."""
        ...


class Asking:
    """Ports that are asked by tasks of a group. ``add`` hosts, and at the end ``wait``.

    ``answered`` hears of a host's ports, ``failed`` in words of one that could not be asked, and
    ``advanced`` after each how many are done.
    """

    def __init__(
        self,
        tools: Tools,
        group: asyncio.TaskGroup,
        *,
        answered: Callable[[IpAddress, Sequence[OpenPort]], None],
        failed: Callable[[str], None],
        advanced: Callable[[int], None],
    ) -> None:
        self._tools = tools
        self._group = group
        self._answered = answered
        self._failed = failed
        self._advanced = advanced
        self._turns = Turns(AT_ONCE, AT_ONCE_OF_ONE)
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def total(self) -> int:
        return self._turns.total

    @property
    def done(self) -> int:
        return self._turns.done

    def add(self, ip: IpAddress, ports: Iterable[int]) -> None:
        """A host whose open TCP ports are known. Its UDP ports are asked as well."""
        self._turns.add(ip, (UDP, *ports))
        self._idle.clear()
        self._more()

    async def wait(self) -> None:
        """Until all that was added is asked."""
        await self._idle.wait()

    def _more(self) -> None:
        while (turn := self._turns.take()) is not None:
            self._group.create_task(self._ask(*turn), name="scan.ask")
        if self._turns.done == self._turns.total:
            self._idle.set()

    async def _ask(self, ip: IpAddress, number: int) -> None:
        try:
            if number == UDP:
                self._answered(ip, await self._tools.ask_udp(ip))
            else:
                self._answered(ip, [await self._tools.ask(ip, number)])
        except Exception as error:
            log.error("port_not_asked", ip=str(ip), port=number, exc_info=error)
            which = f"Port {number}" if number else "The UDP ports"
            self._failed(f"{which} of {ip} could not be asked what is there: {error!r}")
        self._turns.finish(ip)
        self._more()
        self._advanced(self._turns.done)
