"""Notices that this machine slept, or that its network is another now; says so, does nothing."""

from __future__ import annotations

import asyncio
import time

import psutil

SLEPT = 2.0
"""Seconds that the clock must have jumped for us to have slept."""
EVERY = 1.0


async def slept() -> str:
    """Wait until the machine has slept; answers that in words."""
    before = _asleep()
    while True:
        await asyncio.sleep(EVERY)
        if _asleep() - before > SLEPT:
            return "this machine slept"


def _asleep() -> float:
    """Seconds that the machine has slept: one clock counts them and the other does not."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time() - time.monotonic()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


async def another_network() -> str:
    """Wait until this machine slept or has other addresses; answers which, in words."""
    # In a thread: a machine with a thousand interfaces takes its time to tell.
    before, addresses = _asleep(), await asyncio.to_thread(_addresses)
    while True:
        await asyncio.sleep(EVERY)
        if _asleep() - before > SLEPT:
            return "this machine slept"
        if await asyncio.to_thread(_addresses) != addresses:
            return "this machine's addresses changed"


def _addresses() -> frozenset[tuple[str, str]]:
    """Those of interfaces that are up; link-local ones come and go by themselves."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    return frozenset(
        (name, address.address)
        for name, addresses in psutil.net_if_addrs().items()
        if name in up
        for address in addresses
        if address.family.name in ("AF_INET", "AF_INET6")
        and not address.address.startswith(("fe80:", "169.254."))
    )
