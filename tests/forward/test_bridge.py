"""A client joined with a channel whose remote side is quick."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mooring.forward.bridge import Bridge, Shared
from mooring.forward.transport import Lost, Tally


async def test_a_remote_side_that_ends_before_the_client_is_joined_ends_it_too() -> None:
    client, ours = socket.socketpair()
    tally = Tally()
    with client:
        bridge = Bridge(ours, tally, Shared(), lambda: "")
        bridge.far.eof_received()
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(bridge.join())
            assert await asyncio.to_thread(client.recv, 1) == b""
            client.shutdown(socket.SHUT_WR)
            bridge.far.connection_lost(None)
    assert tally.empty == 1
    assert ours.fileno() == -1


async def test_a_client_is_left_to_the_next_link_while_nothing_was_carried() -> None:
    client, ours = socket.socketpair()
    dead = ""
    with client, ours:
        bridge = Bridge(ours, Tally(), Shared(), lambda: dead)

        async def cut() -> None:
            nonlocal dead
            dead = "it was cut"
            bridge.far.connection_lost(None)

        async with asyncio.timeout(30):
            with pytest.raises(Lost, match="it was cut"):
                await asyncio.gather(bridge.join(), cut())
        ours.send(b"from another link")
        assert client.recv(100) == b"from another link"
