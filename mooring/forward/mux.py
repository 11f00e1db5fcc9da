"""Pure. The control socket of an OpenSSH master: questions to bytes, bytes to answers.

A message is 4 bytes of length and as many of body; numbers are big-endian, strings have their
length before them. From OpenSSH's PROTOCOL.mux. Descriptors go beside the bytes: see ``wants``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

VERSION = 4
MAX_MESSAGE = 256 * 1024
"""Longer than any answer of a master; what claims to be longer is none."""

_HELLO = 0x00000001
_NEW_SESSION = 0x10000002
_ALIVE_CHECK = 0x10000004
_TERMINATE = 0x10000005
_OPEN_FWD = 0x10000006
_NEW_STDIO_FWD = 0x10000008

_FWD_LOCAL = 1
_PORT_IS_PATH = 0xFFFFFFFE
"""In place of a port: the host is the path of a Unix socket."""
_NO_ESCAPE = 0xFFFFFFFF


class Kind(IntEnum):
    """What a master answers."""

    HELLO = _HELLO
    OK = 0x80000001
    DENIED = 0x80000002
    FAILURE = 0x80000003
    EXIT = 0x80000004
    ALIVE = 0x80000005
    OPENED = 0x80000006
    REMOTE_PORT = 0x80000007
    NO_TTY = 0x80000008


class WrongAnswer(ValueError):
    """What came is no message of a master."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``number`` is of the request, but of the session in ``EXIT``, and the version in ``HELLO``.

    ``value`` is the exit status in ``EXIT``, the master's process in ``ALIVE``, the session in
    ``OPENED``.
    """

    kind: Kind
    number: int
    value: int = 0
    reason: str = ""


# --- what is asked


def hello() -> bytes:
    """The first message, of both sides."""
    return _message(_HELLO, VERSION)


def alive(request: int) -> bytes:
    """Answered by ``ALIVE``, without asking the remote side anything."""
    return _message(_ALIVE_CHECK, request)


def terminate(request: int) -> bytes:
    """The master ends. Answered by ``OK`` if at all."""
    return _message(_TERMINATE, request)


def stdio_forward(request: int, host: str, port: int) -> bytes:
    """A channel to a remote port, joined with two descriptors that are sent after this.

    First what the master shall read from, then what it shall write to. Answered by ``OPENED``
    when the remote side has connected; the channel's end is the end of the control connection.
    """
    return _message(_NEW_STDIO_FWD, request, "", host, port)


def session(request: int, command: str) -> bytes:
    """A remote command; standard input, output and error are sent after this.

    Answered by ``OPENED``, and by ``EXIT`` when it has ended.
    """
    terminal, x11, agent, subsystem = 0, 0, 0, 0
    flags = (terminal, x11, agent, subsystem, _NO_ESCAPE)
    return _message(_NEW_SESSION, request, "", *flags, "", command)


def forward_path(request: int, local: str, remote: str) -> bytes:
    """The master listens at a local path and leads to a remote one. Answered by ``OK``."""
    return _message(_OPEN_FWD, request, _FWD_LOCAL, local, _PORT_IS_PATH, remote, _PORT_IS_PATH)


def wants(message: bytes) -> int:
    """How many descriptors go after this request, each beside one zero byte."""
    kind = struct.unpack_from("!I", message, 4)[0]
    return {_NEW_STDIO_FWD: 2, _NEW_SESSION: 3}.get(kind, 0)


def _message(*parts: int | str) -> bytes:
    body = b"".join(
        struct.pack("!I", part) if isinstance(part, int) else _string(part) for part in parts
    )
    return struct.pack("!I", len(body)) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!I", len(data)) + data


# --- what is answered


def length(header: bytes) -> int:
    """How long the body is that follows these 4 bytes. Raises ``WrongAnswer``."""
    (size,) = struct.unpack("!I", header)
    if not 8 <= size <= MAX_MESSAGE:
        raise WrongAnswer(f"a message of {size} bytes")
    return int(size)


def answer(body: bytes) -> Answer:
    """One message of a master. Raises ``WrongAnswer``."""
    try:
        number, subject = struct.unpack_from("!II", body)
        kind = Kind(number)
        value, reason = 0, ""
        if kind in (Kind.EXIT, Kind.ALIVE, Kind.OPENED, Kind.REMOTE_PORT):
            (value,) = struct.unpack_from("!I", body, 8)
        elif kind in (Kind.DENIED, Kind.FAILURE):
            (size,) = struct.unpack_from("!I", body, 8)
            reason = body[12 : 12 + size].decode(errors="replace")
    except (struct.error, ValueError) as error:
        raise WrongAnswer(str(error)) from None
    return Answer(kind, subject, value, reason)
