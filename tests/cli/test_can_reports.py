"""Buses on a server: the plugin as a process, with what reports beside it, and a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.can.ask import ask
from mooring.can.journal import Journal, boot_id
from mooring.model.can import Network, NetworkOptions
from tests.lab.forwarding import TOP
from tests.lab.served import ServerProgram, a_server_program

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Plugin:
    def __init__(self, folder: Path, server: str, key: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir()
        self.socket = folder / "s.sock"
        key_file = folder / "key"
        key_file.write_text(key)
        self.command = [
            sys.executable, "-m", "mooring", "can", "serve", f"--socket={self.socket}",
            f"--state-dir={self.state}", f"--server={server}", f"--key-file={key_file}",
            "--no-recover",
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stderr=log, env={**os.environ, "PYTHONPATH": str(TOP)}
            )

    def knows(self, device: str) -> None:
        """Have a network in the journal, as CreateNetwork does where the kernel has CAN."""
        journal = Journal(self.state, boot_id())
        journal.read()
        name = device.encode().hex().ljust(64, "0")
        journal.put_network(Network(name, NetworkOptions(device, "can"), physical=False))

    def children(self) -> list[int]:
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(one) for file in found for one in file.read_text().split()]

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProgram]:
    with a_server_program(tmp_path / "server") as made:
        yield made


@pytest.fixture
def plugin(server: ServerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    made = Plugin(tmp_path_factory.mktemp("w"), server.url, server.agent_key())
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.terminate()
            made.process.wait(60)


def until(true: Callable[[], object], plugin: Plugin) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit, plugin.log()[-4000:]
        time.sleep(0.05)


def test_buses_are_on_the_server_and_new_ones_when_they_come(
    server: ServerProgram, plugin: Plugin
) -> None:
    def devices() -> list[str]:
        return sorted(one["device"] for one in server.items("can-buses"))

    until(lambda: server.items("can-drivers"), plugin)
    assert devices() == []
    plugin.knows("vcan0")
    until(lambda: devices() == ["vcan0"], plugin)
    plugin.knows("vcan1")
    until(lambda: devices() == ["vcan0", "vcan1"], plugin)
    (agent,) = server.items("agents")
    assert agent["duties"] == ["can"]


def test_what_reports_is_started_again_when_it_is_killed_and_ends_with_the_plugin(
    server: ServerProgram, plugin: Plugin
) -> None:
    until(lambda: server.items("can-drivers"), plugin)
    (first,) = plugin.children()
    os.kill(first, signal.SIGKILL)
    until(lambda: plugin.children() not in ([], [first]), plugin)
    (second,) = plugin.children()
    plugin.process.kill()
    plugin.process.wait()
    until(lambda: not Path(f"/proc/{second}").exists(), plugin)


def test_a_key_that_is_none_costs_docker_nothing(server: ServerProgram, tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, server.url, "not a key")
    try:
        until(lambda: "the server or the key is given wrongly" in plugin.log(), plugin)
        assert ask(plugin.socket, "Plugin.Activate")
        assert not plugin.children()
    finally:
        plugin.process.terminate()
        plugin.process.wait(60)
