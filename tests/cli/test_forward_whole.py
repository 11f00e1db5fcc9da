"""``mooring forward`` as a whole: the program, a real sshd, a real dockerd, the docker command."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab.engine import IMAGE, Dockerd, lab_docker  # noqa: F401 (a fixture)
from tests.lab.forwarding import HELLO, Whole, heard, until
from tests.lab.remote import entered, remote_host
from tests.parts import need

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(params=["asyncssh", "openssh"])
def whole(
    request: pytest.FixtureRequest,
    lab_docker: Dockerd,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Whole]:
    need("docker")
    # Short: the path of a Unix socket has at most 107 bytes.
    folder = tmp_path_factory.mktemp("w")
    with remote_host(engine=lab_docker) as host, entered(host.client):
        made = Whole(host, folder)
        made.start("--transport", request.param)
        try:
            yield made
        finally:
            if made.process and made.process.poll() is None:
                made.process.kill()
                made.process.communicate()
            lab_docker.clear()


def test_a_published_port_is_reached_and_let_go_at_the_end(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    lab_docker.run("early", ports={"80/tcp": 8080}, command=HELLO)
    whole.ask("wait", "8080", "--timeout", "60")
    assert heard(8080) == b"hello\n"
    lab_docker.run("late", ports={"80/tcp": 8081}, command=HELLO)
    whole.ask("wait", "late")
    assert heard(8081) == b"hello\n"
    status = whole.status()
    assert status["state"] == "live"
    assert {f["local"]: f["container"] for f in status["forwards"]} == {
        "127.0.0.1:8080": "early",
        "127.0.0.1:8081": "late",
    }
    lab_docker.remove("late")
    until(lambda: [f["container"] for f in whole.status()["forwards"]] == ["early"])
    assert "healthy" in whole.ask("diagnose")
    log = whole.end()
    assert "forward_opened" in log
    with pytest.raises(ConnectionRefusedError):
        heard(8080)
    assert whole.host.logins() == 1


def test_a_cut_of_the_link_refuses_nobody(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    lab_docker.run("web", ports={"80/tcp": 8080}, command=HELLO)
    whole.ask("wait", "8080", "--timeout", "60")
    for _ in range(3):
        assert whole.host.kill_sessions() > 0
        assert heard(8080) == b"hello\n"
    assert b"web" in whole.docker("ps")
    until(lambda: whole.status()["state"] == "live")
    assert whole.status()["last_drop"]["pattern"] == "network_interruption"
    assert "healthy now; in the last hour: network interruption" in whole.ask("diagnose")


def test_a_container_that_listens_on_nothing_is_said_to_by_status(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    lab_docker.run("idle", ports={"80/tcp": 8080}, command=["sleep", "1d"])
    whole.ask("wait", "8080", "--timeout", "60")
    with (
        socket.create_connection(("127.0.0.1", 8080), timeout=30) as client,
        contextlib.suppress(ConnectionResetError),
    ):
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1) == b""

    def is_said() -> bool:
        (forward,) = whole.status()["forwards"]
        # Where the transport does not count bytes, it can't be known.
        return forward["bytes_in"] is None or "anything in idle listens" in forward["detail"]

    until(is_said)


def test_more_events_than_docker_keeps_may_be_missed(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    lab_docker.run("early", ports={"80/tcp": 8080}, command=HELLO)
    whole.ask("wait", "8080", "--timeout", "60")
    whole.host.stop()
    whole.host.kill_sessions()
    until(lambda: whole.status()["state"] == "backoff")
    lab_docker.remove("early")
    made = lab_docker.run("late", ports={"80/tcp": 8081}, command=HELLO)
    # The engine keeps the last 256 events, of any kind.
    for number in range(300):
        lab_docker.call("POST", f"/containers/{made}/rename?name=late{number}")
    whole.host.start()
    whole.ask("retry")
    whole.ask("wait", "8081", "--timeout", "60")
    assert heard(8081) == b"hello\n"
    until(lambda: [f["container"] for f in whole.status()["forwards"]] == ["late299"])


def test_a_port_below_1024_without_the_right_is_a_conflict_that_says_what_to_do(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    whole.stop()
    whole.under = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    whole.start()
    lab_docker.run("web", ports={"80/tcp": 80}, command=HELLO)
    lab_docker.run("high", ports={"80/tcp": 8080}, command=HELLO)
    whole.ask("wait", "8080", "--timeout", "60")
    until(lambda: len(whole.status()["forwards"]) == 2)
    (low,) = [f for f in whole.status()["forwards"] if f["container"] == "web"]
    assert low["state"] == "conflict"
    assert "--remap 80=" in low["detail"]
    assert "--remap 80=" in whole.ask("explain", "80", code=1)


def test_the_docker_command_works_as_if_the_remote_were_here(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    lab_docker.run("tool")
    whole.live()
    assert b"tool" in whole.docker("ps")
    # Input that ends while the output is still to come passes through a hijacked connection.
    sort = ("exec", "-i", "tool", "/bin/busybox", "sort", "-r")
    assert whole.docker(*sort, given=b"a\nb\nc\n") == b"c\nb\na\n"
    count = ("run", "-i", "--rm", IMAGE, "/bin/busybox", "wc", "-c")
    assert whole.docker(*count, given=b"x" * 3_000_000).strip() == b"3000000"


def test_the_docker_command_is_held_while_the_link_is_away(whole: Whole) -> None:
    whole.live()
    whole.host.stop()
    whole.host.kill_sessions()
    until(lambda: whole.status()["state"] == "backoff")
    extra = json.loads(whole.ask("env", "--format", "json"))
    asking = subprocess.Popen(
        [need("docker"), "version", "--format", "{{.Server.Version}}"],
        env={**whole.environment, **extra}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    time.sleep(0.5)
    assert asking.poll() is None
    whole.host.start()
    whole.ask("retry")
    out, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0, out


ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    s.sendto(*s.recvfrom(65535))
"""


def test_udp_is_relayed(
    whole: Whole,
    lab_docker: Dockerd,  # noqa: F811
) -> None:
    made = lab_docker.run("dns", ports={"53/udp": 5353})
    inside = lab_docker.call("GET", f"/containers/{made}/json")["State"]["Pid"]
    enter = ["nsenter", f"--net=/proc/{inside}/ns/net", sys.executable, "-c", ECHO]
    echo = subprocess.Popen(enter)
    try:
        whole.ask("wait", "5353", "--timeout", "60")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            client.connect(("127.0.0.1", 5353))
            for _ in range(60):
                client.send(b"who?")
                try:
                    assert client.recv(100) == b"who?"
                    return
                except (TimeoutError, ConnectionRefusedError):
                    continue
        raise AssertionError(whole.ask("status"))
    finally:
        echo.kill()
        echo.wait()
