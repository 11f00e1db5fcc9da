from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KEY = "mooring_0123abcd_s3cr3t-s3cr3t-s3cr3t"
HEAVY = ("fastapi", "starlette", "sqlalchemy", "uvicorn", "alembic", "pydantic", "aiosqlite")

HANGS = """
import asyncio, sys, time
from mooring.cli.running import run_until_signal

async def main():
    # A name server that does not answer holds a thread, and threads can't be cancelled.
    waiting = asyncio.to_thread(time.sleep, 60)
    print("ready", flush=True)
    await waiting

run_until_signal(main(), 0.5)
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
    return {**kept, "DOCKER_HOST": "unix:///nowhere/docker.sock", **more}


def mooring(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end by itself."""
    command = [sys.executable, "-m", "mooring", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment(home, **more),
    )


class Agent:
    """``mooring agent`` as a process, and what it logs."""

    def __init__(
        self,
        home: Path,
        server: str,
        *arguments: str,
        python: tuple[str, ...] = (),
        **more: str,
    ):
        self.log: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [sys.executable, *python, "-m", "mooring", "agent", "--log-format=json", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(home, **{"MOORING_SERVER": server, "MOORING_KEY": KEY, **more}),
        )

    def until(self, event: str) -> None:
        """Read its log up to an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                self.log.append(json.loads(line))
                if self.log[-1]["event"] == event:
                    return
        raise AssertionError(f"it ended without {event}: {self.log}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; the seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(20)
        return time.monotonic() - began

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections (the kernel does) and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_agent_loads_neither_a_web_framework_nor_a_database(tmp_path):
    noting = ("-X", "importtime")
    loaded = set()
    with silent_server() as server, Agent(tmp_path, server, python=noting) as agent:
        assert agent.process.stderr is not None
        for line in agent.process.stderr:
            if line.startswith("import time:"):
                loaded.add(line.rpartition("|")[2].strip().partition(".")[0])
            elif '"look_ended"' in line:
                break
        agent.end()
    assert "httpx2" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_within_two_seconds_also_when_its_server_hangs(how, tmp_path):
    with silent_server() as server, Agent(tmp_path, server) as agent:
        agent.until("look_ended")
        assert agent.end(how) < 2
        assert agent.process.returncode == 0
        agent.until("agent_ended")


def test_what_can_not_be_cancelled_does_not_hold_up_the_end():
    process = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert 0.4 < time.monotonic() - began < 2


def test_reports_are_kept_below_the_data_folder_and_its_home_is_the_default(tmp_path):
    with silent_server() as server, Agent(tmp_path, server) as agent:
        agent.until("look_ended")
    kept = tmp_path / ".local" / "share" / "mooring" / "agent"
    assert len(list(kept.glob("*.json"))) == 2
    assert kept.stat().st_mode & 0o077 == 0


def test_a_second_agent_on_the_same_folder_is_told_of_the_first(tmp_path):
    with silent_server() as server, Agent(tmp_path, server) as agent:
        agent.until("agent_started")
        second = mooring(tmp_path, "agent", "--server", server, "--key", KEY)
    assert second.returncode == 1
    assert f"process {agent.process.pid}" in second.stderr
    assert "--data-dir" in second.stderr


def test_mooring_up_shares_no_folder_with_an_agent_that_runs(tmp_path):
    with silent_server() as server, Agent(tmp_path, server) as agent:
        agent.until("agent_started")
        up = mooring(tmp_path, "up", "--port", "0")
    assert up.returncode == 1
    assert f"process {agent.process.pid}" in up.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--server", "10.0.0.1:8930", "--key", KEY), "expected http://HOST:PORT"),
        (("--server", "http://10.0.0.1:8930", "--key", "a key"), "reading the agent's key"),
        (("--server", "http://10.0.0.1", "--key", KEY, "--data-dir", "/dev/null"), "is a file"),
        (("--server", "http://10.0.0.1", "--key", KEY, "--every", "0"), "--every"),
        (("--server", "http://10.0.0.1"), "--key"),
        (
            ("--server", "http://10.0.0.1", "--key-file", "/nothing"),
            "reading the key file /nothing",
        ),
        (("--server", "http://10.0.0.1", "--key", KEY, "--forward", "ssh://"), "no host in it"),
        (
            ("--server", "http://10.0.0.1", "--key", KEY, "--forward-config", "/nothing"),
            "reading the config file /nothing",
        ),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said_in_words(arguments, said, tmp_path):
    done = mooring(tmp_path, "agent", *arguments)
    assert done.returncode != 0
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert "s3cr3t" not in done.stderr + done.stdout


def test_a_key_is_taken_from_a_file(tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    with silent_server() as server:
        listening = Agent(tmp_path, server, "--key-file", str(tmp_path / "key"), MOORING_KEY="")
        with listening as agent:
            agent.until("look_ended")


@pytest.mark.slow
def test_a_second_agent_that_forwards_is_told_of_the_program_that_does(tmp_path):
    # Nobody answers there: that it is tried is what matters.
    nowhere = ("--forward", "ssh://127.0.0.1:1")
    with silent_server() as server, Agent(tmp_path, server, *nowhere) as agent:
        agent.until("link_connecting")
        again = ("--server", server, "--key", KEY, *nowhere)
        # A folder of its own for its reports, and one with the other for what is forwarded.
        (tmp_path / "other").mkdir()
        data = tmp_path / ".local" / "share" / "mooring"
        (tmp_path / "other" / "forward").symlink_to(data / "forward")
        second = mooring(tmp_path, "agent", *again, "--data-dir", str(tmp_path / "other"))
        assert agent.end() < 2
    assert second.returncode == 1
    assert f"process {agent.process.pid}" in second.stderr
    assert "mooring forward status" in second.stderr


def test_a_forwarding_part_that_fails_does_not_end_the_looking(tmp_path):
    # No socket can be made there: its path is too long.
    data = tmp_path / ("x" * 100)
    more = ("--data-dir", str(data), "--forward", "ssh://127.0.0.1:1", "--every", "0.1")
    with silent_server() as server, Agent(tmp_path, server, *more) as agent:
        agent.until("task_failed")
        assert "choose a shorter folder" in agent.log[-1]["reason"]
        agent.until("look_ended")
        agent.until("look_ended")


def test_an_outbox_that_cannot_be_opened_is_said_in_words(tmp_path):
    (tmp_path / "agent" / "state").mkdir(parents=True)
    done = mooring(
        tmp_path,
        *("agent", "--server", "http://127.0.0.1:1", "--key", KEY),
        *("--data-dir", str(tmp_path)),
    )
    assert done.returncode == 1
    assert "opening the outbox" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["up", "server"])
def test_a_port_in_use_is_said_in_words(command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mooring(tmp_path, command, "--port", str(port))
    assert done.returncode == 1
    assert f"listening on 127.0.0.1 port {port}: address already in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_agent_whose_log_nobody_reads_any_more_ends_all_the_same(tmp_path):
    # Every line that it writes fills the pipe; then it is stuck in the middle of one.
    with silent_server() as server, Agent(tmp_path, server, "--every=0.01") as agent:
        agent.until("look_ended")
        time.sleep(2)
        assert agent.end() < 2.2
