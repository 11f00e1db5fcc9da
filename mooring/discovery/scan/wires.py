"""Sends SYNs by raw socket and reads what comes back. Decides nothing; blocks never.

On a link of ours in Ethernet frames with the MACs that the hosts answered with, which needs no
place in the machine's ARP table; through routers as IPv4 packets, which the kernel routes. The
kernel knows of none of these connections and resets what a host opens: nothing is left half open.
"""

from __future__ import annotations

import ctypes
import errno
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple, Protocol

from mooring.discovery.scan import frames
from mooring.discovery.scan.plan import Link
from mooring.discovery.scan.target import Target
from mooring.discovery.scan.timing import MOST_TRIES
from mooring.model.net import IpAddress

_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 8 << 20
"""Bytes: what comes while the thread waits for the interpreter has a place."""

MOST_AT_ONCE = 2048
"""Answers that are read in one go, before it is time to send again."""

_TRIES_FOR_PORTS = 20

_FULL = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})
"""The kernel has no room at the moment: what could not be sent is sent later."""


class Heard(NamedTuple):
    """What a host said of a port: open, or not."""

    ip: bytes
    """Its address, packed."""
    port: int
    open: bool
    attempt: int
    """The try that it answers; 0 where it does not say."""
    round_trip: float | None
    """Seconds."""


class Wire(Protocol):
    """A way to ask hosts for ports. Of one thread."""

    def fileno(self) -> int:
        """What becomes readable when there is something to hear."""
        ...

    def ask(self, target: Target, ports: Sequence[int], attempt: int) -> int:
        """Ask for ports; how many could be asked now."""
        ...

    def hear(self) -> list[Heard]:
        """What was answered meanwhile."""
        ...

    def forget(self, now: float) -> None:
        """Let go of what nobody waits for any more."""
        ...

    def leave(self, target: Target) -> None:
        """Nothing more is asked of this host."""
        ...

    def close(self) -> None: ...


class SynWire:
    """SYNs on one link (``link`` with a MAC), or through the kernel's routes (None)."""

    def __init__(self, link: Link | None, version: int) -> None:
        """Raises PermissionError without CAP_NET_RAW."""
        self._link = link if link and link.mac else None
        self._version = version
        self._secret = secrets.randbelow(256)
        self._frames: dict[IpAddress, frames.Syn] = {}
        self._buffer = bytearray(128)
        self._view = memoryview(self._buffer)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        start = frames.ETHERNET if self._link else 0
        with ExitStack() as opened:
            held = [opened.enter_context(one) for one in ports_in_a_row(family, MOST_TRIES)]
            self._port = held[0].getsockname()[1]
            rules = frames.tcp_filter(start, version, range(self._port, self._port + MOST_TRIES))
            if self._link:
                kind = frames.ETH_IPV4 if version == 4 else frames.ETH_IPV6
                self._socket = opened.enter_context(packet_socket(self._link, kind, rules))
                self._out = self._socket
            else:
                self._socket, self._out = (
                    opened.enter_context(socket.socket(family, socket.SOCK_RAW, protocol))
                    for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_RAW)
                )
                prepare(self._socket, rules)
                self._out.setblocking(False)
            self._opened = opened.pop_all()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, target: Target, ports: Sequence[int], attempt: int) -> int:
        try:
            syn = self._frames.get(target.ip) or self._made(target)
        except OSError as error:
            target.fault = error
            return len(ports)
        tick = frames.ticks(time.monotonic())
        frame, out = syn.frame, self._out
        where = (str(target.ip), 0)
        for count, port in enumerate(ports):
            try:
                if self._link:
                    out.send(frame(port, attempt, tick))
                else:
                    out.sendto(frame(port, attempt, tick), where)
            except OSError as error:
                if error.errno in _FULL:
                    return count
                # No route, a link that went down, a firewall of our own: silent, and told of.
                target.fault = error
        return len(ports)

    def hear(self) -> list[Heard]:
        found: list[Heard] = []
        receive, buffer, view = self._socket.recv_into, self._buffer, self._view
        start = frames.ETHERNET if self._link else 0
        now = time.monotonic()
        for _ in range(MOST_AT_ONCE):
            try:
                size = receive(buffer)
            except BlockingIOError:
                break
            except OSError:
                # The link went down, or a host refused: said once by the kernel, and gone.
                continue
            answer = frames.tcp_answer(view[:size], start, self._version, self._secret)
            if answer is not None:
                since = frames.since(answer.ticks, now) if answer.attempt else None
                found.append(Heard(answer.source, answer.port, answer.open, answer.attempt, since))
        return found

    def forget(self, now: float) -> None:
        """Nothing is kept."""

    def leave(self, target: Target) -> None:
        self._frames.pop(target.ip, None)

    def close(self) -> None:
        self._opened.close()

    def _made(self, target: Target) -> frames.Syn:
        if self._link and self._link.mac and target.mac:
            kind = frames.ETH_IPV4 if self._version == 4 else frames.ETH_IPV6
            head = frames.packed_mac(target.mac) + frames.packed_mac(self._link.mac)
            source, head = self._link.ip, head + kind.to_bytes(2, "big")
        else:
            source, head = source_to(target.ip), b""
        made = frames.Syn(source, target.ip, self._port, self._secret, head)
        self._frames[target.ip] = made
        return made


def ports_in_a_row(family: int, count: int) -> list[socket.socket]:
    """TCP ports that follow each other, bound, so that they are nobody else's. Nobody listens on
    them: the kernel resets what comes.

    Raises:
        OSError: there are none.
    """
    for attempt in range(_TRIES_FOR_PORTS):
        held: list[socket.socket] = []
        try:
            for _ in range(count):
                held.append(socket.socket(family, socket.SOCK_STREAM))
                before = held[-2].getsockname()[1] if len(held) > 1 else -1
                held[-1].bind(("", before + 1))
            return held
        except (OSError, OverflowError):
            for one in held:
                one.close()
            if attempt == _TRIES_FOR_PORTS - 1:
                raise
    raise AssertionError


def packet_socket(link: Link, kind: int, rules: list[tuple[int, int, int, int]]) -> socket.socket:
    """A socket for the frames of one kind on one link, filtered by the kernel.

    Raises:
        PermissionError: without CAP_NET_RAW.
        OSError: the link is gone.
    """
    # Bound to no protocol at first: nothing comes before the filter is there.
    with ExitStack() as opened:
        made = opened.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        prepare(made, rules)
        made.bind((link.name, kind))
        opened.pop_all()
    return made


def prepare(made: socket.socket, rules: list[tuple[int, int, int, int]]) -> None:
    """Filter what a socket receives, give it a large buffer, and never wait on it."""
    code = ctypes.create_string_buffer(frames.program(rules))
    pointed = _Program(len(rules), ctypes.addressof(code))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(pointed))
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    with suppress(OSError):
        # Beyond the machine's usual limit: with CAP_NET_ADMIN only.
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    made.setblocking(False)


def source_to(ip: IpAddress) -> IpAddress:
    """The address from which the kernel sends to another. Raises OSError without a route."""
    import ipaddress

    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(ip), 9))
        return ipaddress.ip_address(probe.getsockname()[0])


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))
