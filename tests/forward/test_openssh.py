"""The ``ssh -M`` child: never an orphan, never left hanging, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mooring.forward import master as masters
from mooring.forward.master import Control
from mooring.forward.mux import Answer
from mooring.forward.openssh import OpenSsh, connect
from mooring.forward.transport import Blocked, Lost, Options, Refused, Silent
from tests.forward.test_link import (
    LATE,
    Call,
    Clients,
    address,
    echo,
    options,
    server,
    tasks,  # noqa: F401 (a fixture)
)
from tests.lab.remote import RemoteHost, remote  # noqa: F401 (a fixture)

pytestmark = pytest.mark.real

_CHILD = """
import asyncio, sys
from pathlib import Path
from mooring.forward.address import Address
from mooring.forward.openssh import connect
from mooring.forward.transport import Options

async def main():
    ip, key, known, config = sys.argv[1:]
    link = await connect(Address(ip, "root"), Options(Path(key), Path(known), config=Path(config)))
    print(link._master.pid, link._master.folder, file=sys.stderr, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place of its own for what masters leave: the path of a socket must be short."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with tempfile.TemporaryDirectory(prefix="moor-t", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield


@pytest.fixture
def host(remote: RemoteHost) -> RemoteHost:  # noqa: F811
    return remote


async def until_gone(pid: int, within: float = LATE) -> None:
    async with asyncio.timeout(within):
        while runs(pid):
            await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


async def test_a_killed_mooring_leaves_no_ssh_and_the_next_one_removes_its_folder(
    host: RemoteHost,
) -> None:
    given = [host.ip, str(host.key), str(host.known_hosts), str(host.config)]
    command = [sys.executable, "-c", _CHILD, *given]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    with child.stderr as output:
        line = await asyncio.to_thread(output.readline)
    pid, folder = int(line.split()[0]), Path(line.split()[1])
    assert runs(pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    await until_gone(pid)
    assert (folder / "control").exists()
    await masters.sweep()
    assert not folder.exists()


async def test_the_folder_of_a_mooring_that_runs_is_left_alone(host: RemoteHost) -> None:
    link = await connect(address(host), options(host))
    try:
        await masters.sweep()
        assert (await link.run("true", deadline=5)).status == 0
    finally:
        await link.close()


async def test_the_control_socket_is_for_us_alone_and_goes_with_the_link(host: RemoteHost) -> None:
    link = await connect(address(host), options(host))
    folder = link._master.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await link.close()
    assert not folder.exists()
    assert not runs(link._master.pid)


async def test_a_log_in_that_fails_leaves_nothing_either(host: RemoteHost) -> None:
    with pytest.raises(Lost):
        await connect(address(host), options(host, config=host.config, connect_timeout=0.01))
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


async def test_a_master_that_hangs_is_given_up_and_ended(
    host: RemoteHost,
    tasks: Clients,  # noqa: F811
) -> None:
    async with server(host, echo) as port:
        link = await connect(address(host), options(host))
        os.kill(link._master.pid, signal.SIGSTOP)
        with pytest.raises(Silent):
            await link.run("true", deadline=0.5)
        call = Call(tasks, link, port)
        await call.say(b"mine")
        assert isinstance(await call.outcome(), Lost)
        assert call.accepted.recv(10) == b"mine"
        await link.close()
        await until_gone(link._master.pid)


async def test_a_master_that_is_killed_resets_what_it_carried_and_says_so(
    host: RemoteHost,
    tasks: Clients,  # noqa: F811
) -> None:
    async with server(host, echo) as port:
        link = await connect(address(host), options(host))
        call = Call(tasks, link, port)
        await call.say(b"x")
        assert await call.hear(1) == b"x"
        os.kill(link._master.pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            await call.hear(1)
        assert await call.outcome() is None
        assert (await asyncio.wait_for(link.lost(), LATE)).why == "ssh has ended"
        with pytest.raises(Lost):
            await link.run("true", deadline=5)
        await link.close()


async def test_without_an_ssh_client_the_remedy_is_to_install_one(
    host: RemoteHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        here.setenv("PATH", "/nowhere")
        with pytest.raises(Blocked, match="no program ssh"):
            await connect(address(host), options(host))


async def test_a_configuration_that_is_not_there_is_said(host: RemoteHost, tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="there is no ssh_config"):
        await connect(address(host), options(host, config=tmp_path / "none"))


async def test_why_a_client_is_refused_is_known_also_when_the_master_is_quicker_than_we_are(
    host: RemoteHost,
    tasks: Clients,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host.restart("AllowTcpForwarding no")
    link = await connect(address(host), options(host))

    async def ask_late(self: Control, message: bytes, theirs: Sequence[int] = ()) -> Answer:
        await self.send(message, theirs)
        time.sleep(0.2)
        return await self.read()

    try:
        with monkeypatch.context() as here:
            here.setattr(Control, "ask", ask_late)
            error = await Call(tasks, link, 80).outcome()
        assert isinstance(error, Refused)
        assert error.prohibited
    finally:
        await link.close()


def test_it_is_a_transport() -> None:
    assert {"run", "open_unix", "open_process", "carry", "lost", "close"} <= set(dir(OpenSsh))


def test_what_the_user_asks_for_comes_before_his_own_configuration(tmp_path: Path) -> None:
    asked = Options(identity=tmp_path / "my key", known_hosts=tmp_path / "known", keepalive=15)
    text = masters._config(asked)
    include = text.index("Include")
    for ours in ("StrictHostKeyChecking yes", "my key", "ServerAliveInterval 15", "BatchMode yes"):
        assert text.index(ours) < include
    assert text.index("Ciphers ^aes128-gcm") > include
