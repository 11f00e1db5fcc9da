"""Looks whether a host whose link was lost can be reached again; says so, and never logs in.

Log-ins are tried ever more seldom, and the kernel repeats what got lost ever later, so a network
that returns would be noticed late. A look is a packet as long as nobody answers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from mooring.core.errors import MooringError
from mooring.core.tasks import Tasks
from mooring.forward import life as lives
from mooring.forward.transport import Peer, Silent

log = structlog.get_logger(__name__)

Dial: TypeAlias = Callable[[Peer], Awaitable[bool]]

_ANSWER_WITHIN = 2.0


async def dial(peer: Peer) -> bool:
    """Whether a connection can be made; it is closed at once."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            _, writer = await asyncio.open_connection(*peer)
    except OSError:
        return False
    writer.transport.abort()
    return True


class Reach:
    """Of one host. ``clock`` counts seconds."""

    def __init__(self, dial: Dial = dial, clock: Callable[[], float] = time.monotonic) -> None:
        self.back = asyncio.Event()
        """Set when the host is reached and was not before: a log-in is worth a try at once.

        A host that was there all the time tells nothing: what failed has another reason, and is
        tried again in its own time.
        """
        self._dial = dial
        self._clock = clock
        self._peer: Peer | None = None
        self._since: float | None = None
        self._missed = False
        self._away = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def peer(self) -> Peer | None:
        """Where the last link led; None before the first."""
        return self._peer

    def linked(self, peer: Peer | None) -> None:
        """There is a link, and this is where it leads."""
        self._peer = peer
        self._since = None
        self._missed = False
        self.rest()

    def lost(self, error: MooringError) -> None:
        """The link was lost, or the try to make one failed."""
        if self._since is None:
            self._since = self._clock()
        self._missed = self._missed or isinstance(error, Silent)
        if self._peer is not None:
            self._settled.clear()
            self._away.set()

    def rest(self) -> None:
        """There is nothing to look for."""
        self.back.clear()
        self._away.clear()
        self._settled.set()

    async def give_up(self, patience: asyncio.Timeout) -> None:
        """End a try that hangs as soon as the host is back."""
        await self.back.wait()
        patience.reschedule(asyncio.get_running_loop().time())

    async def turn(self) -> None:
        """Look until the host is reached, or there is nothing to look for any more."""
        await self._away.wait()
        async with Tasks("reach") as tasks:
            tasks.start("looks", self._look_for_ever(tasks))
            await self._settled.wait()

    async def _look_for_ever(self, tasks: Tasks) -> None:
        # A log-in that succeeds at once is spared the first.
        await asyncio.sleep(lives.LOOK_AFTER)
        for number in itertools.count():
            tasks.start("look", self._look(number))
            since = self._since or self._clock()
            await asyncio.sleep(lives.look_every(self._clock() - since))

    async def _look(self, number: int) -> None:
        assert self._peer is not None
        if not await self._dial(self._peer):
            self._missed = True
            return
        # One that is answered before those that began earlier tells of a change too.
        changed = self._missed or number > 0
        self._missed = False
        self.rest()
        if changed:
            log.info("host_reached", peer=self._peer[0], port=self._peer[1])
            self.back.set()
