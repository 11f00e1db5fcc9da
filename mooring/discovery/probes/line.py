"""One connection to a port, plain or TLS: bytes in and out under deadlines, bounded in size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator
from functools import cache

from mooring.core.errors import why_os
from mooring.model.net import IpAddress

MOST = 4096
"""Bytes of a greeting or an answer that are read."""
_CHUNK = 16 * 1024
_QUIET_S = 0.05


class NoLine(Exception):
    """No connection came about; says why."""


class NoTls(NoLine):
    """The other side took the connection and not the TLS handshake."""

    def __init__(self, why: str, *, speaks: bool) -> None:
        super().__init__(why)
        self.speaks = speaks
        """It answered in TLS: it only would not talk with us."""


class Line:
    """An open connection. What was read once and not used can be put back."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, round_trip_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._back = b""
        self.round_trip_s = round_trip_s
        self.ended = False
        """The other side has hung up."""

    async def say(self, data: bytes) -> None:
        """Send; that the other side has gone shows when it is heard."""
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def read(self) -> bytes:
        """The next bytes; empty at the end, also when the other side broke off."""
        if self._back:
            data, self._back = self._back, b""
            return data
        try:
            data = await self._reader.read(_CHUNK)
        except (OSError, ssl.SSLError):
            data = b""
        self.ended = not data
        return data

    def put_back(self, data: bytes) -> None:
        self._back = data + self._back

    async def hear(self, first_s: float) -> bytes:
        """What is said until it pauses, at most ``MOST`` bytes; empty when nothing comes in time.

        One that drips a byte at a time is cut off after twice the time.
        """
        said = b""
        end = time.monotonic() + 2 * first_s
        wait = first_s
        with contextlib.suppress(TimeoutError):
            while len(said) < MOST and (left := end - time.monotonic()) > 0:
                async with asyncio.timeout(min(wait, left)):
                    data = await self.read()
                if not data:
                    break
                said += data
                wait = _QUIET_S + 2 * self.round_trip_s
        return said[:MOST]

    @property
    def certificate(self) -> bytes:
        """The other side's, DER; empty without TLS."""
        tls: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return (tls.getpeercert(binary_form=True) or b"") if tls else b""

    def close(self) -> None:
        # A TLS connection would wait for the other side's farewell.
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def line(
    ip: IpAddress, port: int, connect_s: float, tls_s: float | None = None
) -> AsyncIterator[Line]:
    """A connection for as long as the block lasts. Raises ``NoLine`` or ``NoTls``.

    ``tls_s``: the seconds that a TLS handshake may take; None for a plain connection.
    """
    opened = await _open(ip, port, connect_s, tls_s)
    try:
        yield opened
    finally:
        opened.close()


async def _open(ip: IpAddress, port: int, connect_s: float, tls_s: float | None) -> Line:
    began = time.monotonic()
    try:
        async with asyncio.timeout(connect_s):
            reader, writer = await asyncio.open_connection(str(ip), port, limit=_CHUNK)
    except TimeoutError:
        raise NoLine("it does not answer") from None
    except OSError as error:
        # asyncio puts words of its own in the place of the system's.
        raise NoLine(os.strerror(error.errno).lower() if error.errno else str(error)) from None
    round_trip_s = time.monotonic() - began
    if tls_s is None:
        return Line(reader, writer, round_trip_s)
    try:
        async with asyncio.timeout(tls_s + 4 * round_trip_s):
            await writer.start_tls(_context(), server_hostname=str(ip).partition("%")[0])
    except TimeoutError:
        writer.transport.abort()
        raise NoTls("no TLS: it does not answer", speaks=False) from None
    except ssl.SSLError as error:
        writer.transport.abort()
        reason = error.reason or ""
        speaks = "ALERT" in reason or "UNSUPPORTED_PROTOCOL" in reason
        raise NoTls(reason.lower().replace("_", " "), speaks=speaks) from None
    except (OSError, ValueError) as error:
        writer.transport.abort()
        why = why_os(error) if isinstance(error, OSError) else str(error)
        raise NoTls(f"no TLS: {why}", speaks=False) from None
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    return Line(reader, writer, round_trip_s)


@cache
def _context() -> ssl.SSLContext:
    """Talks with everybody and trusts nobody: certificates are looked at, never believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context
