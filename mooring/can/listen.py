"""A raw socket on a CAN interface: its frames, as they come. Sends nothing."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from mooring.can import frames
from mooring.can.frames import Frame
from mooring.can.rtcan import ARPHRD_CAN
from mooring.core.errors import MooringError, UsageError, why_os

_NET = Path("/sys/class/net")
_SO_TIMESTAMP = 29  # SO_TIMESTAMP_OLD (asm-generic/socket.h)
_CAN_RAW_ERR_FILTER = 2  # linux/can/raw.h
_TIMEVAL = struct.Struct("@ll")
_EVERY_ERROR = struct.pack("=I", 0x1FFFFFFF)
_BUFFER = 4 << 20
"""Bytes that wait for us: a second of a bus that is full."""


def opened(device: str) -> socket.socket:
    """A socket that hears everything on this interface.

    Raises:
        UsageError: there is none of this name, or it is no CAN interface.
        MooringError: it cannot be listened to.
    """
    attempted = f"listening to {device}"
    try:
        found = (_NET / device / "type").read_text().strip() if "/" not in device else ""
    except (OSError, ValueError):
        found = ""
    if not found:
        remedy = "`mooring can status` shows the buses"
        raise UsageError(attempted, "there is no such interface", remedy)
    if found != str(ARPHRD_CAN):
        raise UsageError(attempted, "it is no CAN interface", "name a bus's, such as vcan0")
    try:
        made = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    except OSError as error:
        raise MooringError(attempted, why_os(error), "run `modprobe can-raw`") from error
    try:
        made.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        made.setsockopt(socket.SOL_CAN_RAW, _CAN_RAW_ERR_FILTER, _EVERY_ERROR)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        made.bind((device,))
    except OSError as error:
        made.close()
        raise MooringError(attempted, why_os(error)) from error
    return made


def heard(bus: socket.socket, device: str, seconds: float | None) -> Iterator[Frame | None]:
    """Frames, without end; None when nothing has come for so many seconds.

    Raises:
        MooringError: the interface goes down, or away.
    """
    bus.settimeout(seconds)
    while True:
        try:
            content, told, _, _ = bus.recvmsg(frames.FD_SIZE, socket.CMSG_SPACE(_TIMEVAL.size))
        except TimeoutError:
            yield None
            continue
        except OSError as error:
            raise MooringError(
                f"listening to {device}", why_os(error), "see `mooring can health`"
            ) from error
        frame = frames.read(content, _when(told))
        if frame is not None:
            yield frame


def _when(told: list[tuple[int, int, bytes]]) -> float:
    """When the kernel got it."""
    for level, kind, content in told:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMP:
            seconds, micro = map(int, _TIMEVAL.unpack_from(content))
            return seconds + micro / 1e6
    return time.time()
