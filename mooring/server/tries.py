"""Pure. How often somebody may try to come in: an address and a name in, what is counted out.

What is counted for a name is counted apart for each place from which its user has come in before:
who guesses from elsewhere can use up the tries of all strangers, and none of the user's own.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

KNOWN_SECONDS = 90 * 24 * 3600.0
"""How long a place is a user's own, after the last time that the user came in from there."""
MOST_KNOWN = 20
"""Places of a user; of more, those that were used last."""
_WAIT = "too many tries: wait a minute"


@dataclass(frozen=True, slots=True)
class Count:
    """So many tries in a time that begins with the first of them."""

    what: str
    """A hash: what people type for a name may be a password."""
    most: int
    seconds: float
    refusal: str
    """What is said when there were as many."""


def place(address: str) -> str:
    """An address, as far as whoever has it can't choose it: of IPv6 the network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def from_place(where: str) -> Count:
    return Count(_hash("place", where), 10, 60.0, _WAIT)


def for_login(login: str, own: str | None) -> tuple[Count, ...]:
    """``own`` is the place, where it is one of the user's own."""
    refusal = "too many wrong passwords for this name: wait an hour, or ask an admin for a new link"
    return _guesses(("login", login, own or ""), refusal)


def for_own_password(user_id: str) -> tuple[Count, ...]:
    """By somebody who is logged in: nobody else's tries stand in the way."""
    return _guesses(("own", user_id), "too many wrong passwords: wait an hour")


def _guesses(whose: tuple[str, ...], refusal: str) -> tuple[Count, ...]:
    return (
        Count(_hash("a minute's", *whose), 10, 60.0, _WAIT),
        Count(_hash("an hour's", *whose), 30, 3600.0, refusal),
    )


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
