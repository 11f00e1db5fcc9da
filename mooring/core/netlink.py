"""A netlink client: requests in, the kernel's answers out. Knows no capability, never waits long.

Why not a library: for 1,000 interfaces pyroute2 0.9.7 took 630 ms on the event loop, which it held
for 63 ms, or 1,190 ms in a thread; a look by this client takes 85 ms (``bench/interfaces``).
What the bytes mean is for the caller to say; ``nlmsg`` packs and unpacks them.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from mooring.core.nlmsg import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_NOOP,
    NLMSG_OVERRUN,
    Malformed,
    Message,
    Request,
    Verdict,
    message,
    messages,
    verdict,
)

NETLINK_ROUTE = 0
NETLINK_GENERIC = 16

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_GETADDR = 22
RTM_GETROUTE = 26
RTM_GETNEIGH = 30

TIMEOUT = 5.0
"""Seconds that a request or a whole dump may take. The kernel answers at once or not at all."""

TRIES = 5
"""How often a dump is asked for when the kernel says that things changed under it."""

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12

BATCH = 200
"""Requests that are sent at once: their answers fit in the buffer of a socket."""

_RECEIVE_BUFFER = 1 << 20
"""Bytes. The kernel fills datagrams of up to 32 KiB, and larger ones for one large message."""


class NetlinkError(OSError):
    """The kernel refused or did not answer; ``errno`` is its, the text says what was attempted."""

    def __init__(self, code: int, doing: str, sentence: str = "") -> None:
        reason = os.strerror(code) + (f" ({sentence})" if sentence else "")
        super().__init__(code, f"{doing}: {reason}")


class Dump(NamedTuple):
    """What a dump brought: the payloads of its messages, in the kernel's order."""

    payloads: list[bytes]
    consistent: bool = True
    """False where things changed under each of the tries: an entry may be missing or double."""
    cut: bool = False
    """True where there were more than the caller wanted."""


class Netlink:
    """A socket to the kernel, for one thread. It belongs to the namespace that it was opened in.

    ``with Netlink() as kernel: kernel.dump(RTM_GETLINK, body, doing="listing links")``
    """

    def __init__(self, protocol: int = NETLINK_ROUTE, *, timeout: float = TIMEOUT) -> None:
        self._protocol = protocol
        self._timeout = timeout
        self._sequence = int(time.time()) & 0x7FFFFFFF
        # Of its pages those that are written to cost something, and no others.
        self._buffer = mmap.mmap(-1, _RECEIVE_BUFFER)
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes, *, doing: str) -> list[Message]:
        """Ask one thing and wait for the kernel's acknowledgement; what came before it is given.

        ``flags`` are those beyond NLM_F_REQUEST and NLM_F_ACK (NLM_F_CREATE and so on).

        Raises:
            NetlinkError: the kernel's refusal with its errno and sentence, or ETIMEDOUT.
        """
        self._send(kind, flags | NLM_F_REQUEST | NLM_F_ACK, body)
        answers: list[Message] = []
        deadline = time.monotonic() + self._timeout
        while True:
            for answer in self._receive(deadline, doing):
                if answer.kind == NLMSG_ERROR:
                    self._accept(answer, doing)
                    return answers
                answers.append(answer)

    def batch(self, requests: Sequence[Request], *, doing: str) -> list[Verdict]:
        """Ask many things with few calls; what the kernel said to each, in their order.

        The kernel does each of them, whatever became of those before. Only refusals and the last
        of each ``BATCH`` are answered by it.

        Raises:
            NetlinkError: ETIMEDOUT, or an answer that cannot be read. Refusals are not raised.
        """
        said = [Verdict(0, "")] * len(requests)
        for start in range(0, len(requests), BATCH):
            part = requests[start : start + BATCH]
            first = self._sequence + 1 & 0xFFFFFFFF
            self._sequence = self._sequence + len(part) & 0xFFFFFFFF
            data = b"".join(
                message(
                    one.kind,
                    one.flags | NLM_F_REQUEST | (NLM_F_ACK if number == len(part) - 1 else 0),
                    first + number & 0xFFFFFFFF,
                    one.body,
                )
                for number, one in enumerate(part)
            )
            self._socket.settimeout(self._timeout)
            self._socket.send(data)
            deadline = time.monotonic() + self._timeout
            done = False
            while not done:
                for answer in self._receive(deadline, doing, since=first):
                    number = answer.sequence - first & 0xFFFFFFFF
                    if answer.kind == NLMSG_ERROR and number < len(part):
                        said[start + number] = self._verdict(answer, doing)
                        done = done or number == len(part) - 1
        return said

    def dump(self, kind: int, body: bytes, *, doing: str, most: int | None = None) -> Dump:
        """Everything of a kind. ``body`` is the fixed structure and attributes that filter it.

        A dump that the kernel marks as inconsistent is asked for again, ``TRIES`` times in all;
        the last one is given as it is. ``most`` bounds the number of messages.

        Raises:
            NetlinkError: the kernel's refusal with its errno and sentence, or ETIMEDOUT.
        """
        for _ in range(TRIES):
            answer = self._dump_once(kind, body, doing, most)
            if answer.consistent:
                break
        return answer

    def _dump_once(self, kind: int, body: bytes, doing: str, most: int | None) -> Dump:
        # The kernel begins to work on it while it is sent, and that may take long where others
        # hold its lock (many namespaces that end): what it says then is no less true.
        self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
        deadline = time.monotonic() + self._timeout
        payloads: list[bytes] = []
        consistent = True
        while True:
            for answer in self._receive(deadline, doing):
                if answer.flags & NLM_F_DUMP_INTR:
                    consistent = False
                if answer.kind in (NLMSG_DONE, NLMSG_ERROR):
                    self._accept(answer, doing)
                    return Dump(payloads, consistent)
                if most is not None and len(payloads) >= most:
                    # The rest would come with the next answer: begin with a new socket instead.
                    self.close()
                    self._open()
                    return Dump(payloads, consistent, cut=True)
                payloads.append(answer.payload)

    def _open(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol
        )
        try:
            self._socket.bind((0, 0))
            self._port = self._socket.getsockname()[0]
            for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
                # Kernels before 4.3, 4.12 and 4.20 know them not: answers then say less, and
                # dumps are not filtered. Nothing here relies on either.
                with suppress(OSError):
                    self._socket.setsockopt(_SOL_NETLINK, option, 1)
        except BaseException:
            self._socket.close()
            raise

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        self._socket.settimeout(self._timeout)
        self._socket.send(message(kind, flags, self._sequence, body))

    def _receive(self, deadline: float, doing: str, since: int | None = None) -> list[Message]:
        """The messages of one datagram that answer the present request, or those ``since``."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise NetlinkError(errno.ETIMEDOUT, doing)
        self._socket.settimeout(left)
        try:
            size, sender = self._socket.recvfrom_into(self._buffer, 0, socket.MSG_TRUNC)
        except TimeoutError as error:
            raise NetlinkError(errno.ETIMEDOUT, doing) from error
        if sender[0] != 0:
            # Any process may write to a netlink socket; only port 0 is the kernel.
            return []
        if size > len(self._buffer):
            raise NetlinkError(errno.EMSGSIZE, doing, f"an answer of {size} bytes")
        try:
            answers = list(messages(memoryview(self._buffer)[:size]))
        except Malformed as error:
            raise NetlinkError(errno.EBADMSG, doing, str(error)) from error
        if any(answer.kind == NLMSG_OVERRUN for answer in answers):
            raise NetlinkError(errno.ENOBUFS, doing)
        oldest = self._sequence if since is None else since
        span = self._sequence - oldest & 0xFFFFFFFF
        return [
            answer
            for answer in answers
            if answer.sequence - oldest & 0xFFFFFFFF <= span
            and answer.port == self._port
            and answer.kind != NLMSG_NOOP
        ]

    def _accept(self, answer: Message, doing: str) -> None:
        said = self._verdict(answer, doing)
        if said.errno:
            raise NetlinkError(said.errno, doing, said.sentence)

    def _verdict(self, answer: Message, doing: str) -> Verdict:
        try:
            return verdict(answer)
        except Malformed as error:
            raise NetlinkError(errno.EBADMSG, doing, str(error)) from error
