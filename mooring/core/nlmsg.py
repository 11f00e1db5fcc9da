"""Pure. Netlink's bytes: messages and attributes, packed and unpacked. Never touches a socket.

The layouts are those of netlink(7), rtnetlink(7) and linux/netlink.h: all in the host's
byte order, every message and attribute padded to four bytes, lengths without the padding.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200

_NLMSGERR_ATTR_MSG = 1
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")


class Malformed(ValueError):
    """Bytes that are not netlink's: a length that leads outside of what was received."""


class Message(NamedTuple):
    """One netlink message; ``payload`` is all that follows its header."""

    kind: int
    flags: int
    sequence: int
    port: int
    payload: bytes


class Request(NamedTuple):
    """What the kernel is asked to do; ``flags`` are those beyond NLM_F_REQUEST and NLM_F_ACK."""

    kind: int
    flags: int
    body: bytes


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A request as the kernel wants it, from port 0 (the kernel fills in the sender's)."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(data: bytes | bytearray | memoryview) -> Iterator[Message]:
    """The messages of one datagram.

    Raises:
        Malformed: a message's length is shorter than its header or leads past the end.
    """
    view = memoryview(data)
    offset, end = 0, len(view)
    while offset < end:
        if end - offset < _HEADER.size:
            raise Malformed(f"{end - offset} bytes left where a netlink header should be")
        length, kind, flags, sequence, port = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size or length > end - offset:
            raise Malformed(f"a netlink message of {length} bytes in the {end - offset} left")
        payload = bytes(view[offset + _HEADER.size : offset + length])
        yield Message(kind, flags, sequence, port, payload)
        offset += _aligned(length)


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Attributes by number, the flags of the number taken off; of a repeated one the last.

    ``start`` is the length of the fixed structure before them, a multiple of four. The walk is
    the hot path of a listing (some fifty attributes for an interface), hence one flat loop.

    Raises:
        Malformed: an attribute's length is shorter than its header or leads past the end.
    """
    found: dict[int, bytes] = {}
    unpack = _ATTRIBUTE.unpack_from
    end = len(data)
    if start > end:
        raise Malformed(f"{end} bytes where a structure of {start} should be")
    while end - start >= 4:
        length, kind = unpack(data, start)
        stop = start + length
        if length < 4 or stop > end:
            raise Malformed(f"a netlink attribute of {length} bytes in the {end - start} left")
        found[kind & _NLA_TYPE_MASK] = data[start + 4 : stop]
        start = stop + 3 & ~3
    if start < end:
        raise Malformed(f"{end - start} bytes left after the last netlink attribute")
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute with its padding. The value is at most 65,531 bytes (ValueError)."""
    length = _ATTRIBUTE.size + len(value)
    if length > 0xFFFF:
        raise ValueError(f"an attribute's value of {len(value)} bytes: at most 65,531")
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute made of attributes, marked as such."""
    return attribute(kind | _NLA_F_NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """A string attribute, ended by a NUL as the kernel's names are."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=B", value))


def u16(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def as_int(value: bytes | None) -> int | None:
    """An unsigned number of whatever width the kernel sent; None where there is none."""
    return int.from_bytes(value, sys.byteorder) if value else None


def as_text(value: bytes | None) -> str:
    """A string up to its NUL. Interface names may hold any byte: odd ones become ``\\xff``."""
    return (value or b"").split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


class Verdict(NamedTuple):
    """What an NLMSG_ERROR says: ``errno`` (0 is an acknowledgement) and the kernel's sentence."""

    errno: int
    sentence: str


def verdict(answer: Message) -> Verdict:
    """The errno of an NLMSG_ERROR or NLMSG_DONE, and what extended acknowledgement adds.

    After the errno an NLMSG_ERROR repeats the request: its header only when NLM_F_CAPPED is
    set, all of it otherwise. The attributes of the extended acknowledgement come behind that.

    Raises:
        Malformed: it is too short for what its flags announce.
    """
    payload = answer.payload
    if len(payload) < _ERROR.size:
        if answer.kind == NLMSG_DONE:
            # Kernels before 4.15 end some dumps with an empty message.
            return Verdict(0, "")
        raise Malformed(f"a netlink error of {len(payload)} bytes")
    errno = -_ERROR.unpack_from(payload)[0]
    if not answer.flags & NLM_F_ACK_TLVS:
        return Verdict(errno, "")
    start = _ERROR.size
    if answer.kind == NLMSG_ERROR:
        if len(payload) < start + _HEADER.size:
            raise Malformed(f"a netlink error of {len(payload)} bytes with attributes")
        repeated = _HEADER.unpack_from(payload, start)[0]
        start += _HEADER.size if answer.flags & NLM_F_CAPPED else _aligned(repeated)
    return Verdict(errno, as_text(attributes(payload, start).get(_NLMSGERR_ATTR_MSG)))


def _aligned(length: int) -> int:
    return length + 3 & ~3
