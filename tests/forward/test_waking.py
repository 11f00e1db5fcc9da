"""A machine that slept, or has other addresses, is noticed within a moment."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from mooring.core.tasks import Tasks
from mooring.forward import waking


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "EVERY", 0.01)


async def test_a_jump_of_the_clock_that_counts_sleep_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asleep = 100.0
    monkeypatch.setattr(waking, "_asleep", lambda: asleep)
    async with Tasks("test") as tasks:
        waiting = [tasks.start("a", waking.slept()), tasks.start("b", waking.another_network())]
        await asyncio.sleep(0.05)
        asleep += 1.0
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        asleep += 1.5
        assert await asyncio.gather(*waiting) == ["this machine slept"] * 2


async def test_an_address_more_or_less_is_noticed_and_link_local_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def address(text: str) -> Any:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        return SimpleNamespace(address=text, family=family)

    addresses = {"eth0": [address("192.0.2.7"), address("fe80::1%eth0")], "down0": []}
    up = {"eth0": SimpleNamespace(isup=True), "down0": SimpleNamespace(isup=False)}
    monkeypatch.setattr(waking.psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(waking.psutil, "net_if_stats", lambda: up)
    async with Tasks("test") as tasks:
        waiting = tasks.start("network", waking.another_network())
        await asyncio.sleep(0.05)
        addresses["eth0"].append(address("169.254.3.4"))
        addresses["down0"].append(address("192.0.2.9"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        addresses["eth0"].append(address("198.51.100.4"))
        assert await waiting == "this machine's addresses changed"


async def test_this_machine_as_it_is_has_addresses_and_nothing_is_noticed() -> None:
    assert waking._addresses()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waking.another_network(), 0.1)
