"""Questions to the instance that runs: bounded, private, and clear when nobody is there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import MooringError, UsageError
from mooring.core.tasks import Tasks
from mooring.forward import control, doors
from mooring.forward.control import Control, NotRunning, ask
from tests.forward.fakes import until


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.working = 0
        self.control = Control(folder, {"echo": self.echo, "fail": self.fail, "hang": self.hang})

    async def echo(self, question: dict[str, Any]) -> Any:
        return question

    async def fail(self, question: dict[str, Any]) -> Any:
        raise UsageError("doing it", "it can't be done", "do something else")

    async def hang(self, question: dict[str, Any]) -> Any:
        self.working += 1
        try:
            await asyncio.sleep(60)
        finally:
            self.working -= 1

    async def ask(self, name: str, **more: Any) -> Any:
        return await asyncio.to_thread(ask, self.folder, name, **more)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.control.path)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    async with Tasks("test") as tasks:
        tasks.start("control", made.control.run())
        await until(made.control.path.exists)
        yield made


async def test_a_question_is_answered(lab: Lab) -> None:
    assert await lab.ask("echo", port=80) == {"ask": "echo", "port": 80}


async def test_many_questions_over_one_connection_are_answered_in_order(lab: Lab) -> None:
    reader, writer = await lab.connect()
    for number in range(3):
        writer.write(json.dumps({"ask": "echo", "n": number}).encode() + b"\n")
    answers = [json.loads(await reader.readline())["answer"]["n"] for _ in range(3)]
    assert answers == [0, 1, 2]
    writer.close()


async def test_an_error_arrives_as_it_was_raised(lab: Lab) -> None:
    with pytest.raises(UsageError) as caught:
        await lab.ask("fail")
    error = caught.value
    assert (error.attempted, error.why, error.remedy, error.exit_code) == (
        "doing it",
        "it can't be done",
        "do something else",
        2,
    )


async def test_an_unknown_question_is_answered_with_those_that_there_are(lab: Lab) -> None:
    with pytest.raises(UsageError, match="'status' can't be asked") as caught:
        await lab.ask("status")
    assert caught.value.remedy == "one of: echo, fail, hang"


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"[]\n", b'"status"\n', b"\xff\n", b"{}\n"])
async def test_what_is_no_question_is_answered_with_an_error(lab: Lab, line: bytes) -> None:
    reader, writer = await lab.connect()
    writer.write(line)
    assert json.loads(await reader.readline())["error"]["exit_code"] == 2
    writer.close()


async def test_a_line_without_end_is_not_kept(lab: Lab) -> None:
    reader, writer = await lab.connect()

    async def pour() -> None:
        for _ in range(100):
            writer.write(b"x" * 16_384)
            await writer.drain()
        await reader.readexactly(1)

    with pytest.raises((ConnectionError, EOFError)):
        await pour()
    writer.close()
    assert await lab.ask("echo") == {"ask": "echo"}


async def test_a_question_whose_asker_is_gone_is_not_worked_on(lab: Lab) -> None:
    _, writer = await lab.connect()
    writer.write(b'{"ask": "hang"}\n')
    await until(lambda: lab.working == 1)
    writer.close()
    await until(lambda: lab.working == 0)


async def test_one_asker_more_than_the_bound_is_told_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 2)
    others = [await lab.connect() for _ in range(2)]
    await asyncio.sleep(0.02)
    with pytest.raises(MooringError, match="2 others are asking already"):
        await lab.ask("echo")
    others[0][1].close()
    await until(lambda: lab.control._clients == 1)
    assert await lab.ask("echo") == {"ask": "echo"}
    others[1][1].close()


async def test_an_asker_who_says_nothing_is_sent_away(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IDLE", 0.02)
    reader, writer = await lab.connect()
    assert await reader.read() == b""
    writer.close()


async def test_the_socket_is_this_users_alone(lab: Lab) -> None:
    mode = lab.control.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    made = Lab(tmp_path)
    async with Tasks("test") as tasks:
        tasks.start("control", made.control.run())
        await until(made.control.path.exists)
    assert not made.control.path.exists()


async def test_the_socket_of_a_predecessor_that_crashed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / control.NAME
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(NotRunning):
        ask(tmp_path, "echo")
    made = Lab(tmp_path)
    async with Tasks("test") as tasks:
        tasks.start("control", made.control.run())
        await until(lambda: stat.S_IMODE(path.stat().st_mode) == 0o600)
        assert await made.ask("echo") == {"ask": "echo"}


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("mine")
    with pytest.raises(MooringError, match="address already in use"):
        doors.listen(tmp_path / "control.sock")
    assert (tmp_path / "control.sock").read_text() == "mine"


def test_a_path_that_is_too_long_for_a_socket_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MooringError) as caught:
        doors.listen(tmp_path / ("x" * 100))
    assert caught.value.remedy == "choose a shorter folder with --state-dir"


def test_when_nobody_runs_the_exit_code_is_three(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as caught:
        ask(tmp_path, "status")
    assert caught.value.exit_code == 3
    assert caught.value.why == "none run there"
    assert "mooring forward run" in caught.value.remedy


def test_an_instance_that_does_not_answer_is_told_apart_from_none(tmp_path: Path) -> None:
    listening = doors.listen(tmp_path / control.NAME)
    with pytest.raises(MooringError, match=r"no answer within 0\.05 s"):
        ask(tmp_path, "status", within=0.05)
    doors.leave(tmp_path / control.NAME, listening)


def test_others_files_keep_their_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)
    listening = doors.listen(tmp_path / "a.sock")
    after = os.umask(before)
    assert after == before
    doors.leave(tmp_path / "a.sock", listening)
