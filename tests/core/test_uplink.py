from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mooring.core import uplink as module
from mooring.core.errors import UsageError
from mooring.core.outbox import Outbox
from mooring.core.progress import Progress
from mooring.core.uplink import Fault, Uplink, UplinkError
from mooring.core.url import server_url
from mooring.model.report import Engines, RunMark
from tests.lab.server import Server, a_server

KEY = "mooring_0123abcd_s3cr3t-s3cr3t-s3cr3t"

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def server(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Server]:
    async with a_server(tmp_path / "server", sqlite_template) as running:
        yield running


@contextlib.asynccontextmanager
async def peer(speak: Speak) -> AsyncIterator[str]:
    """Something that listens and does what it is told to whoever connects; its address."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await speak(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            serving.discard(task)
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)


def says(data: bytes) -> Speak:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()

    return speak


def answer(status: int, body: bytes = b"", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def problem(status: int, detail: str) -> bytes:
    body = {"type": "about:blank", "title": "X", "status": status, "detail": detail}
    return answer(status, json.dumps(body).encode(), "application/problem+json")


async def failure(url: str, deadline: float = 0.3) -> UplinkError:
    """What comes of a report to that address."""
    async with Uplink(url, KEY) as uplink:
        with pytest.raises(UplinkError) as told:
            await uplink._post("reports", b"{}", deadline)
    return told.value


# --- a real server


async def test_a_report_is_stored_and_its_repetition_seen(server, tmp_path):
    outbox = Outbox(tmp_path / "box")
    outbox.put("containers", Engines(()))
    waiting = outbox.take()
    assert waiting is not None
    async with Uplink(server.url, await server.agent_key()) as uplink:
        first = await uplink.report(waiting.read())
        second = await uplink.report(waiting.read())
    assert (first.result, second.result) == ("stored", "seen")


async def test_a_poll_answers_at_once_when_it_may_not_wait_and_else_waits(server):
    async with Uplink(server.url, await server.agent_key()) as uplink:
        for wait in (0.0, 0.3):
            began = time.monotonic()
            work = await uplink.poll("box", "host", [], wait)
            assert (work.runs, work.cancelled) == ([], [])
            assert wait <= time.monotonic() - began < wait + 1


async def test_progress_makes_the_run_known(server):
    run = RunMark("01a1fc21-767b-7291-98a6-27af129db9ad", "start", time.time())
    async with Uplink(server.url, await server.agent_key()) as uplink:
        await uplink.progress(
            "box", run.id, Progress("running", "start", run.started_at, "interfaces", 1, 2)
        )
    [row] = await server.runs()
    assert (row["id"], row["state"], row["phase"], row["done"]) == (
        run.id,
        "running",
        "interfaces",
        1,
    )


async def test_a_wrong_key_is_a_fault_of_the_key_and_the_server_s_words_are_told(server):
    async with Uplink(server.url, KEY) as uplink:
        with pytest.raises(UplinkError, match="no such key") as told:
            await uplink.poll("box", "host", [], 0)
    assert told.value.fault is Fault.KEY


async def test_another_network_s_key_is_told_with_both_networks(server):
    async with Uplink(server.url, await server.agent_key("home")) as uplink:
        await uplink.poll("box", "host", [], 0)
    async with Uplink(server.url, await server.agent_key("Office")) as uplink:
        with pytest.raises(UplinkError, match=r"'Office'.*'host'.*'home'") as told:
            await uplink.poll("box", "host", [], 0)
    assert told.value.fault is Fault.KEY


async def test_what_is_no_report_is_refused_for_ever(server):
    async with Uplink(server.url, await server.agent_key()) as uplink:
        with pytest.raises(UplinkError, match="not JSON") as told:
            await uplink.report(b"{")
    assert told.value.fault is Fault.REFUSED


async def test_a_key_with_a_line_end_around_it_as_files_have_it_is_taken(server):
    async with Uplink(server.url, f" {await server.agent_key()}\n") as uplink:
        await uplink.poll("box", "host", [], 0)


# --- what else may listen there


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Fault.REFUSED),
        (401, Fault.KEY),
        (403, Fault.KEY),
        (404, Fault.AWAY),
        (405, Fault.AWAY),
        (408, Fault.AWAY),
        (409, Fault.AWAY),
        (413, Fault.REFUSED),
        (422, Fault.REFUSED),
        (429, Fault.AWAY),
        (500, Fault.AWAY),
        (502, Fault.AWAY),
        (503, Fault.AWAY),
        (301, Fault.AWAY),
        (307, Fault.AWAY),
    ],
)
async def test_each_status_is_the_fault_that_tells_what_to_do_next(status, fault):
    async with peer(says(problem(status, "because of this"))) as url:
        error = await failure(url)
    assert error.fault is fault
    assert error.why == f"HTTP {status}: because of this"
    assert url in error.attempted


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b"[]", b'{"detail": 5}', b"\xff\xfe", b"[" * 100_000]
)
async def test_an_error_without_our_words_is_told_by_its_number(body):
    async with peer(says(answer(502, body))) as url:
        assert (await failure(url)).why == "HTTP 502"


async def test_an_error_s_words_are_told_up_to_a_length():
    async with peer(says(problem(500, "x" * 100_000))) as url:
        assert len((await failure(url)).why) < 2000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>It works!</html>",
        b"[]",
        b"{}",
        b'{"result": 5}',
        b"\xff",
        b'{"result": "\xff"}',
        b"[" * 100_000,
    ],
)
async def test_an_answer_that_is_not_a_server_s_is_told_as_such(body):
    async with peer(says(answer(200, body))) as url, Uplink(url, KEY) as uplink:
        with pytest.raises(UplinkError, match="not one of a Mooring server") as told:
            await uplink.report(b"{}")
    assert told.value.fault is Fault.AWAY
    assert "--server" in told.value.remedy


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_an_answer_that_is_no_http_or_breaks_off_is_a_server_that_is_away(data):
    async with peer(says(data)) as url:
        assert (await failure(url)).fault is Fault.AWAY


async def test_nobody_there_is_a_server_that_is_away():
    async with peer(says(b"")) as url:
        pass
    assert (await failure(url)).fault is Fault.AWAY


async def test_a_server_that_accepts_and_never_answers_is_left_at_the_deadline():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with peer(hang) as url:
        began = time.monotonic()
        error = await failure(url, deadline=0.2)
        assert 0.2 <= time.monotonic() - began < 1
    assert error.fault is Fault.AWAY
    assert error.why == "no answer within 0.2 s"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", answer(200, b" " * 99)[:-99]])
async def test_a_server_that_answers_a_byte_now_and_then_is_left_at_the_deadline(start):
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(b"X")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with peer(trickle) as url:
        began = time.monotonic()
        assert (await failure(url, deadline=0.2)).fault is Fault.AWAY
        assert time.monotonic() - began < 1


async def test_a_server_that_reads_nothing_is_left_at_the_deadline():
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()
        await asyncio.Event().wait()

    async with peer(deaf) as url, Uplink(url, KEY) as uplink:
        with pytest.raises(UplinkError, match="no answer within") as told:
            await uplink._post("reports", b" " * 16 * 1024 * 1024, 0.2)
    assert told.value.fault is Fault.AWAY


async def test_an_answer_without_end_is_not_gathered():
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with peer(flood) as url:
        error = await failure(url, deadline=5)
    assert error.why == "the answer has no end"


async def test_a_packed_answer_is_not_unpacked():
    import gzip

    packed = gzip.compress(b" " * 50_000_000)
    body = answer(200, packed).replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n", 1)
    async with peer(says(body)) as url, Uplink(url, KEY) as uplink:
        with pytest.raises(UplinkError, match="not one of a Mooring server"):
            await uplink.report(b"{}")


async def test_the_deadline_of_a_poll_is_after_what_the_server_may_wait(monkeypatch):
    monkeypatch.setattr(module, "DEADLINE", 0.1)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(answer(200, b'{"runs": [], "cancelled": []}'))

    async with peer(late) as url, Uplink(url, KEY) as uplink:
        await uplink.poll("box", "host", [], 0.5)
        with pytest.raises(UplinkError, match=r"no answer within 0\.1 s"):
            await uplink.poll("box", "host", [], 0)


async def test_cancelling_ends_a_request_at_once():
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with peer(hang) as url, Uplink(url, KEY) as uplink, asyncio.timeout(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await uplink.report(b"{}")


# --- the key is nowhere to be read


@pytest.mark.parametrize(
    "key", ["", " ", f"{KEY}\nx-header: 1", f"{KEY}\r", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}\0"]
)
def test_what_cannot_be_a_key_is_told_without_it(key):
    if key.strip() == KEY:
        Uplink("http://127.0.0.1:1", key)
        return
    with pytest.raises(UsageError) as told:
        Uplink("http://127.0.0.1:1", key)
    assert "s3cr3t" not in repr(told.value) + str(told.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        problem(401, "no such key"),
        problem(500, "it broke"),
        answer(200, b"nonsense"),
        answer(500, b"nonsense"),
    ],
)
async def test_no_error_holds_the_key(data):
    async with peer(says(data)) as url, Uplink(url, KEY) as uplink:
        with pytest.raises(UplinkError) as told:
            await uplink.report(b"{}")
    error: BaseException | None = told.value
    while error is not None:
        assert "s3cr3t" not in repr(error) + str(error)
        error = error.__cause__ or error.__context__


# --- addresses


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("http://10.0.0.1:8930", "http://10.0.0.1:8930"),
        ("https://mooring.example", "https://mooring.example"),
        ("http://[fd00::1]:8930/", "http://[fd00::1]:8930"),
        ("https://example.org/mooring/", "https://example.org/mooring"),
    ],
)
def test_an_address_is_taken_as_it_is_typed(typed, understood):
    assert server_url(typed) == understood
    assert Uplink(typed, KEY).server == understood


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "10.0.0.1",
        "10.0.0.1:8930",
        "localhost:8930",
        "ftp://10.0.0.1",
        "http://",
        "http://:8930",
        "http://10.0.0.1:99999",
        "http://10.0.0.1:0",
        "http://10.0.0.1:port",
        "http://[fd00::1",
        "http://10.0.0.1:8930?x=1",
        "http://10.0.0.1:8930#x",
        "http://a b:8930",
        "http://host\n:8930",
    ],
)
def test_what_is_no_address_is_an_error_that_shows_it_and_an_example(typed):
    with pytest.raises(UsageError) as told:
        Uplink(typed, KEY)
    assert repr(typed) in told.value.attempted
    assert "--server" in told.value.remedy


def test_an_address_with_a_password_is_not_shown():
    with pytest.raises(UsageError) as told:
        server_url("http://user:s3cr3t@10.0.0.1:8930")
    assert "s3cr3t" not in str(told.value)
