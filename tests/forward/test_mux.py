from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.forward import mux
from mooring.forward.mux import Answer, Kind, WrongAnswer


def numbers(message: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(message) // 4}I", message)


def test_the_first_message_names_the_version() -> None:
    assert numbers(mux.hello()) == (8, 1, 4)


def test_a_question_carries_its_number() -> None:
    assert numbers(mux.alive(7)) == (8, 0x10000004, 7)
    assert numbers(mux.terminate(8)) == (8, 0x10000005, 8)


def test_a_forward_of_descriptors_names_host_and_port() -> None:
    message = mux.stdio_forward(3, "db", 5432)
    assert message[4:8] == struct.pack("!I", 0x10000008)
    assert message[8:] == struct.pack("!III", 3, 0, 2) + b"db" + struct.pack("!I", 5432)
    assert mux.length(message[:4]) == len(message) - 4


def test_a_session_asks_for_no_terminal_no_x11_no_agent_and_no_escape() -> None:
    message = mux.session(1, "true")
    flags = numbers(message[16:36])
    assert flags == (0, 0, 0, 0, 0xFFFFFFFF)
    assert message.endswith(struct.pack("!II", 0, 4) + b"true")


def test_a_path_stands_where_a_host_does_and_its_port_says_so() -> None:
    message = mux.forward_path(2, "/l", "/r")
    path = struct.pack("!I", 2)
    assert message[8:] == struct.pack("!II", 2, 1) + path + b"/l" + struct.pack(
        "!I", 0xFFFFFFFE
    ) + path + b"/r" + struct.pack("!I", 0xFFFFFFFE)


def test_a_length_counts_bytes_and_not_letters() -> None:
    message = mux.session(1, "echo ü")
    assert mux.length(message[:4]) == len(message) - 4


def test_descriptors_go_after_a_forward_and_a_session_only() -> None:
    assert mux.wants(mux.stdio_forward(1, "h", 1)) == 2
    assert mux.wants(mux.session(1, "true")) == 3
    assert mux.wants(mux.alive(1)) == 0
    assert mux.wants(mux.forward_path(1, "/l", "/r")) == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (struct.pack("!II", 1, 4), Answer(Kind.HELLO, 4)),
        (struct.pack("!II", 0x80000001, 9), Answer(Kind.OK, 9)),
        (struct.pack("!III", 0x80000004, 2, 255), Answer(Kind.EXIT, 2, 255)),
        (struct.pack("!III", 0x80000005, 1, 4711), Answer(Kind.ALIVE, 1, 4711)),
        (struct.pack("!III", 0x80000006, 1, 2), Answer(Kind.OPENED, 1, 2)),
        (struct.pack("!III", 0x80000003, 1, 2) + b"no", Answer(Kind.FAILURE, 1, 0, "no")),
        (struct.pack("!III", 0x80000002, 1, 0), Answer(Kind.DENIED, 1)),
    ],
)
def test_an_answer_says_its_kind_and_what_it_is_about(body: bytes, expected: Answer) -> None:
    assert mux.answer(body) == expected


def test_a_hello_may_bring_extensions_that_we_do_not_know() -> None:
    body = struct.pack("!III", 1, 4, 3) + b"new" + struct.pack("!I", 0)
    assert mux.answer(body) == Answer(Kind.HELLO, 4)


def test_a_message_that_claims_to_be_endless_is_refused_before_it_is_read() -> None:
    with pytest.raises(WrongAnswer):
        mux.length(b"\xff\xff\xff\xff")
    with pytest.raises(WrongAnswer):
        mux.length(b"\0\0\0\0")


@given(st.binary(max_size=64))
def test_whatever_comes_is_an_answer_or_is_refused(body: bytes) -> None:
    with contextlib.suppress(WrongAnswer):
        assert isinstance(mux.answer(body), Answer)
