"""Pure. Filters of CAN ids: from candump's syntax to the kernel's, and whether two overlap."""

from __future__ import annotations

import re

from mooring.model.can import Filter

EXTENDED = 0x80000000
REMOTE = 0x40000000
INVERTED = 0x20000000
"""In a filter's id: the frames that do not match. In a mask it would mean error frames."""
STANDARD_BITS = 0x7FF
EXTENDED_BITS = 0x1FFFFFFF

ERRORS = Filter(INVERTED, 0x3FFFFFFF)
"""Every error frame, and nothing else (in a mask the flag means them: net/can/af_can.c)."""

_FILTER = re.compile(r"([0-9A-Fa-f]{1,8})([:~])([0-9A-Fa-f]{1,8})")

_Cube = tuple[int, int]
"""A set of ids: (which bits are fixed, to what)."""

_WORLDS: tuple[_Cube, ...] = (
    (EXTENDED | (EXTENDED_BITS & ~STANDARD_BITS), 0),
    (EXTENDED, EXTENDED),
)
"""What a frame's id can be: 11 bits, or 29 bits with the flag."""


def parse(text: str) -> tuple[Filter, ...]:
    """``123:7FF,18FF0000:1FFF0000,~…`` as in candump(1): id, ``:`` (or ``~`` for all others), mask.

    An id of eight digits is an extended one.

    Raises:
        ValueError: says what is wrong, and with which filter.
    """
    found: list[Filter] = []
    for item in (part.strip() for part in text.split(",")):
        matched = _FILTER.fullmatch(item)
        if matched is None:
            raise ValueError(f"{item!r} is not ID:MASK or ID~MASK in hexadecimal")
        digits, sign, mask = matched.groups()
        can_id = int(digits, 16)
        if len(digits) == 8:
            can_id |= EXTENDED
        can_id &= ~INVERTED
        if sign == "~":
            can_id |= INVERTED
        new = Filter(can_id, int(mask, 16) & ~INVERTED)
        for old in found:
            if overlap(old, new):
                raise ValueError(f"{item!r} overlaps {show(old)}: a frame would come twice")
        found.append(new)
    return tuple(found)


def show(filter: Filter) -> str:  # noqa: A002
    """As ``parse`` reads it."""
    can_id = filter.can_id & ~INVERTED
    width = 8 if can_id & EXTENDED else 3
    can_id &= ~EXTENDED if can_id & EXTENDED else 0xFFFFFFFF
    sign = "~" if filter.can_id & INVERTED else ":"
    return f"{can_id:0{width}X}{sign}{filter.mask:X}"


def overlap(one: Filter, other: Filter) -> bool:
    """Whether there is a frame that passes both."""
    return any(
        _meet(world, a) and _meet(world, b) and _meet(a, b)
        for world in _WORLDS
        for a in _cubes(one)
        for b in _cubes(other)
    )


def _cubes(filter: Filter) -> list[_Cube]:  # noqa: A002
    """The ids that pass, as sets of which each fixes some bits."""
    mask, can_id = filter.mask, filter.can_id & ~INVERTED
    if mask & EXTENDED and not can_id & EXTENDED:
        # The kernel does the same: a standard frame has no more bits.
        mask &= STANDARD_BITS | EXTENDED | REMOTE
    if not filter.can_id & INVERTED:
        return [(mask, can_id & mask)]
    bits = [1 << n for n in range(32) if mask >> n & 1]
    return [(bit, ~can_id & bit) for bit in bits]


def _meet(one: _Cube, other: _Cube) -> bool:
    return (one[1] ^ other[1]) & one[0] & other[0] == 0
