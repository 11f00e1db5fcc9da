"""The socket: what is not a call, what comes at once, what is left behind by a killed process."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.can import protocol
from mooring.can.protocol import Call
from mooring.can.serve import _converse, listening
from mooring.can.unanswered import Unanswered
from mooring.core.errors import MooringError
from mooring.core.lines import Lines

NETWORK, ENDPOINT = "ab" * 32, "cd" * 32


def say(
    answer: Any, request: bytes, logged: io.StringIO | None = None
) -> tuple[int, dict[str, Any]]:
    """What comes back for these bytes on a connection."""
    ours, theirs = socket.socketpair()
    log = Lines("error", stream=logged or io.StringIO())
    unanswered = Unanswered(Path("/nowhere"), "this boot", log)
    thread = threading.Thread(target=_converse, args=(theirs, answer, unanswered, log))
    thread.start()
    with ours:
        ours.sendall(request)
        ours.shutdown(socket.SHUT_WR)
        received = b""
        while part := ours.recv(65536):
            received += part
    thread.join()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    return int(head.split()[1]), json.loads(body)


def post(verb: str, body: bytes | dict[str, Any] = b"", answer: Any = None) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST /{verb} HTTP/1.1\r\nHost: \r\nContent-Length: {len(content)}\r\n\r\n"
    return say(answer or (lambda call: {"verb": call.verb}), head.encode() + content)


def test_a_call_comes_to_the_driver_with_what_it_says() -> None:
    seen: list[Call] = []

    def answer(call: Call) -> dict[str, Any]:
        seen.append(call)
        return {}

    body = {
        "NetworkID": NETWORK, "EndpointID": ENDPOINT, "SandboxKey": "/var/run/docker/netns/1",
        "Options": {"vxcan.peer": "can"}, "Unheard": [1, {}],
    }  # fmt: skip
    assert post("NetworkDriver.Join", body, answer) == (200, {})
    (call,) = seen
    assert (call.verb, call.network, call.endpoint) == ("Join", NETWORK, ENDPOINT)
    assert call.sandbox == "/var/run/docker/netns/1"
    assert call.options == {"vxcan.peer": "can"}


@pytest.mark.parametrize(
    ("pool", "space", "addressed"),
    [("0.0.0.0/0", "null", False), ("172.17.0.0/16", "LocalDefault", True), ("", "", False)],
)
def test_a_network_with_addresses_is_told_from_one_without(
    pool: str, space: str, addressed: bool
) -> None:
    body = {"NetworkID": NETWORK, "IPv4Data": [{"AddressSpace": space, "Pool": pool}]}
    call = protocol.parse("/NetworkDriver.CreateNetwork", json.dumps(body).encode())
    assert call.addressed is addressed


@pytest.mark.parametrize("verb", ["Plugin.Activate", "NetworkDriver.GetCapabilities"])
def test_verbs_without_a_body_are_answered(verb: str) -> None:
    assert post(verb)[0] == 200


@pytest.mark.parametrize(
    ("verb", "body", "status", "said"),
    [
        ("NetworkDriver.Fly", b"{}", 404, "no verb 'NetworkDriver.Fly'"),
        ("", b"{}", 404, "no verb"),
        ("NetworkDriver.CreateNetwork", b"", 400, "the body is empty"),
        ("NetworkDriver.Leave", b"  ", 400, "the body is empty"),
        ("NetworkDriver.CreateNetwork", b"{", 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b"[1]", 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b'"x"', 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b"\xff\xfe", 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b"[" * 100_000, 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b'{"NetworkID": 5}', 400, "not the JSON"),
        ("NetworkDriver.CreateNetwork", b'{"NetworkID": "ab12"}', 400, "64 hexadecimal digits"),
        ("NetworkDriver.CreateNetwork", {"NetworkID": "g" * 64}, 400, "64 hexadecimal digits"),
        ("NetworkDriver.CreateNetwork", {"NetworkID": "../" + "a" * 61}, 400, "64 hexadecimal"),
        ("NetworkDriver.Join", {"NetworkID": NETWORK}, 400, "EndpointID should be"),
        (
            "NetworkDriver.Join",
            {"NetworkID": NETWORK, "EndpointID": ENDPOINT, "SandboxKey": "x" * 5000},
            400,
            "SandboxKey",
        ),
    ],
)
def test_what_is_not_a_call_is_refused_with_a_text(
    verb: str, body: Any, status: int, said: str
) -> None:
    got, answer = post(verb, body)
    assert got == status
    assert said in answer["Err"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /NetworkDriver.Join HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
        (b"POST /NetworkDriver.Join HTTP/1.1\r\nContent-Length: 9" + b"9" * 50 + b"\r\n\r\n", 413),
        (b"POST /NetworkDriver.Join HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /NetworkDriver.Join HTTP/1.1\r\nContent-Length: 50\r\n\r\n{}", 400),
        (b"POST /NetworkDriver.Join HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"BREW /NetworkDriver.Join HTTP/1.1\r\n\r\n", 501),
        (b"hello\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_what_is_not_http_of_ours_is_refused_with_a_text(request_: bytes, status: int) -> None:
    got, answer = say(lambda _: {}, request_)
    assert got == status
    assert answer["Err"].startswith("mooring-can: ")


def test_who_sends_far_too_much_is_told_so() -> None:
    status, answer = post("NetworkDriver.Join", b"x" * (4 << 20))
    assert status == 413
    assert "over 1048576 bytes" in answer["Err"]


def test_an_error_names_the_thing_and_the_remedy() -> None:
    def answer(_: Call) -> dict[str, Any]:
        raise MooringError("making the interface vcan0", "not permitted", "run it as root")

    status, told = post("Plugin.Activate", answer=answer)
    assert status == 500
    expected = "mooring-can: making the interface vcan0: not permitted (run it as root)"
    assert told == {"Err": expected}


def test_a_fault_of_ours_is_answered_too_and_the_log_says_where_it_is() -> None:
    def broken(_: Call) -> dict[str, Any]:
        raise KeyError("surprise")

    logged = io.StringIO()
    status, told = say(broken, b"POST /Plugin.Activate HTTP/1.1\r\n\r\n", logged)
    assert status == 500
    assert "KeyError" in told["Err"]
    assert "see the log of mooring-can" in told["Err"]
    assert "in broken\n" in logged.getvalue()


# --- the process


class Process:
    """``mooring can serve`` on a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, **more: Any) -> None:
        self.socket = folder / "s.sock"
        self.command = [
            sys.executable, "-m", "mooring", "can", "serve", "--socket", str(self.socket),
            "--state-dir", str(folder / "state"), "--log-format", "json", *arguments,
        ]  # fmt: skip
        self.log = folder / "log"
        self.more = more
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, **self.more)

    def wait_until_it_answers(self) -> None:
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            try:
                self.call("Plugin.Activate")
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.02)
            else:
                return
        pytest.fail("it does not answer")

    def call(self, verb: str, body: bytes = b"") -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket))
            head = f"POST /{verb} HTTP/1.1\r\nHost: \r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            received = b""
            while part := connection.recv(65536):
                received += part
        answer: dict[str, Any] = json.loads(received.partition(b"\r\n\r\n")[2])
        return answer

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    try:
        process.wait_until_it_answers()
        yield process
    finally:
        if process.process.poll() is None:
            process.end(signal.SIGKILL)


def test_it_serves_until_a_signal_and_takes_its_socket_along(running: Process) -> None:
    assert running.call("NetworkDriver.GetCapabilities")["Scope"] == "local"
    assert running.socket.stat().st_mode & 0o777 == 0o600
    assert running.end() == 0
    assert not running.socket.exists()


def test_the_socket_file_of_a_killed_process_is_no_obstacle(running: Process) -> None:
    running.end(signal.SIGKILL)
    assert running.socket.exists()
    running.start()
    running.wait_until_it_answers()


def test_a_second_one_on_the_same_folder_says_who_has_it(running: Process) -> None:
    second = subprocess.run(running.command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"process {running.process.pid}" in second.stderr


def test_a_second_one_on_the_same_socket_is_refused(running: Process, tmp_path: Path) -> None:
    command = [part.replace("/state", "/other") for part in running.command]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "another process serves there" in second.stderr
    assert running.call("Plugin.Activate")


def test_calls_that_come_while_it_is_away_are_served_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(10)

        def hand_over() -> None:
            os.dup2(listener.fileno(), 3)

        def activated() -> Process:
            script = "import os,sys; os.environ['LISTEN_PID']=str(os.getpid()); "
            script += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
            process = Process.__new__(Process)
            process.socket, process.log = path, tmp_path / "log"
            process.more = {
                "preexec_fn": hand_over,
                "pass_fds": (3,),
                "env": {**os.environ, "LISTEN_FDS": "1"},
            }
            process.command = [
                sys.executable, "-c", script, "-m", "mooring", "can", "serve",
                "--state-dir", str(tmp_path / "state"), "--socket", "/nowhere/s.sock",
            ]  # fmt: skip
            process.start()
            return process

        first = activated()
        assert first.call("Plugin.Activate") == {"Implements": ["NetworkDriver"]}
        assert first.end() == 0
        assert path.exists()
        answers: list[dict[str, Any]] = []
        waiting = threading.Thread(target=lambda: answers.append(first.call("Plugin.Activate")))
        waiting.start()
        second = activated()
        waiting.join(60)
        assert answers == [{"Implements": ["NetworkDriver"]}]
        assert second.end() == 0


def test_a_call_that_waits_for_a_device_keeps_no_other_waiting(running: Process) -> None:
    generic = {"vxcan.dev": "can", "vxcan.id": "77", "vxcan.wait": "300"}
    body = {"NetworkID": NETWORK, "Options": {"com.docker.network.generic": generic}}
    content = json.dumps(body).encode()
    head = f"POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(running.socket))
        connection.sendall(head.encode() + content)
        limit = time.monotonic() + 60
        while "waiting_for_device" not in running.log.read_text():
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert running.call("Plugin.Activate")
        running.end(signal.SIGKILL)


def test_a_client_that_says_nothing_keeps_no_other_waiting(running: Process) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(running.socket))
        assert running.call("Plugin.Activate")


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with (
        pytest.raises(MooringError, match="no socket"),
        listening(path, Lines("error", stream=io.StringIO())),
    ):
        pass
    assert path.read_text() == "precious"


def test_the_door_loads_nothing_of_the_other_capabilities() -> None:
    script = "import sys; from mooring.cli.can import main\nimport mooring.can.run\n"
    script += "print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {"asyncio", "structlog", "cyclopts", "rich", "fastapi", "sqlalchemy", "asyncssh"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith(("mooring.server", "mooring.forward"))}


@pytest.mark.parametrize(
    "arguments", [["serve", "--log-level", "loud"], ["serve", "--sockets"], ["fly"]]
)
def test_what_was_asked_wrongly_ends_with_2(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "mooring", "can", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: mooring can" in done.stderr
