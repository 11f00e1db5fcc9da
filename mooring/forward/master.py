"""The ``ssh -M`` child that keeps one connection: started, asked on its control socket, ended.

It never outlives us: Linux ends it when we die, and what a dead process of ours has left is
cleaned up at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import structlog

from mooring.core.errors import why_os
from mooring.forward import blocked, mux
from mooring.forward.address import Address
from mooring.forward.mux import Answer, Kind, WrongAnswer
from mooring.forward.transport import Blocked, Lost, Options

log = structlog.get_logger(__name__)

PREFIX = "mooring-ssh-"
_SAID = 100
"""Lines of its standard error that are kept."""
_LONGEST = 500
"""Letters of a line that are kept."""
_LONGEST_BASE = 50
_LAST_WORDS_WITHIN = 0.1
_PIECE = 4096
_POLL = 0.01
_END_WITHIN = 1.0

# For the connection to the host itself, and not for those to its jump hosts.
_OWN = (
    "ClearAllForwardings=yes",
    "ControlPersist=no",
    "EscapeChar=none",
    "ExitOnForwardFailure=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "Tunnel=no",
)
# What comes before the user's own configuration, and what comes after it: the first value wins.
_FIRST = """\
BatchMode yes
ForwardAgent no
ForwardX11 no
LogLevel VERBOSE
ServerAliveCountMax 2
StrictHostKeyChecking yes
"""
_LAST = """
Match all
Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com
"""

# Becomes ssh, after it has asked Linux to be ended with the thread that started it: prctl(2),
# PR_SET_PDEATHSIG is 1. If that one is dead already there is nothing to wait for.
_TIED = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


class Control:
    """One connection to a master's control socket: one request, and what becomes of it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._loop = asyncio.get_running_loop()
        self._received = b""

    @classmethod
    async def open(cls, path: Path) -> Control:
        """Connect and exchange greetings. Raises OSError and ``WrongAnswer``."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control = cls(connection)
        try:
            connection.setblocking(False)
            while True:
                try:
                    connection.connect(str(path))
                    break
                except BlockingIOError:
                    # Its backlog is full; asyncio would take that for a connection.
                    await asyncio.sleep(_POLL)
            answer = await control.ask(mux.hello())
            if answer.kind is not Kind.HELLO or answer.number != mux.VERSION:
                raise WrongAnswer(f"it greets with {answer}")
        except BaseException:
            control.close()
            raise
        return control

    async def ask(self, message: bytes, descriptors: Sequence[int] = ()) -> Answer:
        await self.send(message, descriptors)
        return await self.read()

    async def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        await self._loop.sock_sendall(self.socket, message)
        for descriptor in descriptors:
            while True:
                try:
                    socket.send_fds(self.socket, [b"\0"], [descriptor])
                    break
                except BlockingIOError:
                    await asyncio.sleep(_POLL)

    async def read(self) -> Answer:
        """The next message; ConnectionError at the end. May be cancelled and called again."""
        await self._have(4)
        size = 4 + mux.length(self._received[:4])
        await self._have(size)
        body, self._received = self._received[4:size], self._received[size:]
        return mux.answer(body)

    async def ended(self) -> None:
        """Wait until the master has closed it: what was asked for is over."""
        with contextlib.suppress(ConnectionError):
            while await self._loop.sock_recv(self.socket, _PIECE):
                pass

    async def _have(self, size: int) -> None:
        while len(self._received) < size:
            more = await self._loop.sock_recv(self.socket, _PIECE)
            if not more:
                raise ConnectionResetError("the ssh master has ended the conversation")
            self._received += more

    def close(self) -> None:
        self.socket.close()


class Master(asyncio.SubprocessProtocol):
    """A running ``ssh -M``. Its standard error is read as it comes; see ``heard``."""

    def __init__(self, address: Address, folder: Path) -> None:
        self.address = address
        self.folder = folder
        self.control = folder / "control"
        self.said: deque[str] = deque(maxlen=_SAID)
        self.gone = asyncio.Event()
        self._process: asyncio.SubprocessTransport | None = None
        self._line = b""
        self._because = ""
        self._exited = False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.get_pid()

    @property
    def why(self) -> str:
        """Why it ended."""
        return self._because or blocked.last_words(list(self.said)) or "ssh has ended"

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._process = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[:_LONGEST]
        for line in lines:
            text = line.decode(errors="replace").rstrip()[:_LONGEST]
            self.said.append(text)
            log.debug("ssh_said", host=self.address.host, line=text)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if self._exited:
            self.gone.set()

    def process_exited(self) -> None:
        # Its last words may still come; a child of its own may hold the pipe open for ever.
        self._exited = True
        asyncio.get_running_loop().call_later(_LAST_WORDS_WITHIN, self.gone.set)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    # What we do

    async def ready(self, options: Options) -> None:
        """Wait until it is logged in. Raises ``Blocked`` and ``Lost``."""
        try:
            async with asyncio.timeout(options.connect_timeout):
                while not self.control.exists():
                    if self.gone.is_set():
                        raise blocked.from_ssh(self.address, options, list(self.said))
                    await asyncio.sleep(_POLL)
                await self.alive()
            await self.heard()
        except TimeoutError as error:
            why = f"no answer within {options.connect_timeout:g} s"
            raise Lost(f"connecting to {self.address}", why) from error
        except (OSError, WrongAnswer) as error:
            raise Lost(f"connecting to {self.address}", f"the ssh master: {error}") from error

    async def alive(self) -> None:
        """Raises OSError or ``WrongAnswer`` when the master is gone; hangs when it does."""
        control = await Control.open(self.control)
        try:
            await control.ask(mux.alive(1))
        finally:
            control.close()

    async def heard(self) -> None:
        """Have what it has written so far in ``said``.

        An answer on the control socket that is there already is taken without the event loop's
        having a turn, so before what was written ahead of it. In its turns, in this order, it
        sees that there is something, reads it, and hands it over.
        """
        for _ in ("see", "read", "hand over"):
            await asyncio.sleep(0)

    async def end(self, because: str = "") -> None:
        """``because`` says why it is given up, where that is not known from itself."""
        self._because = self._because or because
        if self._process is not None:
            # Killed, since one that is stopped would not see a milder signal.
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_WITHIN):
                    await self.gone.wait()
            self._process.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


async def start(address: Address, options: Options) -> Master:
    """Log in. Raises ``Blocked`` and ``Lost``."""
    attempted = f"connecting to {address}"
    for file, what in ((options.config, "ssh_config"), (options.identity, "private key")):
        if file is not None and not file.is_file():
            raise Blocked(attempted, f"there is no {what} {file}", "see the command's options")
    program = shutil.which("ssh")
    if program is None:
        raise Blocked(attempted, "there is no program ssh here", "install OpenSSH's client")
    await sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_base()))
    master = Master(address, folder)
    try:
        config = folder / "config"
        config.write_text(_config(options))
        command = [*_tied(), program, "-F", str(config), "-M", "-N", "-a", "-x"]
        command += ["-S", str(folder / "control")]
        for option in _OWN:
            command += ["-o", option]
        if address.port is not None:
            command += ["-p", str(address.port)]
        if address.user is not None:
            command += ["-l", address.user]
        await asyncio.get_running_loop().subprocess_exec(
            lambda: master,
            *command,
            "--",
            address.host,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        await master.ready(options)
    except OSError as error:
        await master.end()
        raise Lost(attempted, f"ssh can't be started: {why_os(error)}") from error
    except BaseException:
        await master.end()
        raise
    return master


def _config(options: Options) -> str:
    """What ssh reads in place of the user's configuration, which it includes.

    A file, and not arguments, so that it counts for jump hosts too.
    """
    lines = [
        f"ConnectTimeout {max(1, round(options.connect_timeout))}",
        f"ServerAliveInterval {max(1, round(options.keepalive))}",
    ]
    if options.identity is not None:
        lines += [f"IdentityFile {_quoted(options.identity)}", "IdentitiesOnly yes"]
    if options.known_hosts is not None:
        lines.append(f"UserKnownHostsFile {_quoted(options.known_hosts)}")
        lines.append("GlobalKnownHostsFile none")
    usual = (Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config"))
    included = (options.config,) if options.config is not None else usual
    lines += [f"Match all\nInclude {_quoted(path)}" for path in included]
    return _FIRST + "\n".join(lines) + _LAST


def _quoted(path: Path) -> str:
    return f'"{path.absolute()}"'


def _tied() -> list[str]:
    """The beginning of a command that makes its process end with ours, where that can be had."""
    if sys.platform != "linux":
        return []
    tie = [sys.executable, "-I", "-S", "-c", _TIED]
    return [*tie, str(os.getpid()), str(int(signal.SIGKILL))]


def _base() -> str:
    """Where the control socket lies: its path, with 17 letters of ssh's own, has at most 103."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST_BASE else "/tmp"  # noqa: S108


async def sweep() -> None:
    """End the masters of processes of ours that are dead, and remove what they have left."""
    for folder in await asyncio.to_thread(_left_behind):
        log.info("left_behind_removed", folder=str(folder))
        with contextlib.suppress(OSError, WrongAnswer, TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                control = await Control.open(folder / "control")
                try:
                    await control.ask(mux.terminate(1))
                finally:
                    control.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _left_behind() -> list[Path]:
    """Folders of our user that are named by a process that is dead."""
    found = []
    for folder in Path(_base()).glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            ours = folder.stat().st_uid == os.getuid()
            if ours and owner.isdigit() and not _runs(int(owner)):
                found.append(folder)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
