"""Pure. The nouns of the catalogue: an entry, its matches, all entries together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from mooring.discovery.catalogue.pattern import Pattern
from mooring.discovery.seen import Sight
from mooring.model.service import Means

CATEGORIES = (
    "access",  # SSH, RDP, VNC: a way into a machine
    "ai",
    "automation",  # homes and workflows
    "backup",
    "camera",
    "chat",
    "container",  # engines, registries and what manages them
    "dashboard",
    "database",
    "development",
    "directory",  # LDAP, Kerberos, who is who
    "documents",
    "download",
    "files",  # what shares them: SMB, NFS, FTP, WebDAV
    "game",
    "industrial",
    "iot",
    "mail",
    "media",
    "messaging",  # queues and brokers
    "monitoring",
    "network",  # routers, DNS, DHCP, VPN
    "printing",
    "proxy",
    "search",
    "security",
    "storage",
    "system",
    "virtualization",
    "voice",
    "web",
)

PRINTERS = range(9100, 9108)
"""A printer prints whatever is sent to these ports: they are asked nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Match:
    """One thing that speaks for a service."""

    means: Means
    pattern: Pattern
    confidence: float
    of: str = ""
    """The header's or label's name, the question; empty: any."""
    path: str = "/"
    ports: frozenset[int] = frozenset()
    """Only on these; empty: on any."""
    group: str = ""

    def fits(self, sight: Sight) -> bool:
        """Whether a text of its means is one to look at, whatever it says."""
        return (not self.of or self.of == sight.of) and self.path == sight.path


@dataclass(frozen=True, slots=True)
class Entry:
    """A service and what it is known by."""

    name: str
    title: str
    category: str
    matches: tuple[Match, ...]
    ports: tuple[int, ...] = ()
    udp_ports: tuple[int, ...] = ()
    generic: bool = False
    instead_of: tuple[str, ...] = ()
    source: str = ""
    """Where it is written: ``web.toml:12``."""


class Catalogue:
    """All entries, the later one of two with the same name. Never changes."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: Mapping[str, Entry] = MappingProxyType({e.name: e for e in entries})

    @cached_property
    def light_ports(self) -> tuple[int, ...]:
        """The TCP ports of a light scan: where services usually are, that of most services
        first."""
        counts = Counter(port for entry in self.entries.values() for port in entry.ports)
        return tuple(sorted(counts, key=lambda port: (-counts[port], port)))

    @property
    def knows_favicons(self) -> bool:
        return Means.FAVICON in self.looking_at

    @cached_property
    def looking_at(self) -> Mapping[Means, Sequence[tuple[Entry, Match]]]:
        """The matches by what they look at, with whose they are."""
        found: dict[Means, list[tuple[Entry, Match]]] = {}
        for entry in self.entries.values():
            for match in entry.matches:
                found.setdefault(match.means, []).append((entry, match))
        return found

    def usually_on(self, port: int, *, udp: bool = False) -> tuple[Entry, ...]:
        """The entries that name this port as usual."""
        return self._by_port[udp].get(port, ())

    @cached_property
    def _by_port(self) -> dict[bool, dict[int, tuple[Entry, ...]]]:
        found: dict[bool, dict[int, tuple[Entry, ...]]] = {False: {}, True: {}}
        for entry in self.entries.values():
            for udp, ports in ((False, entry.ports), (True, entry.udp_ports)):
                for port in ports:
                    found[udp][port] = (*found[udp].get(port, ()), entry)
        return found
