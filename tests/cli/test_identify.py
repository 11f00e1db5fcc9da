"""``mooring identify``: what it prints of a host's ports, and how it tells what is wrong."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mooring.cli.identify import identify_command
from mooring.core.errors import MooringError, UsageError
from tests.lab.netns import namespace
from tests.parts import need


class Grafana(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<title>Grafana</title>[bold]what others send is no markup[/nonsense]"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Grafana) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_port_is_explained(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    identify_command(f"127.0.0.1:{port}")
    said = capsys.readouterr().out
    assert f"{port}/tcp" in said
    assert "GET /: 200 Grafana" in said
    assert "http_title" in said


def test_a_program_can_read_it(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    identify_command(f"localhost:{port}", format="json")
    said = json.loads(capsys.readouterr().out)
    (found,) = said["ports"]
    assert (said["host"], found["number"], found["protocol"]) == ("localhost", port, "tcp")
    assert found["services"][0]["name"] == "grafana"
    assert found["asked"]


def test_an_entry_of_ones_own_is_used_and_a_bad_one_is_told(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[service]]\nname = "mine"\ntitle = "Mine"\ncategory = "web"\ninstead_of = ["grafana"]\n'
        "match = [{ means = 'http_body', pattern = 'is no markup', confidence = 0.9 }]\n"
    )
    (tmp_path / "bad.toml").write_text('[[service]]\nname = "bad"\nsize = 3\n')
    identify_command(f"127.0.0.1:{port}", format="json", catalogue=tmp_path)
    said = capsys.readouterr()
    names = [s["name"] for s in json.loads(said.out)["ports"][0]["services"]]
    assert "mine" in names
    assert "grafana" not in names
    assert "bad.toml, line 3: size of bad: there is no such key here" in said.err


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", ":80", "", "http://127.0.0.1", "a@b:22",
     "[::1", "a/b:80", "127.0.0.1:80/"],
)  # fmt: skip
def test_what_is_no_host_and_port_is_refused_with_what_to_write(target: str) -> None:
    with pytest.raises(UsageError) as raised:
        identify_command(target)
    assert "HOST:PORT" in raised.value.remedy


@pytest.mark.parametrize(
    ("target", "attempted"),
    [
        ("no-such-host.invalid", "looking up no-such-host.invalid"),
        ("x" * 300, "looking up"),
        ("127.77.0.9:1", "asking port 1 of 127.77.0.9"),
    ],
)
def test_what_fails_says_what_was_attempted(target: str, attempted: str) -> None:
    with pytest.raises(MooringError) as raised:
        identify_command(target)
    assert raised.value.attempted.startswith(attempted)
    assert raised.value.remedy


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        identify_command("127.0.0.1:1", catalogue=Path("/no/such/folder"))


def test_a_link_local_address_is_asked_on_its_link(capsys: pytest.CaptureFixture[str]) -> None:
    need("netns")

    def made(kind: socket.SocketKind, port: int) -> socket.socket:
        one = socket.socket(socket.AF_INET6, kind)
        one.bind(socket.getaddrinfo("fe80::5%d0", port, type=kind)[0][4])
        return one

    def answer(server: socket.socket) -> None:
        asked, there = server.recvfrom(100)
        server.sendto(asked[:8] + b"VERSION 1.6.18\r\n", there)

    with namespace() as ns:
        ns.batch(
            "link add d0 type veth peer name d1",
            "addr add fe80::5/64 dev d0 nodad",
            "link set d0 up",
            "link set d1 up",
        )
        with (
            ns.call(made, socket.SOCK_STREAM, 22) as listener,
            ns.call(made, socket.SOCK_DGRAM, 11211) as server,
        ):
            listener.listen()
            threading.Thread(target=answer, args=(server,), daemon=True).start()
            ns.call(identify_command, "fe80::5%d0", format="json")
    said = json.loads(capsys.readouterr().out)
    found = [(p["number"], [one["name"] for one in p["services"]]) for p in said["ports"]]
    assert (said["ip"], found) == ("fe80::5%d0", [(22, []), (11211, ["memcached"])])
