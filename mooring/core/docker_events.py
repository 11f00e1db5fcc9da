"""A container engine's stream of events: a hint that something changed; the list is the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

import h11

MAX_LINE = 1024 * 1024
"""An event with all its container's labels fits many times over; of a longer one only that it came
is told."""

_NOTHING_TO_PORTS = frozenset(
    {
        "archive-path",
        "attach",
        "checkpoint",
        "cleanup",
        "commit",
        "copy",
        "detach",
        "exec",
        "exec_create",
        "exec_detach",
        "exec_die",
        "exec_died",
        "exec_start",
        "export",
        "extract-to-dir",
        "health_status",
        "resize",
        "sync",
        "top",
    }
)


class Reader(Protocol):
    async def read(self, n: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


class StreamEnded(Exception):
    """The stream is over; ``clean`` when the engine ended it by itself."""

    def __init__(self, why: str, *, clean: bool = False) -> None:
        super().__init__(why)
        self.clean = clean


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """``at`` is in nanoseconds by the engine's clock, which may differ from ours."""

    kind: str
    action: str
    id: str
    at: int


def request(version: str, since: int | None) -> str:
    """The path that asks for the events of containers and networks, from ``since`` (ns) on.

    Containers can publish anew when they are connected to a network, so those count too.
    """
    filters = quote(json.dumps({"type": ["container", "network"]}))
    start = f"&since={since // 10**9}.{since % 10**9:09d}" if since else ""
    return f"/v{version}/events?filters={filters}{start}"


def may_change_ports(event: EngineEvent) -> bool:
    """Whether it is worth listing again: health checks alone make several events a second."""
    return event.action not in _NOTHING_TO_PORTS


def parse(line: bytes) -> EngineEvent | None:
    """One line of the stream; None for one that is no event or makes no sense.

    ``status``, ``id`` and ``from`` are gone since API 1.52: Type, Action and Actor stay.
    """
    try:
        event = json.loads(line)
        kind, action, actor = event["Type"], event["Action"], event["Actor"]["ID"]
        at = event.get("timeNano") or int(event.get("time", 0)) * 10**9
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not all(isinstance(part, str) for part in (kind, action, actor)) or not isinstance(at, int):
        return None
    return EngineEvent(kind, action.partition(":")[0], actor, at)


async def events(
    reader: Reader, writer: Writer, path: str, answered: Callable[[], None]
) -> AsyncIterator[EngineEvent]:
    """The events, as they come, until ``StreamEnded`` is raised.

    ``answered`` is called when the engine's headers have come. Some Podman send them only with
    the first event, so their absence means nothing.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    headers = [("Host", "localhost"), ("Accept", "application/json")]
    ask = http.send(h11.Request(method="GET", target=path, headers=headers))
    writer.write((ask or b"") + (http.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    lines = _Lines()
    while True:
        try:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                http.receive_data(data)
                # What is there already does not suspend: let others have their turn.
                await asyncio.sleep(0)
                continue
        except h11.RemoteProtocolError as error:
            # A daemon that is restarted ends the stream without its final chunk.
            raise StreamEnded(f"the stream broke off: {error}") from error
        except OSError as error:
            raise StreamEnded(f"the stream broke off: {error}") from error
        if isinstance(event, h11.Response):
            if event.status_code != 200:
                raise StreamEnded(f"the engine answered HTTP {event.status_code}")
            answered()
        elif isinstance(event, h11.Data):
            for line in lines.feed(event.data):
                parsed = parse(line)
                if parsed:
                    yield parsed
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            raise StreamEnded("the engine ended it", clean=True)


class _Lines:
    """Whole lines out of pieces. Of a line beyond the bound an event without a name is made."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, piece: bytes) -> list[bytes]:
        head, *others = piece.split(b"\n")
        found = []
        self._put(head)
        for other in others:
            found.append(_TOO_LONG if self._skipping else bytes(self._rest))
            self._rest.clear()
            self._skipping = False
            self._put(other)
        return found

    def _put(self, data: bytes) -> None:
        if self._skipping or len(self._rest) + len(data) > MAX_LINE:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += data


_TOO_LONG = b'{"Type":"","Action":"too long","Actor":{"ID":""}}'
