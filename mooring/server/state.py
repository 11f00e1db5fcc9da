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


@dataclass
class State:
    """One server process. ``clock`` gives seconds since the epoch."""

    database: Database
    settings: Settings
    bus: Bus = field(default_factory=Bus)
    passwords: Passwords = field(default_factory=Passwords)
    clock: Callable[[], float] = time.time
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the one-time link holds; it makes the owner's account while there is no user."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """By agent: the last of its polls here whose connection broke, until somebody has looked."""
    started_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    def tell(self, events: Iterable[Event]) -> None:
        """Publish what happened; call it after the commit and never before."""
        self.bus.publish(events)
