"""UDP over a link that carries streams: datagrams in frames, to a small program at the far end.

A frame is a byte for its kind, four of the client's number, two of length, and the body. One
program serves all ports of a host, for each would count against sshd's MaxSessions. It keeps one
socket per client, so that answers find their way back.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
import socket
import struct
from collections import OrderedDict, deque
from dataclasses import dataclass

import structlog

from mooring.core.backoff import Backoff
from mooring.core.tasks import Tasks
from mooring.forward.transport import Gate, Lost, Reader, Refused, Stream, Tally, Transport, Writer
from mooring.model.forward import Target

log = structlog.get_logger(__name__)

MAX_CLIENTS = 900
"""Clients that are known at once, below a process's usual 1,024 descriptors and what select()
takes; beyond it the one silent for longest is forgotten."""
QUEUE = 1024
"""Datagrams that wait for the link; beyond it they are dropped, as UDP's are."""
HEAD = struct.Struct("!BIH")
DATAGRAM, GOES_TO, FORGET = 0, 1, 2
"""Kinds of frames; the body of GOES_TO is ``host port``."""
HELLO = b"mooring-udp\n"
START = 5.0
"""Seconds in which the far end must say that it runs."""
STEADY = 30.0
BACKOFF = Backoff(first=0.25, cap=30.0)

# Runs on the remote host under any Python 3, with nothing but its standard library.
_FAR = """
import os,select,socket,struct,sys
to={};out={};back={};buf=b""
def forget(who):
    s=out.pop(who,None)
    if s: del back[s];s.close()
def send(who,data):
    s=out.get(who)
    if not s:
        s=socket.socket(socket.AF_INET6 if ":" in to[who][0] else socket.AF_INET,socket.SOCK_DGRAM)
        s.setblocking(False);out[who]=s;back[s]=who;s.connect(to[who])
    try: s.send(data)
    except ConnectionError: s.send(data)
os.write(1,b"mooring-udp\\n")
while 1:
    for r in select.select([0]+list(back),[],[])[0]:
        if r==0:
            got=os.read(0,65536)
            if not got: sys.exit()
            buf+=got
            while len(buf)>=7:
                kind,who,n=struct.unpack("!BIH",buf[:7])
                if len(buf)<7+n: break
                body=buf[7:7+n];buf=buf[7+n:]
                try:
                    if kind: forget(who);to.pop(who,0)
                    if kind==1:
                        host,port=body.decode().split();to[who]=host,int(port)
                    if kind==0 and who in to: send(who,body)
                except OSError: pass
        elif r in back:
            try: d=r.recv(65535)
            except OSError: continue
            f=struct.pack("!BIH",0,back[r],len(d))+d
            while f: f=f[os.write(1,f):]
"""


def far_command() -> str:
    """The remote command that relays frames on its standard streams.

    Apart from whatever the user's Python has been told to load: it needs none of it.
    """
    code = base64.b64encode(_FAR.encode()).decode()
    return f"exec python3 -ISu -c \"import base64;exec(base64.b64decode('{code}'))\""


@dataclass(eq=False, slots=True)
class Port:
    """One UDP port: a bound, non-blocking socket here, and where its datagrams go there."""

    socket: socket.socket
    target: Target
    tally: Tally


class Relay:
    """All UDP ports of one remote host, over each of its links anew."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._ports: set[Port] = set()
        self._clients: OrderedDict[tuple[Port, tuple[str, int]], int] = OrderedDict()
        self._by_number: dict[int, tuple[Port, tuple[str, int]]] = {}
        self._numbers = itertools.count(1)
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUE)
        self._forgotten: deque[int] = deque(maxlen=2 * QUEUE)

    async def run(self) -> None:
        """Relay until cancelled."""
        after = 0
        while True:
            link, after = await self._gate.next(after)
            await self._on(link)

    async def serve(self, port: Port) -> None:
        """Take datagrams that come to a port, until cancelled."""
        loop = asyncio.get_running_loop()
        self._ports.add(port)
        try:
            while True:
                try:
                    data, address = await loop.sock_recvfrom(port.socket, 65535)
                except OSError:
                    # An ICMP error of some client's: concerns nobody else.
                    await asyncio.sleep(0.05)
                    continue
                number = self._number(port, (address[0], address[1]))
                if not self._queue.full():
                    self._queue.put_nowait((number, data))
        finally:
            self._ports.discard(port)
            for number, (its, _) in list(self._by_number.items()):
                if its is port:
                    self._forget(number)

    def _number(self, port: Port, address: tuple[str, int]) -> int:
        client = port, address
        number = self._clients.get(client)
        if number is None:
            number = next(self._numbers) & 0xFFFFFFFF
            self._clients[client] = number
            self._by_number[number] = client
            port.tally.connections += 1
            if len(self._clients) > MAX_CLIENTS:
                self._forget(next(iter(self._clients.values())))
        self._clients.move_to_end(client)
        return number

    def _forget(self, number: int) -> None:
        client = self._by_number.pop(number)
        del self._clients[client]
        self._forgotten.append(number)

    # --- over a link

    async def _on(self, link: Transport) -> None:
        """Relay over one link for as long as it is the one."""
        loop = asyncio.get_running_loop()
        failures = 0
        while self._gate.link is link:
            began = loop.time()
            try:
                await self._over(await link.open_process(far_command()))
            except Refused as error:
                self._say(f"UDP can't be relayed: {error.why}; it needs python3 on the remote host")
            except Lost as error:
                log.debug("udp_relay_lost", why=error.why)
            failures = 1 if loop.time() - began > STEADY else failures + 1
            await asyncio.sleep(BACKOFF.delay(failures, random.random))

    def _say(self, detail: str) -> None:
        for port in self._ports:
            port.tally.detail = detail

    async def _over(self, stream: Stream) -> None:
        """Relay over one stream. Raises ``Lost`` when it ends, ``Refused`` when it can't begin."""
        reader, writer = stream
        try:
            rest = await _greeted(reader)
            self._say("")
            async with Tasks("udp stream") as tasks:
                ways = [
                    tasks.start("up", self._up(writer), awaited=True),
                    tasks.start("down", self._down(reader, rest), awaited=True),
                ]
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                why = [str(error) for task in done if (error := task.exception())]
            raise Lost("relaying UDP", ", ".join(why) or "the far end is gone")
        finally:
            writer.close()

    async def _up(self, writer: Writer) -> None:
        known: dict[int, Target] = {}
        self._forgotten.clear()
        while True:
            number, datagram = await self._queue.get()
            frames = b"".join(_frame(FORGET, n) for n in self._forgotten if known.pop(n, None))
            self._forgotten.clear()
            if number not in self._by_number:
                continue
            port, _ = self._by_number[number]
            if known.get(number) != port.target:
                known[number] = port.target
                frames += _frame(GOES_TO, number, f"{port.target.host} {port.target.port}".encode())
            writer.write(frames + _frame(DATAGRAM, number, datagram))
            await writer.drain()
            port.tally.bytes_out = (port.tally.bytes_out or 0) + len(datagram)

    async def _down(self, reader: Reader, rest: bytes) -> None:
        buffer = bytearray(rest)
        loop = asyncio.get_running_loop()
        while True:
            while len(buffer) >= HEAD.size:
                _, number, size = HEAD.unpack_from(buffer)
                if len(buffer) < HEAD.size + size:
                    break
                datagram = bytes(buffer[HEAD.size : HEAD.size + size])
                del buffer[: HEAD.size + size]
                if client := self._by_number.get(number):
                    port, address = client
                    port.tally.bytes_in = (port.tally.bytes_in or 0) + size
                    try:
                        await loop.sock_sendto(port.socket, datagram, address)
                    except OSError as error:
                        # As when a client's address is gone: its datagrams are lost, as UDP's are.
                        log.debug("udp_answer_lost", why=str(error))
            data = await reader.read(65536)
            if not data:
                return
            buffer += data


def _frame(kind: int, number: int, body: bytes = b"") -> bytes:
    return HEAD.pack(kind, number, len(body)) + body


async def _greeted(reader: Reader) -> bytes:
    """Wait for the far end's greeting; answers what came behind it.

    Raises ``Refused``, and ``Lost`` when the link breaks meanwhile.
    """
    said = b""
    try:
        async with asyncio.timeout(START):
            while len(said) < len(HELLO) and HELLO.startswith(said):
                data = await reader.read(65536)
                if not data:
                    break
                said += data
    except TimeoutError:
        said = b""
    except OSError as error:
        raise Lost("starting the UDP relay", str(error)) from error
    if not said.startswith(HELLO):
        raise Refused("starting the UDP relay", "it did not start there")
    return said[len(HELLO) :]
