"""What the parts of one server process share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

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
    logins: MovingWindowRateLimiter = field(
        default_factory=lambda: MovingWindowRateLimiter(MemoryStorage())
    )
    login_limit: RateLimitItemPerMinute = field(default_factory=lambda: RateLimitItemPerMinute(10))
    """Tries to log in from an address, or as somebody."""
    wrong_limit: RateLimitItemPerHour = field(default_factory=lambda: RateLimitItemPerHour(30))
    """Wrong passwords for a name, after which no password is taken for it."""
    broken: dict[str, Broken] = field(default_factory=dict)
    """By agent: the last of its polls here whose connection broke, until somebody has looked."""
    started_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.clock()

    def tell(self, events: Iterable[Event]) -> None:
        """Publish what happened; call it after the commit and never before."""
        self.bus.publish(events)
