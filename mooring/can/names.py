"""Pure. What interfaces are called, and the mark by which we know our own. Asks no kernel."""

from __future__ import annotations

import re
from collections.abc import Container

from mooring.core.errors import MooringError

MAX_NAME = 15
"""Characters of an interface's name (IFNAMSIZ less its NUL)."""
MAX_PREFIX = 13
"""Of a prefix to which Docker adds a number of up to two digits."""

_HARDWARE = re.compile(r"(slcan|can)[0-9]+")
"""How the kernel calls CAN hardware (drivers/net/can/dev: ``can%d``; slcan before 6.0)."""

_MARK = "mooring:"
_BUS = f"{_MARK}bus"
_ENDPOINT = f"{_MARK}endpoint:"

_WIDTHS = (10, MAX_NAME - 2)
"""Digits of an endpoint's id in its interfaces' names: at first, and when these are taken."""


def looks_like_hardware(device: str) -> bool:
    """Whether a device that is not there would be hardware, by its name."""
    return _HARDWARE.fullmatch(device) is not None


def pair_names(endpoint: str, taken: Container[str]) -> tuple[str, str]:
    """Names for the host's end and the container's end of a pair, which nothing has yet.

    Raises:
        MooringError: the longer names are taken too; it says by which name.
    """
    for width in _WIDTHS:
        host, peer = f"vx{endpoint[:width]}", f"vy{endpoint[:width]}"
        found = [name for name in (host, peer) if name in taken]
        if not found:
            return host, peer
    raise MooringError(
        f"naming the interfaces of endpoint {endpoint[:12]}",
        f"an interface called {found[0]} is there already and is not this endpoint's",
        "see whose it is with `ip -d link`, and remove or rename it",
    )


def bus_mark() -> str:
    """The alias of a bus's interface that we made."""
    return _BUS


def is_bus_mark(alias: str) -> bool:
    return alias == _BUS


def endpoint_mark(endpoint: str, network: str) -> str:
    """The alias of a pair's end on the host; at most 255 characters (IFALIASZ)."""
    return f"{_ENDPOINT}{endpoint}:{network}"


def marked_endpoint(alias: str) -> str | None:
    """The id of the endpoint whose mark this is; None for everything that is not a pair of ours."""
    if not alias.startswith(_ENDPOINT):
        return None
    return alias.removeprefix(_ENDPOINT).partition(":")[0] or None


def marked_network(alias: str) -> str | None:
    """The id of the network to whose endpoint a mark belongs."""
    if not alias.startswith(_ENDPOINT):
        return None
    return alias.removeprefix(_ENDPOINT).partition(":")[2] or None
