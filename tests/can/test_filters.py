from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.can import filters
from mooring.can.filters import EXTENDED, INVERTED, REMOTE
from mooring.model.can import Filter


def passes(frame: int, one: Filter) -> bool:
    """As the kernel decides it (net/can/af_can.c: can_rx_register, can_rcv_filter)."""
    can_id, mask = one.can_id & ~INVERTED, one.mask
    if mask & EXTENDED and not can_id & EXTENDED:
        mask &= filters.STANDARD_BITS | EXTENDED | REMOTE
    return (frame & mask == can_id & mask) != bool(one.can_id & INVERTED)


SAMPLE = [
    flags | base
    for base in (*range(16), 0x100, 0x123, 0x7FF)
    for flags in (0, REMOTE, EXTENDED, EXTENDED | REMOTE, EXTENDED | 0x18FF0000)
]
small = st.builds(
    Filter,
    st.sampled_from([b | f for b in range(16) for f in (0, EXTENDED, INVERTED, REMOTE)]),
    st.sampled_from([b | f for b in range(16) for f in (0, EXTENDED, EXTENDED | REMOTE)]),
)


@given(small, small)
def test_filters_that_share_a_frame_overlap(one: Filter, other: Filter) -> None:
    shared = any(passes(frame, one) and passes(frame, other) for frame in SAMPLE)
    assert filters.overlap(one, other) == shared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123:7FF", [Filter(0x123, 0x7FF)]),
        ("123~7FF", [Filter(0x123 | INVERTED, 0x7FF)]),
        ("00000123:1FFFFFFF", [Filter(0x123 | EXTENDED, 0x1FFFFFFF)]),
        ("100:700, 200:700", [Filter(0x100, 0x700), Filter(0x200, 0x700)]),
    ],
)
def test_filters_are_read_as_candump_reads_them(text: str, expected: list[Filter]) -> None:
    assert list(filters.parse(text)) == expected
    again = filters.parse(",".join(map(filters.show, expected)))
    assert list(again) == expected


@pytest.mark.parametrize(
    "text", ["", "123", "123:", ":7FF", "123:7FF;124:7FF", "123456789:7FF", "#20", "123:7FF,"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ID:MASK"):
        filters.parse(text)


@pytest.mark.parametrize("text", ["0:0,1:7FF", "123:7FF,123:7FF", "1~7FF,2:7FF", "1~7FF,2~7FF"])
def test_overlapping_filters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a frame would come twice"):
        filters.parse(text)


def test_a_filter_and_its_opposite_do_not_overlap() -> None:
    assert len(filters.parse("123:7FF,123~7FF")) == 2
