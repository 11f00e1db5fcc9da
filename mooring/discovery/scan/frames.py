"""Pure. The bytes of ARP, of a TCP SYN and of an echo, and what their answers say.

RFC 826, 791, 9293, 792, 4443, 8200. Checksums of what comes are not looked at: the kernel hands on
what is of its own machine before it has put them in.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from mooring.model.net import IpAddress

ETH_ARP = 0x0806
ETH_IPV4 = 0x0800
ETH_IPV6 = 0x86DD

ETHERNET = 14
"""Bytes before the IP header in a frame."""

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_BROADCAST = b"\xff" * 6

TICK = 1e-4
"""Seconds: the grain of the time that a SYN carries."""
_TICKS = 1 << 20
"""They run around after 104 seconds."""

MOST_ATTEMPTS = 15


class Answer(NamedTuple):
    """What a host said of a port."""

    source: bytes
    """Its address, packed."""
    port: int
    open: bool
    attempt: int
    """The try that it answers, from 1; 0 where the answer does not say."""
    ticks: int
    """When that was sent, in ticks that run around."""


def packed_mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def arp_request(mac: bytes, ip: bytes) -> bytes:
    """A frame that asks who has an address, without that address, which is its end."""
    fixed = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 1)
    return _BROADCAST + mac + struct.pack("!H", ETH_ARP) + fixed + mac + ip + bytes(6)


def arp_answer(frame: bytes | memoryview) -> tuple[bytes, bytes] | None:
    """The address and the MAC of who answered, packed."""
    if len(frame) < 42 or frame[20:22] != b"\0\x02" or frame[16:20] != b"\x08\0\x06\x04":
        return None
    return bytes(frame[28:32]), bytes(frame[22:28])


def arp_filter() -> list[tuple[int, int, int, int]]:
    """For the kernel: only ARP replies."""
    return [(0x28, 0, 0, 20), (0x15, 0, 1, 2), (0x06, 0, 0, 64), (0x06, 0, 0, 0)]


def ticks(now: float) -> int:
    """A time in seconds as a SYN carries it."""
    return int(now / TICK) % _TICKS


def since(then: int, now: float) -> float:
    """Seconds from a time that an answer brought back."""
    return ((ticks(now) - then) % _TICKS) * TICK


class Syn:
    """The frames of SYNs to one host: made once, then only numbers and checksum change.

    The sequence number, which every answer gives back, says which try it is and when it was sent;
    eight bits of it are a secret of the scan. Each try comes from a port of its own: where the
    answer to the first was lost, a host that waits for ours takes a second SYN of the same
    connection for an error and resets it, and an open port would look closed.
    """

    __slots__ = ("_buffer", "_port", "_secret", "_sum", "_tcp")

    def __init__(
        self, source: IpAddress, target: IpAddress, port: int, secret: int, ethernet: bytes = b""
    ) -> None:
        """Answers to the first try come to ``port``, to the second to the next one, and so on;
        ``ethernet`` is the frame's head, if it is one."""
        self._secret = secret & 0xFF
        self._port = port
        own, other = source.packed, target.packed
        tcp = struct.pack("!HHIIBBHHH", 0, 0, 0, 0, 6 << 4, _SYN, 64240, 0, 0)
        tcp += struct.pack("!BBH", 2, 4, 1460)
        if target.version == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 44, 0, 0x4000, 64, 6, 0) + own + other
            head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        else:
            head = struct.pack("!IHBB", 6 << 28, 24, 6, 64) + own + other
        self._buffer = bytearray(ethernet + head + tcp)
        self._tcp = len(ethernet) + len(head)
        self._sum = _summed(own + other + tcp) + 6 + 24

    def frame(self, port: int, attempt: int, tick: int) -> bytearray:
        """The frame of a try; the same bytes are used again for the next one."""
        number = self._secret << 24 | tick << 4 | attempt
        own = self._port + attempt - 1
        total = self._sum + own + port + (number >> 16) + (number & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        buffer, at = self._buffer, self._tcp
        struct.pack_into("!HHI", buffer, at, own, port, number)
        struct.pack_into("!H", buffer, at + 16, ~total & 0xFFFF)
        return buffer


def tcp_answer(packet: memoryview, start: int, version: int, secret: int) -> Answer | None:
    """What a packet says, whose IP header begins at ``start``; None if it answers no SYN of ours.

    A SYN with an ACK must give the sequence number back, or it is another's. A reset of some
    stacks does not: it still says that the port is closed.
    """
    try:
        if version == 4:
            at = start + (packet[start] & 0x0F) * 4
            source = bytes(packet[start + 12 : start + 16])
        else:
            at = start + 40
            source = bytes(packet[start + 8 : start + 24])
        port, _, _, number, _, flags = struct.unpack_from("!HHIIBB", packet, at)
    except (struct.error, IndexError):
        return None
    number = number - 1 & 0xFFFFFFFF
    ours = number >> 24 == secret and bool(number & 0x0F)
    if flags & _RST:
        attempt, tick = (number & 0x0F, number >> 4 & 0xFFFFF) if ours else (0, 0)
        return Answer(source, port, False, attempt, tick)
    if flags & (_SYN | _ACK) == _SYN | _ACK and ours:
        return Answer(source, port, True, number & 0x0F, number >> 4 & 0xFFFFF)
    return None


def tcp_filter(start: int, version: int, ports: range) -> list[tuple[int, int, int, int]]:
    """For the kernel: only TCP to these ports, the IP header beginning at ``start``."""
    chosen = [
        (0x35, 0, 2, ports.start),
        (0x35, 1, 0, ports.stop),
        (0x06, 0, 0, 96),
        (0x06, 0, 0, 0),
    ]
    if version == 4:
        return [
            (0x30, 0, 0, start + 9),
            (0x15, 0, 7, 6),
            (0x28, 0, 0, start + 6),
            (0x45, 5, 0, 0x1FFF),
            (0xB1, 0, 0, start),
            (0x48, 0, 0, start + 2),
            *chosen,
        ]
    return [(0x30, 0, 0, start + 6), (0x15, 0, 4, 6), (0x28, 0, 0, start + 42), *chosen]


def program(steps: list[tuple[int, int, int, int]]) -> bytes:
    """A filter's steps (code, jump if true, jump if false, value) as the kernel reads them."""
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def echo_request(version: int, identity: int, number: int, tick: int) -> bytes:
    """An ICMP echo; of ICMPv6 the kernel puts the checksum in."""
    data = struct.pack("!I", tick)
    kind = 8 if version == 4 else 128
    head = struct.pack("!BBHHH", kind, 0, 0, identity, number)
    if version == 6:
        return head + data
    return head[:2] + struct.pack("!H", checksum(head + data)) + head[4:] + data


def echo_answer(packet: bytes, version: int) -> tuple[int, int, int] | None:
    """Identity, number and tick of an ICMP echo reply that begins with its ICMP header."""
    if len(packet) < 12 or packet[0] != (0 if version == 4 else 129):
        return None
    identity, number, tick = struct.unpack_from("!HHI", packet, 4)
    return identity, number, tick


def checksum(data: bytes) -> int:
    """The Internet's (RFC 1071)."""
    total = _summed(data)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _summed(data: bytes) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))
