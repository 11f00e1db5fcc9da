"""UDP over a link that carries streams: datagrams in frames, to a small program at the far end.

A frame is two bytes of length, four of the client's number, and the datagram. The far end keeps
one socket per client, so that answers find their way back.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog

from mooring.core.tasks import Tasks
from mooring.forward.transport import Gate, Lost, Reader, Refused, Stream, Tally, Writer
from mooring.model.forward import Target

log = structlog.get_logger(__name__)

MAX_CLIENTS = 1024
"""Clients of one port that are known at once; beyond it the one silent for longest is forgotten."""
QUEUE = 256
"""Datagrams that wait for the link; beyond it they are dropped, as UDP's are."""
HEAD = struct.Struct("!HI")
HELLO = b"mooring-udp\n"
START = 5.0
"""Seconds in which the far end must say that it runs."""

# Runs on the remote host under any Python 3, with nothing but its standard library.
_FAR = """
import os,select,socket,struct,sys
host,port=sys.argv[1],int(sys.argv[2]);family=socket.AF_INET6 if ":" in host else socket.AF_INET
out={};back={};buf=b"";os.write(1,b"mooring-udp\\n")
while 1:
    ready,_,_=select.select([0]+list(back),[],[])
    for r in ready:
        if r==0:
            data=os.read(0,65536)
            if not data: sys.exit()
            buf+=data
            while len(buf)>=6:
                n,who=struct.unpack("!HI",buf[:6])
                if len(buf)<6+n: break
                if who not in out:
                    if len(out)>=1024:
                        old=next(iter(out));s=out.pop(old);del back[s];s.close()
                    s=socket.socket(family,socket.SOCK_DGRAM);s.connect((host,port));out[who]=s;back[s]=who
                try: out[who].send(buf[6:6+n])
                except OSError: pass
                buf=buf[6+n:]
        elif r in back:
            try: d=r.recv(65535)
            except OSError: continue
            f=struct.pack("!HI",len(d),back[r])+d
            while f: f=f[os.write(1,f):]
"""


def far_command(target: Target) -> str:
    """The remote command that relays frames on its standard streams to ``target``."""
    code = base64.b64encode(_FAR.encode()).decode()
    start = f"import base64;exec(base64.b64decode('{code}'))"
    return f'exec python3 -u -c "{start}" {target.host} {target.port}'


@dataclass(slots=True)
class Relay:
    """One UDP port: a bound socket here, the program there."""

    socket: socket.socket
    target: Target
    gate: Gate
    tally: Tally
    _clients: OrderedDict[tuple[str, int], int] = field(default_factory=OrderedDict)
    _by_number: dict[int, tuple[str, int]] = field(default_factory=dict)
    _next: int = 1
    _queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    _retargeted: asyncio.Event = field(default_factory=asyncio.Event)

    def lead_to(self, target: Target) -> None:
        """Relay to another target from now on."""
        self.target = target
        self._retargeted.set()

    async def run(self) -> None:
        """Relay until cancelled, over each link anew."""
        async with Tasks("udp") as tasks:
            tasks.start("receive", self._receive())
            after = 0
            while True:
                link, after = await self.gate.next(after)
                try:
                    await self._over(await link.open_process(far_command(self.target)))
                except Refused as error:
                    self.tally.detail = f"UDP needs python3 on the remote host: {error.why}"
                except Lost as error:
                    log.debug("udp_relay_lost", why=error.why)
                else:
                    # Only the target is another: the same link will do.
                    after -= 1

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, address = await loop.sock_recvfrom(self.socket, 65535)
            except OSError:
                # An ICMP error of some client's: concerns nobody else.
                continue
            number = self._number(address[:2])
            if not self._queue.full():
                self._queue.put_nowait(HEAD.pack(len(data), number) + data)

    def _number(self, client: tuple[str, int]) -> int:
        number = self._clients.get(client)
        if number is None:
            number = self._next
            self._next = (self._next + 1) & 0xFFFFFFFF
            self._clients[client] = number
            self._by_number[number] = client
            self.tally.connections += 1
            if len(self._clients) > MAX_CLIENTS:
                _, old = self._clients.popitem(last=False)
                del self._by_number[old]
        self._clients.move_to_end(client)
        return number

    async def _over(self, stream: Stream) -> None:
        """Relay over one stream until the target is another. Raises ``Lost`` when it ends."""
        reader, writer = stream
        self._retargeted.clear()
        try:
            async with asyncio.timeout(START):
                hello = await reader.read(64)
        except TimeoutError:
            hello = b""
        if not hello.startswith(HELLO):
            writer.close()
            raise Refused("starting the UDP relay", "python3 did not start there")
        self.tally.detail = ""
        try:
            async with Tasks("udp stream") as tasks:
                changed = tasks.start("retarget", self._retargeted.wait())
                up = tasks.start("up", self._up(writer))
                down = tasks.start("down", self._down(reader, hello[len(HELLO) :]))
                await asyncio.wait([changed, up, down], return_when=asyncio.FIRST_COMPLETED)
                if not changed.done():
                    raise Lost("relaying UDP", "the far end is gone")
        finally:
            writer.close()

    async def _up(self, writer: Writer) -> None:
        while True:
            frame = await self._queue.get()
            writer.write(frame)
            await writer.drain()
            self.tally.bytes_out = (self.tally.bytes_out or 0) + len(frame) - HEAD.size

    async def _down(self, reader: Reader, rest: bytes) -> None:
        buffer = bytearray(rest)
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            buffer += data
            while len(buffer) >= HEAD.size:
                size, number = HEAD.unpack_from(buffer)
                if len(buffer) < HEAD.size + size:
                    break
                datagram = bytes(buffer[HEAD.size : HEAD.size + size])
                del buffer[: HEAD.size + size]
                client = self._by_number.get(number)
                if client:
                    self.tally.bytes_in = (self.tally.bytes_in or 0) + size
                    await loop.sock_sendto(self.socket, datagram, client)
