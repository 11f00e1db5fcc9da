"""Who made a network interface: a MAC in, the vendor's name out, "" for what nobody knows.

The table is IEEE's registry (MA-L, MA-M, MA-S, IAB) as ``tools/make_vendors`` packs it; it is read
when it is first asked for, in some tens of ms.
"""

from __future__ import annotations

import lzma
from array import array
from bisect import bisect_left
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("vendors.txt.xz")

_DIGITS = (9, 7, 6)
"""How many hex digits of a MAC a registry gives away: MA-S and IAB, MA-M, MA-L."""
_MADE_UP = {"0242": "Docker", "525400": "QEMU/KVM"}
"""Programs that make up MACs with a beginning of their own."""
_LOCAL = 0x02
_GROUP = 0x01


def vendor_of(mac: str) -> str:
    """The name for a MAC with colons; its first bits say who.

    A MAC that no vendor gave (a container's, a virtual machine's, a phone's random one) is told as
    such.
    """
    digits = mac.replace(":", "").upper()
    try:
        first = int(digits[:2], 16)
        if first & _GROUP:
            return ""
        if first & _LOCAL:
            return _made_up(digits)
        return next((name for n in _DIGITS if (name := _table().name(digits[:n]))), "")
    except ValueError:
        return ""


def _made_up(digits: str) -> str:
    known = (name for beginning, name in _MADE_UP.items() if digits.startswith(beginning))
    return next(known, "locally administered")


class _Table:
    """Sorted prefixes beside the number of each one's name: some 3 MB for 46,000."""

    def __init__(self, text: str) -> None:
        self._names: list[str] = []
        found: list[tuple[int, int]] = []
        for line in text.splitlines():
            name, _, prefixes = line.partition("\t")
            found += [(_key(prefix), len(self._names)) for prefix in prefixes.split()]
            self._names.append(name)
        found.sort()
        self._keys = array("Q", (key for key, _ in found))
        self._whose = array("L", (whose for _, whose in found))

    def name(self, prefix: str) -> str:
        key = _key(prefix)
        at = bisect_left(self._keys, key)
        if at == len(self._keys) or self._keys[at] != key:
            return ""
        return self._names[self._whose[at]]


def _key(prefix: str) -> int:
    """The digits as a number that tells 001122 from 0001122."""
    return int(prefix, 16) << 4 | len(prefix)


@cache
def _table() -> _Table:
    return _Table(lzma.decompress(TABLE.read_bytes()).decode())
