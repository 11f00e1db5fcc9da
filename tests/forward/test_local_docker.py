"""The remote Docker at a local socket: requests, hijacked streams, and none while it is away."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mooring.core.tasks import Tasks
from mooring.forward import local_docker
from mooring.forward.doors import LONGEST
from mooring.forward.local_docker import LocalDocker, path_for
from mooring.forward.transport import Refused, Stream
from tests.forward.fakes import until

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


class Daemon:
    """A daemon that answers one request, or upgrades and then repeats what it hears.

    It says "bye" when the client has half-closed, as a container does at the end of its input.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = b""
        self.ended = 0
        self.stalls = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if b"Upgrade" not in request:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
                await writer.drain()
            else:
                writer.write(UPGRADED)
                if self.stalls:
                    await asyncio.sleep(60)
                while data := await reader.read(65536):
                    self.heard += data
                    writer.write(data)
                    await writer.drain()
                writer.write(b"bye")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.ended += 1
            writer.close()


class Lab:
    def __init__(self, folder: Path) -> None:
        self.daemon = Daemon(folder / "remote.sock")
        self.link = asyncio.Event()
        self.refuses: Refused | None = None
        self.local = LocalDocker(folder / "local.sock", self._docker)

    async def _docker(self) -> Stream:
        await self.link.wait()
        if self.refuses:
            raise self.refuses
        return await asyncio.open_unix_connection(self.daemon.path)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.local.path)

    async def upgraded(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self.connect()
        writer.write(b"POST /exec/1/start HTTP/1.1\r\nUpgrade: tcp\r\n\r\n")
        assert await reader.readexactly(len(UPGRADED)) == UPGRADED
        return reader, writer


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    made.link.set()
    server = await asyncio.start_unix_server(made.daemon.serve, made.daemon.path)
    async with Tasks("test") as tasks:
        tasks.start("local", made.local.run())
        await until(made.local.path.exists)
        yield made
    server.close()


async def ping(lab: Lab) -> bytes:
    reader, writer = await lab.connect()
    writer.write(b"GET /_ping HTTP/1.1\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_request_and_its_answer_pass(lab: Lab) -> None:
    assert await ping(lab) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


async def test_a_hijacked_stream_passes_both_ways_at_once(lab: Lab) -> None:
    reader, writer = await lab.upgraded()
    for word in (b"one", b"two", b"three"):
        writer.write(word)
        assert await reader.readexactly(len(word)) == word
    writer.close()


async def test_the_end_of_the_input_passes_and_what_is_answered_to_it_comes_back(lab: Lab) -> None:
    reader, writer = await lab.upgraded()
    writer.write(b"last words")
    writer.write_eof()
    assert await reader.read() == b"last wordsbye"
    assert lab.daemon.heard == b"last words"
    writer.close()


async def test_a_lot_passes_unchanged(lab: Lab) -> None:
    reader, writer = await lab.upgraded()
    data = bytes(range(256)) * 16_384
    writer.write(data)
    writer.write_eof()
    assert await reader.read() == data + b"bye"
    writer.close()


async def test_a_daemon_that_does_not_read_stops_the_client_and_nothing_piles_up(
    lab: Lab,
) -> None:
    lab.daemon.stalls = True
    _, writer = await lab.upgraded()
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pour(), 0.2)
    assert sent < 4_000_000
    writer.transport.abort()


async def test_a_client_that_goes_away_ends_the_stream_there(lab: Lab) -> None:
    _, writer = await lab.upgraded()
    writer.transport.abort()
    await until(lambda: lab.daemon.ended == 1)
    await until(lambda: lab.local._clients == 0)


async def test_while_the_link_is_down_a_client_is_held_and_then_served(lab: Lab) -> None:
    lab.link.clear()
    async with Tasks("client") as tasks:
        asking = tasks.start("ping", ping(lab))
        await asyncio.sleep(0.05)
        assert not asking.done()
        lab.link.set()
        assert (await asking).endswith(b"OK")


async def test_a_client_that_was_held_for_too_long_is_told_why_in_dockers_own_way(
    lab: Lab,
) -> None:
    lab.refuses = Refused("reaching Docker on ssh://build", "it was not back within 30 s")
    answer = await ping(lab)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    why = "reaching Docker on ssh://build: it was not back within 30 s"
    assert json.loads(body) == {"message": f"mooring: {why}"}


async def test_one_client_more_than_the_bound_is_told_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_docker, "MAX_CLIENTS", 1)
    _, writer = await lab.upgraded()
    assert b"1 connections are open already" in await ping(lab)
    writer.close()
    await until(lambda: lab.local._clients == 0)
    assert (await ping(lab)).endswith(b"OK")


async def test_a_client_that_says_nothing_and_is_turned_away_does_not_stay(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_docker, "_REQUEST", 0.02)
    lab.refuses = Refused("reaching Docker", "no")
    reader, writer = await lab.connect()
    assert b"503" in await reader.read()
    writer.close()


async def test_the_socket_is_this_users_alone_and_is_left_behind_by_nobody(tmp_path: Path) -> None:
    async def never() -> Stream:
        raise Refused("reaching Docker", "no")

    docker: Callable[[], Awaitable[Stream]] = never
    local = LocalDocker(tmp_path / "docker.sock", docker)
    async with Tasks("test") as tasks:
        tasks.start("local", local.run())
        await until(local.path.exists)
        assert stat.S_IMODE(local.path.stat().st_mode) == 0o600
        assert local.url == f"unix://{tmp_path}/docker.sock"
    assert not local.path.exists()


def test_a_host_with_a_long_name_gets_a_short_path() -> None:
    state = Path("/home/somebody/.local/share/mooring/forward")
    assert path_for(state, state / "hosts" / "build") == state / "hosts" / "build" / "docker.sock"
    long = path_for(state, state / "hosts" / ("x" * 80))
    assert long.parent == state
    assert len(str(long)) < LONGEST
    assert long != path_for(state, state / "hosts" / ("y" * 80))
