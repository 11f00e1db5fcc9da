from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.core import nlmsg
from mooring.core.nlmsg import Malformed, Message

numbers = st.integers(0, 0x3FFF)
values = st.binary(max_size=40)


@given(st.dictionaries(numbers, values, max_size=12), st.sampled_from([0, 4, 8, 12, 16]))
def test_attributes_come_back_as_they_went_in(told: dict[int, bytes], start: int) -> None:
    packed = bytes(start) + b"".join(nlmsg.attribute(kind, value) for kind, value in told.items())
    assert nlmsg.attributes(packed, start) == told


@given(numbers, st.dictionaries(numbers, values, max_size=5))
def test_a_nested_attribute_is_marked_and_read_by_its_plain_number(
    kind: int, told: dict[int, bytes]
) -> None:
    packed = nlmsg.nested(kind, *(nlmsg.attribute(key, value) for key, value in told.items()))
    assert struct.unpack_from("=H", packed, 2)[0] & 0x8000
    assert nlmsg.attributes(nlmsg.attributes(packed)[kind]) == told


@given(
    st.lists(
        st.tuples(
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF),
            st.integers(0, 2**32 - 1),
            # The kernel pads what it sends; so do attributes, of which bodies are made.
            st.binary(max_size=40).map(lambda body: body + bytes(-len(body) % 4)),
        )
    )
)
def test_messages_come_back_as_they_went_in(sent: list[tuple[int, int, int, bytes]]) -> None:
    datagram = b"".join(nlmsg.message(*one) for one in sent)
    expected = [Message(kind, flags, sequence, 0, body) for kind, flags, sequence, body in sent]
    assert list(nlmsg.messages(datagram)) == expected


@given(st.binary(max_size=80))
@example(b"\x03\x00\x01\x00")
@example(b"\x00\x00\x00\x00")
@example(b"\xff\xff\x01\x00abcd")
def test_any_bytes_are_attributes_or_malformed_and_nothing_else(data: bytes) -> None:
    try:
        told = nlmsg.attributes(data)
    except Malformed:
        return
    assert sum(len(value) + 4 for value in told.values()) <= len(data)


@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_any_bytes_are_messages_or_malformed_and_nothing_else(data: bytes, flags: int) -> None:
    try:
        for one in nlmsg.messages(data):
            nlmsg.verdict(one._replace(flags=flags))
    except Malformed:
        return


@pytest.mark.parametrize("start", [5, 100])
def test_a_structure_longer_than_its_message_is_malformed(start: int) -> None:
    with pytest.raises(Malformed):
        nlmsg.attributes(b"\0\0\0\0", start)


def test_a_value_that_no_attribute_can_hold_is_refused() -> None:
    assert len(nlmsg.attribute(1, bytes(0xFFFB))) == 0x10000
    with pytest.raises(ValueError, match="65,531"):
        nlmsg.attribute(1, bytes(0xFFFC))


def test_numbers_are_read_in_the_width_in_which_they_came() -> None:
    packed = nlmsg.u8(1, 7) + nlmsg.u16(2, 4094) + nlmsg.u32(3, 1 << 31)
    told = nlmsg.attributes(packed)
    assert [nlmsg.as_int(told.get(kind)) for kind in (1, 2, 3, 4)] == [7, 4094, 1 << 31, None]


def test_a_name_ends_at_its_nul_and_odd_bytes_stay_distinct() -> None:
    assert nlmsg.as_text(nlmsg.attributes(nlmsg.text(3, "eth0"))[3]) == "eth0"
    assert nlmsg.as_text(b"eth0\0rest") == "eth0"
    assert nlmsg.as_text(b"a\xfe\0") != nlmsg.as_text(b"a\xff\0")


def test_an_error_says_what_the_kernel_said() -> None:
    request = nlmsg.message(16, 0, 1, b"x" * 8)
    sentence = nlmsg.text(1, "no such thing")
    refusal = struct.pack("=i", -19)
    whole = Message(nlmsg.NLMSG_ERROR, nlmsg.NLM_F_ACK_TLVS, 1, 0, refusal + request + sentence)
    assert nlmsg.verdict(whole) == (19, "no such thing")
    flags = nlmsg.NLM_F_ACK_TLVS | nlmsg.NLM_F_CAPPED
    capped = Message(nlmsg.NLMSG_ERROR, flags, 1, 0, refusal + request[:16] + sentence)
    assert nlmsg.verdict(capped) == (19, "no such thing")


def test_an_acknowledgement_and_an_empty_end_are_no_errors() -> None:
    assert nlmsg.verdict(Message(nlmsg.NLMSG_ERROR, 0, 1, 0, bytes(20))).errno == 0
    assert nlmsg.verdict(Message(nlmsg.NLMSG_DONE, 0, 1, 0, b"")).errno == 0
    with pytest.raises(Malformed):
        nlmsg.verdict(Message(nlmsg.NLMSG_ERROR, 0, 1, 0, b""))
