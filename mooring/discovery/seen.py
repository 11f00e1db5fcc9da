"""Pure. What was seen of a port, a container or a host, before anybody says what it is.

Probes make these values, ``identify`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mooring.model.service import Means, Protocol

BOUNDS: dict[Means, int] = {
    Means.BANNER: 4096,
    Means.HTTP_STATUS: 3,
    Means.HTTP_TITLE: 256,
    Means.HTTP_HEADER: 1024,
    Means.HTTP_BODY: 64 * 1024,
    Means.FAVICON: 64,
    Means.TLS: 1024,
    Means.SSH: 256,
    Means.MDNS: 1024,
    Means.MAC_VENDOR: 256,
    Means.IMAGE: 512,
    Means.LABEL: 1024,
}
"""Characters of each that are kept and looked at; the rest is cut off."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One text that was seen. Bytes that are no text are one character each (Latin-1)."""

    means: Means
    text: str
    of: str = ""
    """The header's or label's name in lower case, or the question that a banner answers."""
    path: str = "/"
    """What was asked for over HTTP; a redirect's page counts as the path that led to it."""
    lower: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = self.text[: BOUNDS[self.means]]
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "lower", text.lower())


@dataclass(frozen=True, slots=True)
class Seen:
    """All that one port showed."""

    protocol: Protocol
    number: int
    sights: tuple[Sight, ...] = ()
    tls: bool = False
    asked: bool = False
    """It was asked to the end: there is nothing more that it would show."""


def readable(text: str, most: int = 200) -> str:
    """A text for a person: one line, what cannot be printed as dots, cut with an ellipsis."""
    cut = text[: most * 2]
    line = " ".join("".join(c if c.isprintable() or c.isspace() else "·" for c in cut).split())
    return line if len(line) <= most and len(cut) == len(text) else line[: most - 1] + "…"
