"""A server on a real socket: streams, bodies that come in pieces, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mooring.core.errors import MooringError
from mooring.model import wire
from mooring.model.event import Changed, Entity, Operation
from mooring.model.report import Report
from mooring.server.serve import GRACE, listen, serving
from mooring.server.state import State
from tests.server.test_lists import add_hosts
from tests.server.world import World, any_database, bearer, machine, wide

pytestmark = any_database


@pytest.fixture
async def served(world: World) -> AsyncIterator[World]:
    """The same world, whose requests go over a socket."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with contextlib.closing(listener):
        async with serving(world.state, listener):
            await world.http.aclose()
            world.http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)
            yield world
            await world.http.aclose()


@contextlib.asynccontextmanager
async def stream(world: World) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """A page's live stream: events with their data."""
    headers = await world.headers("viewer")
    async with world.http.stream("GET", "/api/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"

        async def events() -> AsyncIterator[tuple[str, Any]]:
            name = ""
            async for line in answer.aiter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)

        yield events()


async def test_a_page_hears_of_a_report_once_it_is_stored(served: World) -> None:
    agent = await served.agent()
    async with stream(served) as events:
        assert await anext(events) == ("resync", {})
        await agent.report(machine())
        (host,) = await served.items("hosts")
        heard = []
        async with asyncio.timeout(5):
            async for name, data in events:
                assert name == "changed"
                heard.append(data)
                if data["entity"] == "host":
                    break
        assert heard[-1] == {
            "entity": "host",
            "operation": "created",
            "id": host["id"],
            "network_id": served.home,
        }


async def test_a_page_that_leaves_is_forgotten(served: World) -> None:
    before = len(served.state.bus._subscriptions)
    async with stream(served) as events:
        await anext(events)
        assert len(served.state.bus._subscriptions) == before + 1
    async with asyncio.timeout(5):
        while len(served.state.bus._subscriptions) > before:
            await asyncio.sleep(0.01)


async def ends_within(seconds: float, state: State, *, port: int, inside: Any) -> float:
    """How long a server takes to end in whose block ``inside`` does something."""
    listener = listen("127.0.0.1", port)
    with contextlib.closing(listener):
        async with contextlib.AsyncExitStack() as stack, serving(state, listener):
            await inside(stack, listener.getsockname()[1])
            began = time.monotonic()
        took = time.monotonic() - began
    assert took < seconds
    return took


async def test_streams_and_waiting_polls_do_not_hold_up_the_end(world: World) -> None:
    agent = await world.agent()
    viewer = await world.headers("viewer")
    ended: list[str] = []

    async def inside(stack: contextlib.AsyncExitStack, port: int) -> None:
        http = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10)
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())

        async def page() -> None:
            async with http.stream("GET", "/events", headers=viewer) as answer:
                ready.release()
                # It ends as a stream should end, and not by a connection that breaks.
                async for _ in answer.aiter_bytes():
                    pass
            ended.append("page")

        async def poll() -> None:
            body = {"outbox": agent.outbox, "version": "1", "name": "a", "wait_s": 30}
            ready.release()
            answer = await http.post("/agents/poll", json=body, headers=bearer(agent.key))
            assert answer.json() == {"runs": [], "cancelled": [], "orders": {}}
            ended.append("poll")

        ready = asyncio.Semaphore(0)
        for _ in range(5):
            group.create_task(page())
        group.create_task(poll())
        for _ in range(6):
            await ready.acquire()
        await asyncio.sleep(0.2)

    await ends_within(1.0, world.state, port=0, inside=inside)
    assert sorted(ended) == ["page"] * 5 + ["poll"]


@pytest.mark.slow
async def test_a_page_that_does_not_read_does_not_hold_up_the_end(world: World) -> None:
    key = await world.key("viewer")

    async def inside(stack: contextlib.AsyncExitStack, port: int) -> None:
        deaf = stack.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", port))
        request = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(deaf, request.encode())
        await asyncio.sleep(0.2)
        # More than all buffers on the way hold.
        for n in range(30):
            world.state.tell(
                Changed(Entity.HOST, Operation.CHANGED, f"{n}-{i}-{'x' * 4000}") for i in range(99)
            )
            await asyncio.sleep(0.25 if n < 2 else 0.03)

    await ends_within(GRACE + 0.9, world.state, port=0, inside=inside)


@pytest.mark.slow
async def test_idle_and_half_open_connections_do_not_hold_up_the_end(world: World) -> None:
    async def inside(stack: contextlib.AsyncExitStack, port: int) -> None:
        half = "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
        for said in (b"", b"GET / HT", half.encode()):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(said)
        await asyncio.sleep(0.1)

    await ends_within(GRACE + 0.9, world.state, port=0, inside=inside)


async def test_the_port_is_free_when_the_server_has_ended(world: World, state: State) -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with contextlib.closing(listener):
        async with serving(world.state, listener):
            with pytest.raises(MooringError) as refused:
                listen("127.0.0.1", port)
    assert refused.value.attempted == f"listening on 127.0.0.1 port {port}"
    assert refused.value.why == "address already in use"
    assert "--port" in refused.value.remedy
    listen("127.0.0.1", port).close()


async def test_an_address_that_is_not_this_machines_is_told(migrated_url: str) -> None:
    with pytest.raises(MooringError) as refused:
        listen("203.0.113.7", 0)
    assert refused.value.attempted == "listening on 203.0.113.7 port 0"
    assert refused.value.why == "cannot assign requested address"


async def test_a_report_that_is_too_large_and_comes_in_pieces_is_refused(served: World) -> None:
    agent = await served.agent()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b" " * 2**18

    answer = await agent.post("reports", content=pieces())
    assert answer.status_code == 413
    assert "a report has at most 16777216 bytes, and this one has more" in answer.text


async def test_a_report_that_declares_too_much_is_refused_before_it_is_sent(
    served: World,
) -> None:
    agent = await served.agent()
    port = served.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 16777217\r\n"
        b"Authorization: Bearer " + agent.key.encode() + b"\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b"413" in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.slow
async def test_the_loop_is_not_held_while_a_thousand_interfaces_are_stored(
    served: World, record_property: Any
) -> None:
    """Everybody else is answered in between."""
    agent = await served.agent()
    data = wire.encode(Report("machine", agent.outbox, 1, 0.0, wide(1000)))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            # Of this thread: what else the machine does is no holding.
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    # As `mooring server` does: what pytest has loaded is not to be searched for garbage.
    gc.collect()
    gc.freeze()
    watching = asyncio.ensure_future(watch())  # noqa: TID251
    began = time.perf_counter()
    answer = await agent.post("reports", content=data)
    took = time.perf_counter() - began
    watching.cancel()
    gc.unfreeze()
    assert answer.json()["result"] == "stored"
    record_property("stored_ms", round(took * 1000))
    record_property("held_ms", round(longest * 1000))
    print(f"stored in {took * 1000:.0f} ms, loop held for at most {longest * 1000:.0f} ms")
    assert longest < 0.2


@pytest.mark.slow
async def test_a_slow_reader_holds_no_connection_to_the_database(
    served: World, tmp_path: Path
) -> None:
    """More lists are being read slowly than there are connections, and others are answered."""
    await add_hosts(served, [f"host{n:04}{'x' * 200}" for n in range(1000)])
    key = await served.key("viewer")
    port = served.http.base_url.port
    request = (
        f"GET /api/v1/hosts?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.setblocking(False)
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(slow, request.encode())
        async with asyncio.timeout(15):
            while True:
                answer = await served.ask("GET", "hosts", params={"limit": 1})
                assert answer.status_code == 200
                if served.state.database.engine.pool.checkedout() == 0:
                    break
                await asyncio.sleep(0.05)
