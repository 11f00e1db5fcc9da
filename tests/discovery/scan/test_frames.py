from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.discovery.scan import frames, ports
from mooring.discovery.scan.options import ScanOptions
from mooring.model.scan import Depth

FOUR = (ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.200"))
SIX = (ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::c8"))
SECRET = 0xA7


def ones(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@settings(deadline=None)
@given(st.integers(1, 65535), st.integers(1, 8), st.integers(0, (1 << 20) - 1))
def test_the_checksums_of_every_syn_are_right(port: int, attempt: int, tick: int) -> None:
    for own, other in (FOUR, SIX):
        packet = bytes(frames.Syn(own, other, 40000, SECRET).frame(port, attempt, tick))
        start = 20 if own.version == 4 else 40
        if own.version == 4:
            assert ones(packet[:20]) == 0xFFFF
            assert struct.unpack_from("!H", packet, 2) == (len(packet),)
        pseudo = own.packed + other.packed + struct.pack("!HH", 6, len(packet) - start)
        assert ones(pseudo + packet[start:]) == 0xFFFF
        # A second SYN of a connection that a host waits for would be an error to it.
        assert struct.unpack_from("!HH", packet, start) == (40000 + attempt - 1, port)


def reply(flags: int, number: int, *, version: int = 4, options: bytes = b"") -> memoryview:
    own, other = FOUR if version == 4 else SIX
    tcp = struct.pack("!HHIIBBHHH", 80, 40000, 7, number & 0xFFFFFFFF, 5 << 4, flags, 0, 0, 0)
    if version == 4:
        first = 0x40 | (5 + len(options) // 4)
        head = struct.pack("!BBHHHBBH", first, 0, 40, 0, 0, 64, 6, 0)
        return memoryview(head + other.packed + own.packed + options + tcp)
    return memoryview(struct.pack("!IHBB", 6 << 28, 20, 6, 64) + other.packed + own.packed + tcp)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("flags", "is_open"), [(0x12, True), (0x14, False), (0x04, False)])
def test_an_answer_says_which_try_it_answers_and_when_that_was(
    version: int, flags: int, is_open: bool
) -> None:
    number = SECRET << 24 | 12345 << 4 | 3
    packet = reply(flags, number + 1, version=version, options=b"\1" * 4 if version == 4 else b"")
    source = (FOUR if version == 4 else SIX)[1].packed
    expected = frames.Answer(source, 80, is_open, 3, 12345)
    assert frames.tcp_answer(packet, 0, version, SECRET) == expected


def test_a_connection_that_we_did_not_ask_for_is_no_answer() -> None:
    assert frames.tcp_answer(reply(0x12, 99), 0, 4, SECRET) is None
    assert frames.tcp_answer(reply(0x10, SECRET << 24 | 2), 0, 4, SECRET) is None
    assert frames.tcp_answer(reply(0x02, SECRET << 24 | 2), 0, 4, SECRET) is None


def test_a_reset_that_gives_no_number_back_still_says_that_a_port_is_closed() -> None:
    answer = frames.tcp_answer(reply(0x14, 0), 0, 4, SECRET)
    assert answer is not None
    assert (answer.open, answer.attempt) == (False, 0)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([4, 6]), st.sampled_from([0, 14]))
def test_no_bytes_from_outside_raise(data: bytes, version: int, start: int) -> None:
    frames.tcp_answer(memoryview(data), start, version, SECRET)
    frames.arp_answer(data)
    frames.echo_answer(data, version)


@settings(deadline=None)
@given(st.floats(0, 1e7), st.floats(0, 100))
def test_a_time_comes_back_as_the_seconds_since(then: float, since: float) -> None:
    measured = frames.since(frames.ticks(then), then + since)
    assert abs(measured - since) <= 2 * frames.TICK


def test_an_arp_reply_is_read_and_a_request_is_not() -> None:
    asked = frames.arp_request(b"\2" * 6, bytes(4)) + FOUR[1].packed
    assert frames.arp_answer(asked) is None
    said = asked[:20] + b"\0\2" + b"\3" * 6 + FOUR[1].packed + b"\2" * 6 + FOUR[0].packed
    assert frames.arp_answer(said) == (FOUR[1].packed, b"\3" * 6)


def test_a_light_scan_takes_the_catalogues_ports_too_the_best_known_of_them_first() -> None:
    usual = (80, 443, 12345, *range(20000, 20100))
    light = ports.asked(Depth.LIGHT, ScanOptions(usual=usual))
    assert 1000 < len(light) < 1200
    assert len(light) == len(set(light))
    assert {22, 80, 443, 12345, 20099, 9100} <= set(light)
    assert light[: ports.BEST_KNOWN] == usual[: ports.BEST_KNOWN]


def test_a_full_scan_asks_all_other_ports_the_common_ones_first() -> None:
    full = ports.asked(Depth.FULL, ScanOptions())
    assert sorted(full) == list(range(1, 65536))
    light = ports.asked(Depth.LIGHT, ScanOptions())
    assert full[: len(light)] == light
    assert ports.looked_at(Depth.FULL, ScanOptions()) == ((1, 65535),)
    assert ports.looked_at(Depth.NONE, ScanOptions()) == ()
