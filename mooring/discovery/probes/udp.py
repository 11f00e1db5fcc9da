"""Asks a host the questions that are asked over UDP: an address in, the ports that answered out.

Each is one datagram to its own port, sent again once; whoever stays silent is not listed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from mooring.discovery import identify
from mooring.discovery.catalogue import Catalogue
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.questions import UDP_QUESTIONS, Question
from mooring.discovery.seen import Seen, Sight
from mooring.model.net import IpAddress
from mooring.model.service import Means, OpenPort, Protocol

_ANYWHERE = {4: "0.0.0.0", 6: "::"}


async def ask_udp(ip: IpAddress, catalogue: Catalogue, limits: Limits) -> tuple[OpenPort, ...]:
    """The UDP ports of a host that answer, with what they are. Takes a second or two."""
    return tuple(identify.identify(s, catalogue) for s in await hear_udp(ip, limits))


async def hear_udp(ip: IpAddress, limits: Limits) -> tuple[Seen, ...]:
    """What each UDP port that answers said, to all questions that it was asked."""
    async with limits.turn(ip) as seconds:
        if not seconds:
            return ()
        async with asyncio.TaskGroup() as group:
            asking = [
                (port, group.create_task(_hear(ip, port, question, limits.answer_s)))
                for question in UDP_QUESTIONS
                for port in question.ports
            ]
    heard: dict[int, list[Sight]] = {}
    for port, task in asking:
        if (sight := task.result()) is not None:
            heard.setdefault(port, []).append(sight)
    return tuple(Seen(Protocol.UDP, port, tuple(sights)) for port, sights in heard.items())


async def _hear(ip: IpAddress, port: int, question: Question, answer_s: float) -> Sight | None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()
    there = (str(ip), port)
    # An answer's sender comes without the zone of a link-local address.
    bare = str(ip).partition("%")[0]
    # One that is connected hears at once that nobody listens, and of no other port.
    own = {"local_addr": (_ANYWHERE[ip.version], 0)}
    place: dict[str, Any] = own if question.from_any_port else {"remote_addr": there}
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Ear(question, bare, heard), **place
        )
    except OSError:
        return None
    try:
        for _ in range(2):
            transport.sendto(question.send, there if question.from_any_port else None)
            with contextlib.suppress(TimeoutError):
                said = await asyncio.wait_for(asyncio.shield(heard), answer_s)
                return Sight(Means.BANNER, said.decode("latin-1"), of=question.name)
    except OSError:
        return None
    finally:
        transport.close()
        heard.cancel()
    return None


class _Ear(asyncio.DatagramProtocol):
    """Hears the one answer."""

    def __init__(self, question: Question, ip: str, heard: asyncio.Future[bytes]) -> None:
        self._question = question
        self._ip = ip
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if addr[0] == self._ip and not self._heard.done() and self._question.answered(data):
            self._heard.set_result(data)

    def error_received(self, error: Exception) -> None:
        # Nobody listens: the host says so itself.
        if not self._heard.done():
            self._heard.set_exception(error)
