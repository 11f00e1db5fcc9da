"""The client of an engine's API, against engines that answer, hang, lie and flood."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mooring.core import docker
from mooring.core.docker import Client, EngineError
from mooring.model.container import EngineState
from tests.fakes.engines import MISBEHAVING, RECORDED, FakeEngine, Mode, engine

DEADLINE = 0.4
PATIENCE = 60.0
"""The deadline for who must be found out by what it sends, and not by the time that it takes."""

HANGING = {Mode.HANG, Mode.HANG_LATER, Mode.NEVER_ACCEPT, Mode.TRICKLE}


@pytest.fixture
def path() -> Iterator[Path]:
    """Of a socket; short, for it has at most 107 bytes."""
    with TemporaryDirectory(prefix="moor-t-", dir="/tmp") as folder:
        yield Path(folder) / "docker.sock"


@asynccontextmanager
async def client(
    mode: Mode, path: Path, patience: float = PATIENCE
) -> AsyncIterator[tuple[Client, FakeEngine]]:
    async with engine(mode, path) as fake:
        yield Client(fake.url, deadline=DEADLINE if mode in HANGING else patience), fake


async def failure(client: Client) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await client.containers()
    return caught.value


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


async def test_a_healthy_engine_is_asked_in_the_version_that_it_speaks(path: Path) -> None:
    async with client(Mode.HEALTHY, path) as (docker, fake):
        assert (await docker.version()).spoken == "1.41"
        (containers, _), (networks, _) = await asyncio.gather(
            docker.containers(), docker.networks()
        )
    assert (len(containers), len(networks)) == (30, 6)
    assert fake.requests[0] == "GET /version HTTP/1.1"
    assert sorted(fake.requests[1:]) == [
        "GET /v1.41/containers/json?all=1 HTTP/1.1",
        "GET /v1.41/networks HTTP/1.1",
    ]


async def test_a_list_asks_for_the_version_first_if_nobody_has(path: Path) -> None:
    async with client(Mode.HEALTHY, path) as (docker, fake):
        await docker.containers()
        await docker.networks()
    assert [line.split()[1] for line in fake.requests] == [
        "/version",
        "/v1.41/containers/json?all=1",
        "/v1.41/networks",
    ]


@pytest.mark.parametrize("mode", MISBEHAVING)
async def test_an_engine_that_misbehaves_is_told_within_the_deadline(
    mode: Mode, path: Path
) -> None:
    async with client(mode, path) as (docker, _):
        with at_most(DEADLINE + 20):
            error = await failure(docker)
    hanging = mode in HANGING
    assert error.state is (EngineState.TIMED_OUT if hanging else EngineState.BROKEN)
    assert error.socket == f"unix://{path}"
    assert error.attempted.startswith(f"asking unix://{path} for /v")
    assert error.expected in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (Mode.HANG, "it accepted the connection and did not give one"),
        (Mode.NEVER_ACCEPT, "it did not accept the connection"),
        (Mode.GARBAGE, "expected an answer in HTTP"),
        (Mode.NOT_JSON, "got what is not JSON: '<html>It works!</html>'"),
        (Mode.WRONG_SHAPE, "got other JSON"),
        (Mode.ERROR, "got HTTP 500: database is locked"),
        (Mode.ENDLESS, "at most 16777216 bytes, but got more"),
        (Mode.TINY_CHUNKS, "at most 20000 chunks, but got more"),
    ],
)
async def test_the_error_says_what_came_instead(mode: Mode, told: str, path: Path) -> None:
    async with client(mode, path) as (docker, _):
        assert told in str(await failure(docker))


@pytest.mark.parametrize("mode", [Mode.ENDLESS, Mode.TINY_CHUNKS, Mode.TRICKLE, Mode.NEVER_ACCEPT])
async def test_no_engine_holds_up_the_event_loop(mode: Mode, path: Path) -> None:
    waits = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            waits.append(time.perf_counter() - before)
            await asyncio.sleep(0.002)

    async with client(mode, path, DEADLINE) as (docker, _), asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        await failure(docker)
        ticking.cancel()
    # The fake itself shares the loop; what is told apart here is a busy machine
    # from a loop that is held until the deadline.
    assert sorted(waits)[-2] < DEADLINE / 2


async def test_waiting_for_a_full_backlog_costs_no_processor(path: Path) -> None:
    async with client(Mode.NEVER_ACCEPT, path) as (docker, _):
        before = time.process_time()
        await failure(docker)
        assert time.process_time() - before < DEADLINE / 4


async def test_a_backlog_that_clears_in_time_is_waited_for(path: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as other:
        server.bind(str(path))
        server.listen(0)
        other.connect(str(path))
        connecting = asyncio.wait_for(docker.unix(str(path)), 5)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(connecting)
            await asyncio.sleep(0.1)
            assert not task.done()
            accepted, _ = await loop.run_in_executor(None, server.accept)
        task.result()[1].close()
        accepted.close()


async def test_a_caller_that_gives_up_leaves_no_connection(path: Path) -> None:
    async with client(Mode.HANG, path) as (_, fake):
        patient = Client(fake.url, deadline=60)
        with at_most(1), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await patient.version()
        assert fake.connections == 1
        await asyncio.sleep(0.05)
        assert fake.connections == 0


# --- failing to connect


async def test_a_missing_socket_is_absent(path: Path) -> None:
    error = await failure(Client(f"unix://{path}"))
    assert error.state is EngineState.ABSENT
    assert "no such file" in str(error)


async def test_a_socket_in_a_folder_that_is_a_file_is_absent(path: Path) -> None:
    path.touch()
    assert (await failure(Client(f"unix://{path}/x.sock"))).state is EngineState.ABSENT


async def test_a_socket_of_a_dead_daemon_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    error = await failure(Client(f"unix://{path}"))
    assert error.state is EngineState.REFUSED
    assert "systemctl start docker" in error.remedy


async def test_a_regular_file_is_refused(path: Path) -> None:
    path.touch()
    assert (await failure(Client(f"unix://{path}"))).state is EngineState.REFUSED


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may open every socket; a test as nobody is real"
)
async def test_a_socket_of_somebody_else_is_denied(path: Path) -> None:
    async with engine(Mode.HEALTHY, path) as fake:
        path.chmod(0)
        error = await failure(Client(fake.url))
    assert error.state is EngineState.DENIED
    assert "docker" in error.remedy


async def test_a_socket_that_is_no_stream_is_broken(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        assert (await failure(Client(f"unix://{path}"))).state is EngineState.BROKEN


async def test_a_path_longer_than_a_socket_has_is_broken() -> None:
    assert (await failure(Client("unix:///" + "x" * 200))).state is EngineState.BROKEN


async def test_a_tcp_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        error = await failure(Client(url))
    assert error.state is EngineState.REFUSED
    assert "connection refused" in str(error)


async def test_an_engine_is_asked_over_tcp_too() -> None:
    fake = FakeEngine(Mode.HEALTHY, Path(), RECORDED)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            assert (await Client(f"tcp://{host}:{port}").version()).version == "20.10.24+dfsg1"


async def test_an_engine_that_wants_tls_is_told_with_its_remedy() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = b"Client sent an HTTP request to an HTTPS server.\n"
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n" + text)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        error = await failure(Client(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert (error.state, "TLS" in error.remedy) == (EngineState.BROKEN, True)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "docker",
        "/var/run/docker.sock",
        "unix://relative",
        "unix:///nul\0",
        "fd://",
        "npipe:////./pipe/docker_engine",
        "https://127.0.0.1:2376",
        "tcp://127.0.0.1:99999",
        "tcp://[::1",
        "ssh://user@host",
    ],
)
def test_an_address_that_nobody_understands_is_broken(address: str) -> None:
    with pytest.raises(EngineError) as caught:
        Client(address)
    assert caught.value.state is EngineState.BROKEN
    assert "unix:///PATH or tcp://HOST:PORT" in str(caught.value)


def test_an_engine_behind_ssh_points_to_forwarding() -> None:
    with pytest.raises(EngineError, match="mooring forward run ssh://user@host"):
        Client("ssh://user@host")


async def test_a_host_that_is_no_name_is_absent() -> None:
    assert (await failure(Client("tcp://.:2375"))).state is EngineState.ABSENT


# --- how to connect is a parameter


async def test_an_engine_is_asked_over_any_stream(path: Path) -> None:
    connected = 0

    async def connect() -> docker.Stream:
        nonlocal connected
        connected += 1
        return await docker.unix(str(path))

    async with engine(Mode.HEALTHY, path):
        far = Client("ssh://user@far/var/run/docker.sock", connect)
        containers, _ = await far.containers()
    assert (len(containers), connected) == (30, 2)


async def test_the_deadline_counts_for_connecting_too() -> None:
    async def connect() -> docker.Stream:
        await asyncio.Event().wait()
        raise AssertionError

    with at_most(DEADLINE + 20):
        error = await failure(Client("far", connect, deadline=DEADLINE))
    assert error.state is EngineState.TIMED_OUT
