"""Questions to the instance that runs, over a socket in its state folder: JSON lines both ways.

``{"ask": "status", …}`` in; ``{"answer": …}`` or ``{"error": {…}}`` out. What the questions mean
is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import structlog

from mooring.core.errors import MooringError, UsageError, why_os
from mooring.core.tasks import Tasks
from mooring.forward import doors

log = structlog.get_logger(__name__)

NAME = "control.sock"
MAX_CLIENTS = 32
MAX_QUESTION = 16 * 1024
"""Bytes of one line that is asked."""
MAX_ANSWER = 16 * 1024 * 1024
IDLE = 60.0
"""Seconds without a question after which a connection is closed."""

Questions: TypeAlias = Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]
"""What can be asked, by its name; each gets the whole question. Raises ``MooringError``."""


class NotRunning(MooringError):
    """Nobody runs on this state folder."""

    exit_code = 3


# --- answering


class Control:
    """Answers questions until cancelled."""

    def __init__(self, folder: Path, questions: Questions) -> None:
        self.path = folder / NAME
        self._questions = questions
        self._clients = 0

    async def run(self) -> None:
        """Raises ``MooringError`` when it can't listen."""
        listening = doors.listen(self.path)
        try:
            async with Tasks("control") as tasks:
                async for client in doors.clients(listening):
                    tasks.start("client", self._serve(client))
        finally:
            doors.leave(self.path, listening)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=client, limit=MAX_QUESTION)
        self._clients += 1
        try:
            if self._clients > MAX_CLIENTS:
                full = MooringError("asking", f"{MAX_CLIENTS} others are asking already")
                await _send(writer, _error(full))
                return
            async with Tasks("control client") as tasks:
                await self._converse(reader, writer, tasks)
        except (OSError, ValueError) as error:
            # A client that is gone, or that sends more than one line may hold.
            log.debug("control_client_failed", why=str(error))
        finally:
            self._clients -= 1
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tasks: Tasks
    ) -> None:
        hearing = tasks.start("hear", reader.readline())
        while True:
            done, _ = await asyncio.wait([hearing], timeout=IDLE)
            line = hearing.result() if done else b""
            if not line:
                return
            # Heard further, so that a question whose client is gone is not worked on.
            hearing = tasks.start("hear", reader.readline())
            answering = tasks.start("answer", self._answer(line))
            while not answering.done():
                await asyncio.wait([hearing, answering], return_when=asyncio.FIRST_COMPLETED)
                if hearing.done() and not hearing.result():
                    return
                if hearing.done():
                    await asyncio.wait([answering])
            await _send(writer, answering.result())

    async def _answer(self, line: bytes) -> bytes:
        try:
            question = msgspec.json.decode(line, type=dict[str, Any])
            name = question.get("ask")
            answer = self._questions.get(name) if isinstance(name, str) else None
            if answer is None:
                known = ", ".join(self._questions)
                raise UsageError("asking", f"{name!r} can't be asked", f"one of: {known}")
            return msgspec.json.encode({"answer": await answer(question)})
        except msgspec.DecodeError as error:
            return _error(UsageError("asking", f"a line is not a question in JSON: {error}"))
        except MooringError as error:
            return _error(error)


def _error(error: MooringError) -> bytes:
    return msgspec.json.encode(
        {
            "error": {
                "attempted": error.attempted,
                "why": error.why,
                "remedy": error.remedy,
                "exit_code": error.exit_code,
            }
        }
    )


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line + b"\n")
    await writer.drain()


# --- asking


def ask(folder: Path, name: str, *, within: float = 10.0, **more: Any) -> Any:
    """What the instance that runs on this state folder answers, in plain values.

    Raises ``NotRunning``, and ``MooringError``: its own, or that it does not answer.
    """
    path = folder / NAME
    attempted = f"asking the forwards of {folder}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within)
        try:
            connection.connect(str(path))
            with contextlib.suppress(BrokenPipeError):
                # One asker too many is answered before it has asked.
                connection.sendall(msgspec.json.encode({"ask": name, **more}) + b"\n")
            line = _line(connection)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(
                attempted,
                "none run there",
                "start them with: mooring forward run ssh://USER@HOST; or name another folder "
                "with --state-dir",
            ) from error
        except TimeoutError as error:
            why = f"no answer within {within:g} s"
            raise MooringError(attempted, why, "see its log") from error
        except OSError as error:
            raise MooringError(attempted, why_os(error), "see whether they are yours") from error
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise MooringError(attempted, f"the answer makes no sense: {error}") from error
    if "error" in said:
        raise _raised(said["error"])
    return said.get("answer")


def _line(connection: socket.socket) -> bytes:
    found = bytearray()
    while not found.endswith(b"\n"):
        data = connection.recv(65536)
        if not data or len(found) > MAX_ANSWER:
            raise ConnectionResetError(None, "it ended in the middle of its answer")
        found += data
    return bytes(found)


def _raised(error: dict[str, Any]) -> MooringError:
    kind = UsageError if error.get("exit_code") == UsageError.exit_code else MooringError
    return kind(str(error.get("attempted")), str(error.get("why")), str(error.get("remedy") or ""))
