"""Forwards on a server: the program or the agent, a real sshd, dockerd and server process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.engine import Dockerd, lab_docker  # noqa: F401 (a fixture)
from tests.lab.forwarding import HELLO, Whole, heard, until
from tests.lab.remote import RemoteHost, entered, remote_host
from tests.lab.served import ServerProgram, a_server_program

pytestmark = [pytest.mark.real, pytest.mark.slow]


@dataclass
class Place:
    host: RemoteHost
    docker: Dockerd
    server: ServerProgram
    folder: Path

    def states(self) -> dict[str, str]:
        """The states of the forwards on the server, by their containers."""
        return {f["container"]: f["state"] for f in self.server.items("forwards?gone=false")}

    def link(self) -> str:
        found = self.server.items("remote-hosts")
        return str(found[0]["state"]) if found else ""


@pytest.fixture
def place(
    lab_docker: Dockerd,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    # Short: the path of a Unix socket has at most 107 bytes.
    folder = tmp_path_factory.mktemp("w")
    with (
        remote_host(engine=lab_docker) as host,
        entered(host.client),
        a_server_program(folder / "server") as server,
    ):
        lab_docker.run("web", ports={"80/tcp": 8080}, command=HELLO)
        try:
            yield Place(host, lab_docker, server, folder)
        finally:
            lab_docker.clear()


@pytest.fixture
def whole(place: Place) -> Iterator[Whole]:
    made = Whole(place.host, place.folder)
    made.environment["MOORING_KEY"] = place.server.agent_key()
    made.start("--server", place.server.url)
    try:
        yield made
    finally:
        if made.process and made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def test_what_a_program_forwards_is_on_the_server_through_cuts_kills_and_its_end(
    place: Place, whole: Whole
) -> None:
    server = place.server
    server.until(lambda: place.states() == {"web": "listening"})
    [agent] = server.items("agents")
    assert (agent["duties"], agent["state"]) == (["forward"], "online")
    # A cut, and its end.
    place.host.stop()
    place.host.kill_sessions()
    server.until(lambda: place.states() == {"web": "held"})
    place.host.start()
    whole.ask("retry")
    server.until(lambda: place.states() == {"web": "listening"})
    # The server is away while a container comes and another goes.
    server.kill()
    place.docker.run("late", ports={"80/tcp": 8081}, command=HELLO)
    place.docker.remove("web")
    whole.ask("wait", "late")
    assert heard(8081) == b"hello\n"
    server.start()
    server.until(lambda: place.states() == {"late": "listening"})
    # The program is killed, and started again.
    assert whole.process
    whole.process.send_signal(signal.SIGKILL)
    whole.process.wait()
    place.docker.run("web", ports={"80/tcp": 8080}, command=HELLO)
    whole.start("--server", server.url)
    server.until(lambda: place.states() == {"late": "listening", "web": "listening"})
    assert len(server.items("agents")) == 1
    # What it counts, it also says itself.
    assert 'mooring_forwards{state="listening"} 2.0' in whole.ask("metrics")
    said = json.loads(whole.ask("status", "--format", "json"))["server"]
    assert (said["url"], said["fault"]) == (server.url, "")
    whole.end()
    server.until(lambda: place.link() == "stopped")
    assert place.states() == {}


def test_an_agent_forwards_as_one_of_its_duties(place: Place) -> None:
    server, data = place.server, place.folder / "data"
    file = place.folder / "forward.toml"
    file.write_text(
        f'[[host]]\naddress = "{place.host.url()}"\nidentity = "{place.host.key}"\n'
        f'known_hosts = "{place.host.known_hosts}"\n'
    )
    whole = Whole(place.host, place.folder)
    whole.environment |= {
        "MOORING_KEY": server.agent_key(),
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
    }
    command = [sys.executable, "-m", "mooring", "agent", "--server", server.url]
    command += ["--data-dir", str(data), "--forward-config", str(file)]
    with (place.folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(command, env=whole.environment, stdout=log, stderr=log)
    try:
        server.until(lambda: place.states() == {"web": "listening"})
        server.until(lambda: server.items("interfaces"))
        [agent] = server.items("agents")
        assert agent["duties"] == ["discovery", "scan", "forward"]
        assert heard(8080) == b"hello\n"
        # The commands ask it as they ask a program of its own.
        state = ("--state-dir", str(data / "forward"))

        def ask(*words: str) -> subprocess.CompletedProcess[str]:
            asking = [sys.executable, "-m", "mooring", "forward", *words, *state]
            return subprocess.run(
                asking, env=whole.environment, capture_output=True, text=True, check=False
            )

        assert "listening" in ask("status").stdout
        assert "healthy" in ask("diagnose").stdout
        assert ask("wait", "web", "--timeout", "20").returncode == 0
        assert "DOCKER_HOST=unix://" in ask("env").stdout
        second = ask("run", place.host.url())
        assert second.returncode == 1
        assert "and forwards ssh://" in second.stderr
        process.terminate()
        assert process.wait(10) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    until(lambda: place.link() == "stopped")
    assert "Traceback" not in (place.folder / "agent.log").read_text()
