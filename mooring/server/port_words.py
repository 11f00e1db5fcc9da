"""Pure. Which port the words of a search mean, and the words beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PORT = re.compile(
    r"(?:(?P<at>\[[^]/]+]|[^:/]*):)?(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?"
)


@dataclass(frozen=True, slots=True)
class WantedPort:
    number: int
    protocol: str | None
    beside: str | None
    """The words that are to be found of it too; None if there is no other."""


def wanted_port(q: str) -> WantedPort | None:
    """The port that is meant by words like `8080`, `443/tcp`, `nas:22` or `redis 6379`.

    None when no word says a port, or more than one does: no port has two numbers.
    """
    said: re.Match[str] | None = None
    beside: list[str] = []
    for word in q.lower().split():
        match = _PORT.fullmatch(word)
        if match is None or not 1 <= int(match["number"]) <= 65535:
            beside.append(word)
            continue
        if said is not None:
            return None
        said = match
        if at := (match["at"] or "").strip("[]"):
            beside.append(at)
    if said is None:
        return None
    return WantedPort(int(said["number"]), said["protocol"], " ".join(beside) or None)
