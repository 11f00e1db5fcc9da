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
from mooring.core.tasks import Tasks
from mooring.forward import blocked, mux
from mooring.forward.address import Address
from mooring.forward.mux import Answer, Kind, WrongAnswer
from mooring.forward.transport import Blocked, Lost, Options

log = structlog.get_logger(__name__)

PREFIX = "mooring-ssh-"
_SAID = 100
"""Lines of its standard error that are kept."""
_POLL = 0.01
_END_WITHIN = 1.0

# What comes before the user's own configuration, and what comes after it: the first value wins.
_OURS = """\
BatchMode yes
ClearAllForwardings yes
ControlMaster yes
ControlPersist no
EscapeChar none
ExitOnForwardFailure no
ForwardAgent no
ForwardX11 no
LogLevel INFO
PermitLocalCommand no
RemoteCommand none
RequestTTY no
ServerAliveCountMax 2
StrictHostKeyChecking yes
Tunnel no
"""
_AFTER = """
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
        await self._loop.sock_sendall(self.socket, message)
        for descriptor in descriptors:
            while True:
                try:
                    socket.send_fds(self.socket, [b"\0"], [descriptor])
                    break
                except BlockingIOError:
                    await asyncio.sleep(_POLL)
        return await self.read()

    async def read(self) -> Answer:
        """The next message. Raises ConnectionError at the end."""
        size = mux.length(await self._exactly(4))
        return mux.answer(await self._exactly(size))

    async def ended(self) -> None:
        """Wait until the master has closed it: what was asked for is over."""
        with contextlib.suppress(ConnectionError):
            while await self._loop.sock_recv(self.socket, 4096):
                pass

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await self._loop.sock_recv(self.socket, size - len(data))
            if not more:
                raise ConnectionResetError("the ssh master has ended the conversation")
            data += more
        return data

    def close(self) -> None:
        self.socket.close()


class Master:
    """A running ``ssh -M`` that is logged in."""

    def __init__(self, address: Address, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.address = address
        self.folder = folder
        self.control = folder / "control"
        self.said: deque[str] = deque(maxlen=_SAID)
        self.gone = asyncio.Event()
        self._process = process
        self._tasks = Tasks(f"ssh {address.host}")
        self._tasks.start("master", self._listen())

    @property
    def why(self) -> str:
        """Why it ended."""
        return blocked.last_words(list(self.said)) or "ssh has ended"

    async def _listen(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while True:
            try:
                line = await stderr.readline()
            except ValueError:
                # A line without end; ssh writes none.
                continue
            if not line:
                break
            self.said.append(line.decode(errors="replace").rstrip()[:500])
            log.debug("ssh_said", host=self.address.host, line=self.said[-1])
        await self._process.wait()
        self.gone.set()

    async def ready(self, options: Options) -> None:
        """Wait until it is logged in. Raises ``Blocked`` and ``Lost``."""
        try:
            async with asyncio.timeout(options.connect_timeout):
                while not self.control.exists():
                    if self.gone.is_set():
                        raise blocked.from_ssh(self.address, options, list(self.said))
                    await asyncio.sleep(_POLL)
                await self.alive()
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

    async def end(self) -> None:
        if self._process.returncode is None:
            # Killed, since one that is stopped would not see a milder signal.
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_WITHIN):
                    await self.gone.wait()
        await self._tasks.end()
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
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        config = folder / "config"
        config.write_text(_config(options))
        command = [*_tied(), program, "-F", str(config), "-M", "-N", "-a", "-x"]
        command += ["-S", str(folder / "control")]
        if address.port is not None:
            command += ["-p", str(address.port)]
        if address.user is not None:
            command += ["-l", address.user]
        process = await asyncio.create_subprocess_exec(
            *command,
            "--",
            address.host,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Lost(attempted, f"ssh can't be started: {why_os(error)}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    master = Master(address, folder, process)
    try:
        await master.ready(options)
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
    return _OURS + "\n".join(lines) + _AFTER


def _quoted(path: Path) -> str:
    return f'"{path.absolute()}"'


def _tied() -> list[str]:
    """The beginning of a command that makes its process end with ours, where that can be had."""
    if sys.platform != "linux":
        return []
    tie = [sys.executable, "-I", "-S", "-c", _TIED]
    return [*tie, str(os.getpid()), str(int(signal.SIGKILL))]


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
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
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
