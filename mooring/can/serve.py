"""The plugin's Unix socket: accepts, reads HTTP, asks the driver, answers. Decides nothing.

Every answer closes its connection. Docker's client repeats a request on a connection that it finds
closed without the body that it has sent already; on one that is never used again it finds none.
HTTP is read here, as little of it as Docker speaks. h11 takes 10 ms to import, which a start of
some 120 could bear; but it answers 400 where we say what is too long (413, 414), and would be the
driver's second library beside msgspec. The standard library's takes 30 to 40 ms.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mooring.can import protocol
from mooring.can.protocol import BadCall, Call
from mooring.can.turns import Turn, give_way, taken
from mooring.can.unanswered import Unanswered
from mooring.core.errors import MooringError, why_os
from mooring.core.lines import Lines

Answer = Callable[[Call], Mapping[str, object]]

BACKLOG = 512
"""Connections that wait: more than the containers of a machine that all start at once."""
PATIENCE = 10.0
"""Seconds that a client may take to say what it wants."""
SPEECHLESS = 0.2
"""Seconds after which a client that has said nothing holds up nobody else."""
FINISH = 10.0
"""Seconds that calls may take to their end once a signal has come."""
_MAX_LINE = 1 << 14
_MAX_HEADERS = 100
_MOST_DRAINED = 16 << 20
_LISTEN_FD = 3


def serve(listener: socket.socket, answer: Answer, unanswered: Unanswered, log: Lines) -> None:
    """Answer calls until SIGTERM or Ctrl-C; then finish those that have begun."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGTERM, signal.SIGINT):
        # What it does is to write to the pipe.
        signal.signal(number, lambda *_: None)
    running: set[threading.Thread] = set()
    listener.setblocking(False)
    turn: Turn | None = None
    while True:
        waited_for = listener if turn is None else turn
        ready, _, _ = select.select([waited_for, wake_read], [], [])
        if wake_read in ready:
            break
        if turn is not None:
            turn.close()
            turn = None
            continue
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = listener.accept()
            turn = Turn()
            running = {one for one in running if one.is_alive()}
            thread = threading.Thread(
                target=_take_turn, args=(turn, connection, answer, unanswered, log), name="call",
                daemon=True,
            )  # fmt: skip
            running.add(thread)
            thread.start()
    log.info("stopping", calls=sum(one.is_alive() for one in running))
    listener.close()
    deadline = time.monotonic() + FINISH
    for one in running:
        one.join(max(0.0, deadline - time.monotonic()))


def _take_turn(
    turn: Turn, connection: socket.socket, answer: Answer, unanswered: Unanswered, log: Lines
) -> None:
    with taken(turn):
        if not select.select([connection], [], [], SPEECHLESS)[0]:
            give_way()
        _converse(connection, answer, unanswered, log)


def _converse(
    connection: socket.socket, answer: Answer, unanswered: Unanswered, log: Lines
) -> None:
    """One request: read, kept until it is answered, closed."""
    connection.setblocking(True)
    connection.settimeout(PATIENCE)
    with (
        connection,
        connection.makefile("rb") as stream,
        suppress(OSError),
        ExitStack() as until_answered,
    ):
        began = time.monotonic()
        path = ""
        broke: Exception | None = None
        try:
            path, length = _head(stream)
            if not path:
                return
            body = _body(stream, path, length)
            if protocol.names_something(path):
                body = until_answered.enter_context(unanswered.kept(path, body))
            else:
                # Nothing of it can be lost.
                give_way()
            status, told = 200, answer(protocol.parse(path, body))
        except BadCall as error:
            status, told = error.status, protocol.failed(error)
        except MooringError as error:
            status, told = 500, protocol.failed(error)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001
            # A fault of ours: Docker gets an answer all the same, or it would wait for ever.
            broke = error
            fault = MooringError(
                path, f"{type(error).__name__}: {error}", "see the log of mooring-can"
            )
            status, told = 500, protocol.failed(fault)
        elapsed = round((time.monotonic() - began) * 1000, 2)
        if status != 200:
            log.error("call_failed", call=path[:80], ms=elapsed, error=told["Err"], exc_info=broke)
        else:
            log.debug("call_answered", call=path, ms=elapsed)
        connection.sendall(_response(status, protocol.encode(told)))
        until_answered.close()
        if status != 200:
            _drain(connection)


def _head(stream: BinaryIO) -> tuple[str, int]:
    """A request's path and its body's length; no path where nothing was asked.

    Raises:
        BadCall: it is not HTTP/1, or not of a client that tells the length.
    """
    doing = "reading a request"
    first = stream.readline(_MAX_LINE + 1)
    if not first:
        return "", 0
    if len(first) > _MAX_LINE:
        raise BadCall(414, doing, "its first line is too long")
    words = first.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadCall(400, doing, "it is not HTTP")
    method, path, _ = words
    if method not in ("POST", "GET"):
        raise BadCall(501, doing, f"there is no method {method[:20]}")
    length = "0"
    for _ in range(_MAX_HEADERS):
        line = stream.readline(_MAX_LINE + 1)
        name, _, value = line.decode("latin-1").partition(":")
        if line in (b"\r\n", b"\n", b""):
            break
        if name.lower() == "transfer-encoding":
            raise BadCall(411, path, "the body's length is not told")
        if name.lower() == "content-length":
            length = value.strip()
    else:
        raise BadCall(431, path, "it has too many headers")
    if not (length.isascii() and length.isdigit()):
        raise BadCall(400, path, "the body's length is not a number")
    return path, int(length[:12])


def _body(stream: BinaryIO, path: str, length: int) -> bytes:
    if length > protocol.MAX_BODY:
        raise BadCall(413, path, f"the body is over {protocol.MAX_BODY} bytes")
    body = stream.read(length)
    if len(body) < length:
        raise BadCall(400, path, "the body ended early")
    return body


def _drain(connection: socket.socket) -> None:
    """Take what was not read, or the kernel would tell the client of that and not our answer."""
    connection.shutdown(socket.SHUT_WR)
    left = _MOST_DRAINED
    while left > 0 and (part := connection.recv(1 << 16)):
        left -= len(part)


def _response(status: int, content: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\n"
        f"Content-Type: {protocol.CONTENT_TYPE}\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content


# --- the socket -----------------------------------------------------------------------------------


@contextmanager
def listening(path: Path, log: Lines) -> Iterator[socket.socket]:
    """The socket that systemd hands over, or one of our own at ``path``, taken away at the end.

    Raises:
        MooringError: another one serves there, or it cannot be made.
    """
    handed = _handed_over()
    if handed is not None:
        log.info("serving_handed_over", socket=handed.getsockname())
        with handed:
            yield handed
        return
    with socket.socket(socket.AF_UNIX) as made:
        _bind(made, path)
        log.info("serving", socket=str(path))
        inode = path.stat().st_ino
        try:
            yield made
        finally:
            with suppress(OSError):
                # Not another one's who took the place since.
                if path.stat().st_ino == inode:
                    path.unlink()


def _handed_over() -> socket.socket | None:
    """The first socket of systemd's socket activation (sd_listen_fds(3))."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or int(count) < 1 or pid not in ("", str(os.getpid())):
        return None
    os.set_inheritable(_LISTEN_FD, False)
    return socket.socket(fileno=_LISTEN_FD)


def _bind(made: socket.socket, path: Path) -> None:
    attempted = f"serving on the socket {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _clear_stale(path, attempted)
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen(BACKLOG)
    except OSError as error:
        why = "the path is too long" if "too long" in str(error) else why_os(error)
        raise MooringError(attempted, why, "choose another with --socket") from error


def _clear_stale(path: Path, attempted: str) -> None:
    """Take away a socket file that nobody listens on: its process was killed."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise MooringError(attempted, "there is a file that is no socket", "remove it yourself")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            # It is there and slow to accept.
            pass
    raise MooringError(attempted, "another process serves there", "end that one first")
