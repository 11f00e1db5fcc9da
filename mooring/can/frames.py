"""Pure. CAN frames: the kernel's bytes in, frames out; and how they are written. No sockets."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

from mooring.can.filters import EXTENDED, EXTENDED_BITS, REMOTE, STANDARD_BITS

ERROR = 0x20000000
"""In a frame's id: the controller tells of an error (linux/can/error.h)."""
CLASSIC_SIZE, FD_SIZE = 16, 72
"""Of struct can_frame and struct canfd_frame (linux/can.h), by which they are told apart."""

_HEAD = struct.Struct("=IBBBB")  # id with flags, length, FD's flags, reserved, longer length
_OF_THE_FRAME = 0x03
WINDOW = 2.0
"""Seconds of which a rate is taken."""


@dataclass(frozen=True, slots=True)
class Frame:
    at: float
    """Seconds since the epoch."""
    can_id: int
    """Without its flags."""
    data: bytes
    extended: bool = False
    remote: bool = False
    error: bool = False
    fd: bool = False
    flags: int = 0
    """CAN FD's: 1 is the faster bit rate, 2 an error of the sender."""


def read(content: bytes, at: float) -> Frame | None:
    """A frame as a raw socket gives it; None for what is none, as CAN XL's."""
    if len(content) not in (CLASSIC_SIZE, FD_SIZE):
        return None
    flagged, length, flags, _, _ = _HEAD.unpack_from(content)
    fd = len(content) == FD_SIZE
    error, extended = bool(flagged & ERROR), bool(flagged & EXTENDED)
    remote = bool(flagged & REMOTE) and not error
    return Frame(
        at=at,
        can_id=flagged & (EXTENDED_BITS if extended or error else STANDARD_BITS),
        data=b"" if remote else content[_HEAD.size : _HEAD.size + length],
        extended=extended,
        remote=remote,
        error=error,
        fd=fd,
        # The kernel's own mark of CAN FD among them is no part of the frame.
        flags=flags & _OF_THE_FRAME if fd else 0,
    )


def shown_id(frame: Frame) -> str:
    """Three digits, or eight of an extended one, as candump has it."""
    if frame.error:
        return f"{frame.can_id | ERROR:08X}"
    return f"{frame.can_id:08X}" if frame.extended else f"{frame.can_id:03X}"


def candump(frame: Frame, bus: str) -> str:
    """A line as ``candump -L`` writes it and canplayer reads it."""
    if frame.remote:
        body = "#R"
    elif frame.fd:
        body = f"##{frame.flags & 0xF:X}{frame.data.hex().upper()}"
    else:
        body = f"#{frame.data.hex().upper()}"
    return f"({frame.at:017.6f}) {bus} {shown_id(frame)}{body}"


def kind(frame: Frame) -> str:
    if frame.error:
        return "error"
    return "remote" if frame.remote else "fd" if frame.fd else "data"


@dataclass(slots=True)
class Traffic:
    """What came under one id."""

    last: Frame
    count: int = 0
    times: deque[float] = field(default_factory=deque)

    def rate(self, now: float) -> float:
        """Frames per second of late."""
        while self.times and self.times[0] <= now - WINDOW:
            self.times.popleft()
        return len(self.times) / WINDOW


class Traffics:
    """The traffic of a bus by id; a standard id and an extended one of the same number are two."""

    def __init__(self) -> None:
        self.by_id: dict[str, Traffic] = {}

    def add(self, frame: Frame) -> Traffic:
        name = shown_id(frame)
        traffic = self.by_id.setdefault(name, Traffic(frame))
        traffic.last = frame
        traffic.count += 1
        traffic.times.append(frame.at)
        # Also of an id that nobody asks for its rate, no more than the window is kept.
        traffic.rate(frame.at)
        return traffic


ROW = "{:<9} {:<7} {:>10} {:>9}  {}"
HEAD = ROW.format("ID", "KIND", "FRAMES", "PER S", "LAST")


def table(traffics: Traffics, now: float) -> list[str]:
    """A line for each id, by number."""
    order = sorted(traffics.by_id.items(), key=lambda item: (len(item[0]), item[0]))
    rows = [
        ROW.format(
            name, kind(one.last), one.count, f"{one.rate(now):.1f}", one.last.data.hex(" ").upper()
        ).rstrip()
        for name, one in order
    ]
    return [HEAD, *rows]
