"""Pure. Which TCP ports a depth means, in the order in which a host is asked for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from mooring.discovery.scan.options import ScanOptions
from mooring.model.scan import Depth

LAST = 65535

BEST_KNOWN = 50
"""Of the usual ports those that are asked before all others. What is kept of a host that takes
connections on every port has them then, and half of what it is told by is still of no pattern."""

_STRIDE = 40503
"""Odd, and 65,536 over the golden ratio: neighbours among the numbers come far apart in time."""


@cache
def common() -> frozenset[int]:
    """The ports of ``common_ports.txt``."""
    from importlib import resources

    text = resources.files(__package__).joinpath("common_ports.txt").read_text("utf-8")
    found: set[int] = set()
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words:
            first, _, last = words[0].partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def asked(depth: Depth, options: ScanOptions) -> tuple[int, ...]:
    """All ports of a depth: the best known first, then the common ones, then the others."""
    if depth is Depth.NONE:
        return ()
    best = options.usual[:BEST_KNOWN]
    first = common() | frozenset(options.usual)
    more = range(1, LAST + 1) if depth is Depth.FULL else ()
    return (*best, *_scattered(first.difference(best)), *_scattered(set(more) - first))


def looked_at(depth: Depth, options: ScanOptions) -> tuple[tuple[int, int], ...]:
    """The same as ranges, inclusive and in order."""
    ranges: list[tuple[int, int]] = []
    for port in sorted(asked(depth, options)):
        if ranges and ranges[-1][1] == port - 1:
            ranges[-1] = (ranges[-1][0], port)
        else:
            ranges.append((port, port))
    return tuple(ranges)


def _scattered(ports: Iterable[int]) -> list[int]:
    """In an order of no pattern, the same each time: a host that takes connections on all ports
    of a range is seen as such early, and no range is asked in one go."""
    return sorted(ports, key=lambda port: port * _STRIDE & 0xFFFF)
