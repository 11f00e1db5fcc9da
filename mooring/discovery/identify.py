"""Pure. What was seen in, the services it is, out: each with its evidence and a confidence.

Asks nothing: ``probes`` sees, the catalogue knows. A port alone never names a service.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mooring.discovery.catalogue import Catalogue, Entry, Match
from mooring.discovery.catalogue.entry import PRINTERS
from mooring.discovery.seen import Seen, Sight, readable
from mooring.model.service import Evidence, Means, OpenPort, Protocol, Service

NAMED = 0.5
"""From this confidence on a service is named."""
SUREST = 0.99
USUAL_PORT = 0.1
"""What it adds to other evidence that the port is a usual one."""
MOST_PATHS = 4
"""Paths beside / that one port is asked for."""

LEFT_ALONE = "not asked: a printer prints what it is sent here (--ask-printers asks)"
"""What is said of a printer's raw port that was found open and no more."""

_SAYS = (Means.HTTP_TITLE, Means.SSH, Means.BANNER, Means.HTTP_HEADER, Means.HTTP_STATUS, Means.TLS)

_Hits = dict[Match, tuple[str, str]]
"""Matches that are right: what of the text to show, and the version in it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one entry of the catalogue makes of what was seen."""

    entry: Entry
    service: Service
    """With all evidence found, whether it is enough or not."""
    lacking: tuple[Match, ...]
    """The rest of groups of which a part was seen."""
    instead: str = ""
    """The name of the service that is listed in its place."""

    @property
    def named(self) -> bool:
        return self.service.confidence >= NAMED and not self.instead


def verdicts(seen: Seen, catalogue: Catalogue) -> tuple[Verdict, ...]:
    """Every entry that something speaks for, those that are named first."""
    return _weighed(seen.sights, catalogue, seen)


def identify(seen: Seen, catalogue: Catalogue) -> OpenPort:
    """A port that was asked: its services, the most telling first."""
    found = verdicts(seen, catalogue)
    services = tuple(v.service for v in found if v.named)
    return OpenPort(
        protocol=seen.protocol,
        number=seen.number,
        services=services,
        tls=seen.tls,
        says=says(seen) or _likely(seen, found, catalogue),
        asked=seen.asked,
    )


def identify_container(
    image: str, labels: Mapping[str, str], catalogue: Catalogue
) -> tuple[Service, ...]:
    """What runs in a container, by its image's name and its labels."""
    sights = [Sight(Means.IMAGE, image_name(image))]
    sights += [Sight(Means.LABEL, value, of=key.lower()) for key, value in labels.items()]
    return tuple(v.service for v in _weighed(sights, catalogue) if v.named)


def identify_host(vendor: str, mdns: Sequence[str], catalogue: Catalogue) -> tuple[Service, ...]:
    """What a host is known for beside its ports: by its MAC's vendor and what it announces.

    ``mdns`` has a text for each instance: ``_ipp._tcp Name of it key=value key=value``.
    """
    sights = [Sight(Means.MDNS, text) for text in mdns]
    sights += [Sight(Means.MAC_VENDOR, vendor)] if vendor else []
    return tuple(v.service for v in _weighed(sights, catalogue) if v.named)


def paths_to_ask(seen: Seen, catalogue: Catalogue) -> tuple[str, ...]:
    """The paths beside / worth asking a port for that speaks HTTP.

    First those of entries that something seen already speaks for, then those that the port is
    usual for; none when a service that is not generic is known well without.
    """
    found = verdicts(seen, catalogue)
    if any(v.named and not v.entry.generic and v.service.confidence >= 0.9 for v in found):
        return ()
    entries = [v.entry for v in found if not v.entry.generic]
    entries += catalogue.usually_on(seen.number)
    paths = (m.path for entry in entries for m in entry.matches if m.path != "/")
    return tuple(dict.fromkeys(paths))[:MOST_PATHS]


def says(seen: Seen) -> str:
    """What a port showed of itself, in a line for a person; "" for a silent one."""
    for means in _SAYS:
        for sight in seen.sights:
            if sight.means is means and sight.path == "/" and sight.text:
                if means is Means.HTTP_HEADER and sight.of != "server":
                    continue
                return readable(f"HTTP {sight.text}" if means is Means.HTTP_STATUS else sight.text)
    return ""


def image_name(image: str) -> str:
    """An image's name without registry, tag and digest: ``ghcr.io/a/b:1@sha256:…`` is ``a/b``."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    # As Docker tells a registry from a name: by a dot or a port in the first part, or "localhost".
    if slash and ("." in first or ":" in first or first == "localhost"):
        name = rest
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    return name.removeprefix("library/")


def _weighed(
    sights: Iterable[Sight], catalogue: Catalogue, seen: Seen | None = None
) -> tuple[Verdict, ...]:
    hits = _hits(sights, catalogue, seen.number if seen else 0)
    found = [_weigh(catalogue.entries[name], hit, seen) for name, hit in hits.items()]
    found = [v for v in found if v.service.evidence or v.lacking]
    instead = {
        less: v.entry.name
        for v in found
        if v.service.confidence >= NAMED
        for less in v.entry.instead_of
    }
    judged = [replace(v, instead=instead.get(v.entry.name, "")) for v in found]
    return tuple(sorted(judged, key=_rank))


def _hits(sights: Iterable[Sight], catalogue: Catalogue, port: int) -> dict[str, _Hits]:
    """By an entry's name: which of its matches are right."""
    texts: dict[Means, list[Sight]] = {}
    for sight in sights:
        texts.setdefault(sight.means, []).append(sight)
    found: dict[str, _Hits] = {}
    for means, seen in texts.items():
        for entry, match in catalogue.looking_at.get(means, ()):
            if (hit := _hit(match, seen, port)) is not None:
                found.setdefault(entry.name, {})[match] = hit
    return found


def _rank(verdict: Verdict) -> tuple[bool, bool, float, str]:
    """What a proxy shows before the proxy, then the surest."""
    service = verdict.service
    return (not verdict.named, verdict.entry.generic, -service.confidence, service.name)


def _weigh(entry: Entry, hits: _Hits, seen: Seen | None) -> Verdict:
    missed = {match.group for match in entry.matches if match.group and match not in hits}
    counted = [(m, *hits[m]) for m in entry.matches if m in hits and m.group not in missed]
    partly = {match.group for match in hits if match.group in missed}
    lacking = tuple(m for m in entry.matches if m.group in partly and m not in hits)
    evidence = [Evidence(match.means, shown, match.confidence) for match, shown, _ in counted]
    if evidence and seen is not None and seen.number in _usual(entry, seen.protocol):
        evidence.append(Evidence(Means.PORT, f"{seen.number} is usual for it", USUAL_PORT))
    versions = [(match.confidence, version) for match, _, version in counted if version]
    return Verdict(
        entry,
        Service(
            name=entry.name,
            title=entry.title,
            category=entry.category,
            version=max(versions, key=lambda v: v[0])[1] if versions else "",
            confidence=_together(e.confidence for e in evidence),
            evidence=tuple(evidence),
        ),
        lacking,
    )


def _hit(match: Match, sights: Iterable[Sight], port: int) -> tuple[str, str] | None:
    """The first text that a match is right about: what of it to show, and the version in it."""
    if match.ports and port not in match.ports:
        return None
    for sight in sights:
        if match.fits(sight) and (found := match.pattern.search(sight)) is not None:
            version = found.groupdict().get("version") or ""
            return _shown(sight, found.start(), found.end()), readable(version, 40)
    return None


def _shown(sight: Sight, start: int, end: int) -> str:
    """The text, or of a long one the part that was matched."""
    text = sight.text if len(sight.text) <= 120 else sight.text[max(0, start - 20) : end + 20]
    where = "" if sight.path == "/" else f"{sight.path} "
    what = f"{sight.of}: " if sight.of else ""
    return readable(f"{where}{what}{text}")


def _usual(entry: Entry, protocol: Protocol) -> tuple[int, ...]:
    return entry.ports if protocol is Protocol.TCP else entry.udp_ports


def _together(confidences: Iterable[float]) -> float:
    return round(min(SUREST, 1 - math.prod(1 - c for c in confidences)), 3)


def _likely(seen: Seen, found: Sequence[Verdict], catalogue: Catalogue) -> str:
    """What it may be, for a port that nothing more can be said of."""
    entries = [v.entry for v in found if not v.instead]
    entries += catalogue.usually_on(seen.number, udp=seen.protocol is Protocol.UDP)
    titles = tuple(dict.fromkeys(entry.title for entry in entries))[:3]
    told = [f"likely {' or '.join(titles)}"] if titles else []
    if seen.protocol is Protocol.TCP and seen.number in PRINTERS and not seen.asked:
        told.insert(0, LEFT_ALONE)
    return "; ".join(told)
