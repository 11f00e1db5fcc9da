"""Looking whether a host that was lost can be reached again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from mooring.core.tasks import Tasks
from mooring.forward import life as lives
from mooring.forward.reach import Reach, dial
from mooring.forward.transport import Lost, Peer, Silent
from tests.forward.fakes import free_port, until

PEER = ("192.0.2.1", 22)
RESET = Lost("keeping the link", "reset by peer")
SILENT = Silent("running a command", "no answer within 5 s")


class Network:
    """Between here and the host: answers, refuses or swallows what is sent."""

    def __init__(self) -> None:
        self.up = True
        self.swallows = False
        self.looks = 0

    async def dial(self, peer: Peer) -> bool:
        assert peer == PEER
        self.looks += 1
        if not self.up and self.swallows:
            await asyncio.sleep(3600)
        return self.up


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(lives, "LOOK_AFTER", 0.05)
    monkeypatch.setattr(lives, "look_every", lambda away: 0.01)
    return Network()


@pytest.fixture
async def reach(network: Network) -> AsyncIterator[Reach]:
    made = Reach(network.dial)
    made.linked(PEER)
    async with Tasks("test") as tasks:
        tasks.supervise("reach", made.turn)
        yield made


@pytest.mark.parametrize("swallows", [True, False], ids=["dropped", "rejected"])
async def test_a_host_that_is_reached_after_it_was_not_is_back(
    network: Network, reach: Reach, swallows: bool
) -> None:
    network.up, network.swallows = False, swallows
    reach.lost(RESET)
    await until(lambda: network.looks >= 3)
    assert not reach.back.is_set()
    network.up = True
    await asyncio.wait_for(reach.back.wait(), 10)
    looks = network.looks
    await asyncio.sleep(0.1)
    assert network.looks == looks


async def test_a_host_that_can_be_reached_is_looked_at_once_and_tells_nothing(
    network: Network, reach: Reach
) -> None:
    for tries in range(1, 4):
        reach.lost(RESET)
        await until(lambda n=tries: network.looks == n)
        await asyncio.sleep(0.05)
        assert network.looks == tries
        assert not reach.back.is_set()


async def test_a_silent_link_to_a_host_that_is_reached_again_is_a_change(
    network: Network, reach: Reach
) -> None:
    reach.lost(SILENT)
    await asyncio.wait_for(reach.back.wait(), 10)
    assert network.looks == 1


async def test_what_was_missed_during_one_try_counts_in_the_next(
    network: Network, reach: Reach
) -> None:
    network.up = False
    reach.lost(RESET)
    await until(lambda: network.looks >= 2)
    reach.lost(RESET)
    network.up = True
    await asyncio.wait_for(reach.back.wait(), 10)


async def test_a_link_that_is_made_at_once_is_spared_the_look(
    network: Network, reach: Reach
) -> None:
    reach.lost(RESET)
    await asyncio.sleep(0)
    reach.linked(PEER)
    await asyncio.sleep(0.15)
    assert network.looks == 0


async def test_nobody_is_looked_for_while_a_link_or_a_person_is_waited_for(
    network: Network, reach: Reach
) -> None:
    network.up = False
    for over in (reach.rest, lambda: reach.linked(PEER)):
        reach.lost(RESET)
        await until(lambda n=network.looks: network.looks > n + 1)
        over()
        await asyncio.sleep(0.02)
        looks = network.looks
        await asyncio.sleep(0.1)
        assert network.looks == looks
        assert not reach.back.is_set()


async def test_where_a_command_of_the_user_s_connects_there_is_nobody_to_look_for(
    network: Network, reach: Reach
) -> None:
    reach.linked(None)
    reach.lost(SILENT)
    await asyncio.sleep(0.15)
    assert network.looks == 0


async def test_a_look_is_a_connection_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert await dial(listening.getsockname()[:2])
        looked, _ = listening.accept()
        with looked:
            looked.settimeout(10)
            assert await asyncio.to_thread(looked.recv, 1) == b""
    assert not await dial(("127.0.0.1", free_port()))
