"""What the parts of one server process share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mooring.core.bus import Bus
from mooring.model.event import Event
from mooring.server.auth import Passwords
from mooring.server.db.engine import Database
from mooring.server.presence import Broken
from mooring.server.settings import Settings

_JUMP = 5.0
"""Seconds that a clock gains or loses on a steady one between two looks, if it was set."""


@dataclass
class State:
    """One server process. ``clock`` gives seconds since the epoch, ``steady`` seconds that nobody
    sets, and in which a machine that sleeps does not count."""

    database: Database
    settings: Settings
    bus: Bus = field(default_factory=Bus)
    passwords: Passwords = field(default_factory=Passwords)
    clock: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the one-time link holds; it makes the owner's account while there is no user."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """By agent: the last of its polls here whose connection broke, until somebody has looked."""
    listening_since: float = field(init=False)
    """Since when whoever speaks is heard: the start, the last jump of the clock, or the last time
    that the database could not be read."""
    _ahead: float = field(init=False)
    """How far the clock is ahead of the steady one."""

    def __post_init__(self) -> None:
        self.listening_since = self.clock()
        self._ahead = self.listening_since - self.steady()

    def notice_jump(self) -> None:
        """See whether the machine slept or its clock was set since this was last called; to be
        called every few seconds."""
        now = self.clock()
        ahead = now - self.steady()
        if abs(ahead - self._ahead) > _JUMP:
            self.listening_since = now
        self._ahead = ahead

    def tell(self, events: Iterable[Event]) -> None:
        """Publish what happened; call it after the commit and never before."""
        self.bus.publish(events)
