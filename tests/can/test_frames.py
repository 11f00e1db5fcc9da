"""Frames as the kernel gives them, and as candump writes them."""

from __future__ import annotations

import struct

import pytest

from mooring.can import frames
from mooring.can.frames import Frame, Traffics


def classic(can_id: int, data: bytes = b"") -> bytes:
    return struct.pack("=IBBBB8s", can_id, len(data), 0, 0, 0, data)


def fd(can_id: int, data: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IBBBB64s", can_id, len(data), flags, 0, 0, data)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (classic(0x123, b"\x11\x22"), "123#1122"),
        (classic(0x123), "123#"),
        (classic(0x80000123, b"\xab"), "00000123#AB"),
        (classic(0x9FFFFFFF, b"\x01" * 8), "1FFFFFFF#0101010101010101"),
        (classic(0x40000123, b""), "123#R"),
        (fd(0x300, b"\x05" * 12, 5), "300##1" + "05" * 12),
        (classic(0x20000040, b"\0" * 8), "20000040#0000000000000000"),
    ],
)
def test_each_kind_of_frame_is_written_as_candump_does(content: bytes, line: str) -> None:
    frame = frames.read(content, 1700000000.25)
    assert frame is not None
    assert frames.candump(frame, "vcan0") == f"(1700000000.250000) vcan0 {line}"


@pytest.mark.parametrize("content", [b"", b"x" * 15, b"x" * 2060])
def test_what_is_no_frame_that_we_know_is_left_out(content: bytes) -> None:
    assert frames.read(content, 0.0) is None


def test_the_rate_is_that_of_late_and_the_count_of_all() -> None:
    traffics = Traffics()
    for n in range(100):
        traffics.add(Frame(n / 10, 0x123, b"\x01"))
    traffics.add(Frame(9.9, 0x123, b"", extended=True))
    one = traffics.by_id["123"]
    assert (one.count, one.rate(9.9)) == (100, 10.0)
    assert one.rate(20.0) == 0.0
    lines = frames.table(traffics, 9.9)
    assert [line.split()[:3] for line in lines[1:]] == [
        ["123", "data", "100"], ["00000123", "data", "1"]
    ]  # fmt: skip
