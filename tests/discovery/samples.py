"""What services show, recorded or published: the files of tests/data/services, read and written.

A sample is one service: its ports with all that was seen of each, as ``mooring.discovery.seen`` has
it. ``source`` says whether a program was run and asked (``recorded``: ``program`` is what) or its
answer is known from what its makers publish (``published``: ``rests_on`` is where).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.discovery.catalogue import Entry
from mooring.discovery.seen import Seen, Sight
from mooring.model.service import Means, Protocol

FOLDER = Path(__file__).resolve().parents[1] / "data" / "services"
MOST_BODY = 2048
_AROUND = 300


@dataclass(frozen=True, slots=True)
class Sample:
    service: str
    source: str
    ports: tuple[Seen, ...]
    program: str = ""
    rests_on: str = ""
    name: str = ""
    """The file's name without .json."""

    def text(self) -> str:
        said: dict[str, Any] = {"service": self.service, "source": self.source}
        said |= {"program": self.program} if self.program else {}
        said |= {"rests_on": self.rests_on} if self.rests_on else {}
        said["ports"] = [_port(seen) for seen in self.ports]
        return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def samples() -> list[Sample]:
    return [read(path) for path in sorted(FOLDER.glob("*.json"))]


def read(path: Path) -> Sample:
    said = json.loads(path.read_text())
    ports = tuple(
        Seen(
            Protocol(port.get("protocol", "tcp")),
            port["number"],
            tuple(_sight(sight) for sight in port["sights"]),
            tls=port.get("tls", False),
        )
        for port in said["ports"]
    )
    return Sample(
        service=said["service"],
        source=said["source"],
        ports=ports,
        program=said.get("program", ""),
        rests_on=said.get("rests_on", ""),
        name=path.stem,
    )


def excerpt(sample: Sample, entry: Entry) -> Sample:
    """The sample with long bodies cut to their beginning and what the entry knows them by."""
    ports = tuple(
        Seen(s.protocol, s.number, tuple(_cut(x, entry) for x in s.sights), tls=s.tls)
        for s in sample.ports
    )
    return Sample(sample.service, sample.source, ports, sample.program, sample.rests_on)


def _cut(sight: Sight, entry: Entry) -> Sight:
    text = sight.text
    if sight.means is not Means.HTTP_BODY or len(text) <= MOST_BODY:
        return sight
    kept = text[: MOST_BODY // 2]
    for match in entry.matches:
        found = match.pattern.search(sight) if match.fits(sight) else None
        room = MOST_BODY - len(kept)
        if found and found.end() > len(kept) and found.end() - found.start() < room:
            begin = max(MOST_BODY // 2, found.start() - _AROUND // 2)
            kept += "\n[…]\n" + text[begin : found.end() + _AROUND // 2]
    return Sight(sight.means, kept[:MOST_BODY], of=sight.of, path=sight.path)


def _sight(said: dict[str, str]) -> Sight:
    return Sight(
        Means(said["means"]), said["text"], of=said.get("of", ""), path=said.get("path", "/")
    )


def _port(seen: Seen) -> dict[str, Any]:
    said: dict[str, Any] = {"protocol": seen.protocol.value} if seen.protocol != "tcp" else {}
    said["number"] = seen.number
    said |= {"tls": True} if seen.tls else {}
    said["sights"] = [
        {"means": x.means.value}
        | ({"of": x.of} if x.of else {})
        | ({"path": x.path} if x.path != "/" else {})
        | {"text": x.text}
        for x in seen.sights
    ]
    return said
