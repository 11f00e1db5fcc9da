"""Docker's stream of events: hints, of every engine, in any pieces, until it ends."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import unquote

import pytest

from mooring.core import docker_events
from mooring.core.docker_events import MAX_LINE, EngineEvent, StreamEnded, events, parse

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
START = EngineEvent("container", "start", "c1", 1_700_000_000_000_000_001)


def line(action: str = "start", **more: object) -> bytes:
    event = {
        "Type": "container",
        "Action": action,
        "Actor": {"ID": "c1", "Attributes": {"name": "web"}},
        "time": 1_700_000_000,
        "timeNano": START.at,
        **more,
    }
    return json.dumps(event).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Pieces:
    """A reader that gives what was laid in, piece by piece, then the end."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)

    async def read(self, n: int = -1, /) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


class Sent:
    """A writer that keeps what was written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data

    async def drain(self) -> None:
        return None

    def close(self) -> None:
        return None


async def all_of(
    *pieces: bytes | Exception,
) -> tuple[list[EngineEvent], StreamEnded, int, bytes]:
    """The events until the end, how it ended, how often headers came, and what was asked."""
    sent, found, answers = Sent(), [], 0

    def answered() -> None:
        nonlocal answers
        answers += 1

    stream = events(Pieces(*pieces), sent, "/v1.41/events", answered)
    while True:
        try:
            found.append(await anext(stream))
        except StreamEnded as ended:
            return found, ended, answers, sent.data


def test_the_events_of_containers_and_networks_are_asked_for_from_where_they_stopped() -> None:
    path = docker_events.request("1.41", None)
    assert unquote(path) == '/v1.41/events?filters={"type": ["container", "network"]}'
    assert " " not in path
    since = docker_events.request("1.41", 1_700_000_000_000_000_001)
    assert since == f"{path}&since=1700000000.000000001"


async def test_events_come_as_they_are_sent_and_a_clean_end_is_known() -> None:
    data = HEAD + chunk(line() + b"\n") + chunk(line("die") + b"\n") + b"0\r\n\r\n"
    found, ended, answers, asked = await all_of(data)
    assert found == [START, EngineEvent("container", "die", "c1", START.at)]
    assert ended.clean
    assert answers == 1
    assert asked.startswith(b"GET /v1.41/events HTTP/1.1\r\n")


async def test_it_does_not_matter_in_which_pieces_they_come() -> None:
    data = HEAD + chunk(line() + b"\n" + line("die")) + chunk(b"\n" + line("stop") + b"\n")
    whole, _, _, _ = await all_of(data)
    single, _, _, _ = await all_of(*(data[n : n + 1] for n in range(len(data))))
    assert whole == single
    assert [event.action for event in whole] == ["start", "die", "stop"]


async def test_a_restarted_daemon_ends_the_stream_without_its_final_chunk() -> None:
    found, ended, _, _ = await all_of(HEAD + chunk(line() + b"\n"))
    assert found == [START]
    assert not ended.clean


async def test_a_link_that_breaks_ends_the_stream() -> None:
    _, ended, _, _ = await all_of(HEAD, ConnectionResetError("reset by peer"))
    assert not ended.clean
    assert "reset by peer" in str(ended)


async def test_an_end_before_the_headers_is_an_end() -> None:
    for nothing in (b"", b"HTTP/1.1 2", b"what is this\r\n\r\n"):
        found, ended, answers, _ = await all_of(nothing)
        assert (found, answers, ended.clean) == ([], 0, False)


async def test_an_answer_that_is_not_200_is_told() -> None:
    answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    _, ended, answers, _ = await all_of(answer)
    assert str(ended) == "the engine answered HTTP 500"
    assert answers == 0


async def test_headers_that_come_with_the_first_event_only_are_waited_for() -> None:
    """As some Podman do."""
    read = asyncio.Event()

    class Late(Pieces):
        async def read(self, n: int = -1, /) -> bytes:
            read.set()
            await asyncio.sleep(0.05)
            return await super().read(n)

    stream = events(Late(HEAD + chunk(line() + b"\n")), Sent(), "/events", lambda: None)
    assert await anext(stream) == START
    assert read.is_set()


async def test_a_very_long_event_is_read() -> None:
    labels = {f"label{n}": "x" * 1000 for n in range(500)}
    long = line(Actor={"ID": "c1", "Attributes": labels})
    found, _, _, _ = await all_of(HEAD + chunk(long + b"\n"))
    assert found == [START]


async def test_an_endless_event_is_dropped_and_told_of_and_the_next_is_read() -> None:
    endless = chunk(b"x" * (MAX_LINE // 2)) * 4
    found, _, _, _ = await all_of(HEAD, endless, chunk(b"\n" + line() + b"\n"))
    assert [event.action for event in found] == ["too long", "start"]
    assert docker_events.may_change_ports(found[0])


def test_an_event_without_the_fields_that_api_1_52_dropped_is_read() -> None:
    assert parse(line()) == START
    assert parse(line(status="start", id="c1")) == START


def test_an_event_without_nanoseconds_is_read() -> None:
    event = parse(line(timeNano=0))
    assert event
    assert event.at == 1_700_000_000 * 10**9


def test_what_an_action_is_about_is_left_out() -> None:
    event = parse(line("exec_create: sh -c true"))
    assert event
    assert event.action == "exec_create"


@pytest.mark.parametrize(
    "senseless",
    [b"", b"{}", b"[]", b"null", b"12", b"\xff", b'{"Type":1}', b'{"Type":"x","Action":"y"}',
     line(Actor=None), line(Type=None), line(Actor={"ID": 5}), line(timeNano="x"), b"[" * 100_000],
)  # fmt: skip
def test_what_makes_no_sense_is_no_event(senseless: bytes) -> None:
    assert parse(senseless) is None


@pytest.mark.parametrize(
    ("action", "may"),
    [
        ("start", True),
        ("die", True),
        ("died", True),
        ("stop", True),
        ("destroy", True),
        ("rename", True),
        ("connect", True),
        ("a word of a later engine", True),
        ("exec_create", False),
        ("exec_die", False),
        ("health_status", False),
        ("top", False),
    ],
)
def test_health_checks_and_commands_are_no_reason_to_list_again(action: str, may: bool) -> None:
    assert docker_events.may_change_ports(EngineEvent("container", action, "c1", 1)) is may
