"""The plugin's Unix socket: accepts, reads HTTP, asks the driver, answers. Decides nothing.

Every answer closes its connection. Docker's client repeats a request on a connection that it finds
closed without the body that it has sent already; on one that is never used again it finds none.
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
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from mooring.can import protocol
from mooring.can.protocol import BadCall, Call
from mooring.core.errors import MooringError, why_os
from mooring.core.lines import Lines

Answer = Callable[[Call], Mapping[str, object]]

BACKLOG = 512
"""Connections that wait: more than the containers of a machine that all start at once."""
PATIENCE = 10.0
"""Seconds that a client may take to say what it wants."""
FINISH = 10.0
"""Seconds that calls may take to their end once a signal has come."""
_LISTEN_FD = 3


def serve(listener: socket.socket, answer: Answer, log: Lines) -> None:
    """Answer calls until SIGTERM or Ctrl-C; then finish those that have begun."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGTERM, signal.SIGINT):
        # What it does is to write to the pipe.
        signal.signal(number, lambda *_: None)
    running: set[threading.Thread] = set()
    listener.setblocking(False)
    while True:
        ready, _, _ = select.select([listener.fileno(), wake_read], [], [])
        if wake_read in ready:
            break
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = listener.accept()
            running = {one for one in running if one.is_alive()}
            thread = threading.Thread(
                target=_converse, args=(connection, answer, log), name="call", daemon=True
            )
            running.add(thread)
            thread.start()
    log.info("stopping", calls=sum(one.is_alive() for one in running))
    listener.close()
    deadline = time.monotonic() + FINISH
    for one in running:
        one.join(max(0.0, deadline - time.monotonic()))


def _converse(connection: socket.socket, answer: Answer, log: Lines) -> None:
    connection.setblocking(True)
    connection.settimeout(PATIENCE)
    with connection, suppress(OSError):
        _Handler(connection, answer, log)


class _Handler(BaseHTTPRequestHandler):
    """One request: read, answered, closed."""

    protocol_version = "HTTP/1.1"
    server_version = "mooring-can"

    def __init__(self, connection: socket.socket, answer: Answer, log: Lines) -> None:
        self._answer = answer
        self._log = log
        super().__init__(connection, "", None)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        began = time.monotonic()
        try:
            status, told = 200, self._answer(self._call())
        except BadCall as error:
            status, told = error.status, protocol.failed(error)
        except MooringError as error:
            status, told = 500, protocol.failed(error)
        except Exception as error:  # noqa: BLE001
            # A fault of ours: Docker gets an answer all the same, or it would wait for ever.
            fault = MooringError(
                self.path, f"{type(error).__name__}: {error}", "see the log of mooring-can"
            )
            status, told = 500, protocol.failed(fault)
        elapsed = round((time.monotonic() - began) * 1000, 2)
        if status != 200:
            self._log.error("call failed", call=self.path[:80], ms=elapsed, error=told["Err"])
        else:
            self._log.debug("call answered", call=self.path, ms=elapsed)
        self._tell(status, protocol.encode(told))

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST  # noqa: N815

    def _call(self) -> Call:
        if "transfer-encoding" in self.headers:
            raise BadCall(411, self.path, "the body's length is not told")
        told = self.headers.get("content-length", "0")
        if not (told.isascii() and told.isdigit()):
            raise BadCall(400, self.path, "the body's length is not a number")
        length = int(told[:12])
        if length > protocol.MAX_BODY:
            raise BadCall(413, self.path, f"the body is over {protocol.MAX_BODY} bytes")
        body = self.rfile.read(length)
        if len(body) < length:
            raise BadCall(400, self.path, "the body ended early")
        return protocol.parse(self.path, body)

    def _tell(self, status: int, content: bytes) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", protocol.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library finds wrong with a request, said as everything else is."""
        self.command = getattr(self, "command", None) or "POST"
        # To what is taken for HTTP/0.9 the library would answer without a head.
        self.request_version = self.protocol_version
        bad = BadCall(code, "reading a request", message or explain or "it is not HTTP")
        self._tell(code, protocol.encode(protocol.failed(bad)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


# --- the socket -----------------------------------------------------------------------------------


@contextmanager
def listening(path: Path, log: Lines) -> Iterator[socket.socket]:
    """The socket that systemd hands over, or one of our own at ``path``, taken away at the end.

    Raises:
        MooringError: another one serves there, or it cannot be made.
    """
    handed = _handed_over()
    if handed is not None:
        log.info("serving on the socket that was handed over", socket=handed.getsockname())
        with handed:
            yield handed
        return
    with _bound(path) as made:
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


def _bound(path: Path) -> socket.socket:
    attempted = f"serving on the socket {path}"
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
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
        made.close()
        why = "the path is too long" if "too long" in str(error) else why_os(error)
        raise MooringError(attempted, why, "choose another with --socket") from error
    except BaseException:
        made.close()
        raise
    return made


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
