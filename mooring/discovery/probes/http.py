"""GET over an open line: a path in, a page out, or the bytes of what does not speak HTTP.

Bounds everything: the head (32 KiB), the body (256 KiB), and the caller's deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import h11

from mooring import __version__
from mooring.discovery.probes.line import MOST, Line
from mooring.discovery.probes.page import MAX_BODY, Page, carelessly_parsed, unpacked
from mooring.model.net import IpAddress

MAX_HEAD = 32 * 1024


class Browser:
    """The requests over one line; ``ended`` when no further one can be made."""

    def __init__(self, over: Line, ip: IpAddress, port: int) -> None:
        self._line = over
        self._host = (f"[{ip}]" if ip.version == 6 else str(ip)).partition("%")[0] + f":{port}"
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self.ended = False

    async def get(self, path: str, first_s: float, all_s: float) -> Page | bytes:
        """The page at ``path``, cut off after ``all_s`` seconds; bytes when it is no HTTP."""
        end = time.monotonic() + all_s
        await self._line.say(self._request(path))
        said = await self._begin(min(first_s, all_s))
        if not said.startswith(b"HTTP/"):
            self.ended = True
            return said
        self._line.put_back(said)
        return await self._page(end)

    def _request(self, path: str) -> bytes:
        headers = [
            ("Host", self._host),
            ("User-Agent", f"Mooring/{__version__}"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        ]
        sent = self._h11.send(h11.Request(method="GET", target=path, headers=headers))
        return (sent or b"") + (self._h11.send(h11.EndOfMessage()) or b"")

    async def _begin(self, first_s: float) -> bytes:
        """Enough of the answer to tell HTTP from others; all that others say."""
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(first_s):
                while len(said) < 5 and (data := await self._line.read()):
                    said += data
        if said and not said.startswith(b"HTTP/"):
            said += await self._line.hear(0.2 + self._line.round_trip_s)
        return said

    async def _page(self, end: float) -> Page | bytes:
        heard, body = b"", b""
        head: h11.Response | None = None
        broken = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(end - time.monotonic()):
                while len(body) < MAX_BODY:
                    try:
                        event = self._h11.next_event()
                    except h11.RemoteProtocolError:
                        broken = True
                        break
                    if event is h11.NEED_DATA:
                        data = await self._line.read()
                        heard += data if head is None else b""
                        self._h11.receive_data(data)
                    elif isinstance(event, h11.Response):
                        head = event
                    elif isinstance(event, h11.Data):
                        body += event.data
                    elif not isinstance(event, h11.InformationalResponse):
                        break
        self._again(broken=broken)
        if head is None:
            return carelessly_parsed(heard) or heard[:MOST]
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
        )
        packing = next((value for name, value in headers if name == "content-encoding"), "")
        return Page(head.status_code, headers, unpacked(body[:MAX_BODY], packing))

    def _again(self, *, broken: bool) -> None:
        """Make ready for the next request, or know that there can be none."""
        try:
            self._h11.start_next_cycle()
        except h11.ProtocolError:
            broken = True
        self.ended = broken
