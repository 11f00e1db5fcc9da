"""What a person types for ``forward``, and what comes of it: words, tables, JSON, exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from rich.console import Console, Group

from mooring.cli import main
from mooring.cli.forward import app as forward_app
from mooring.cli.forward import run
from mooring.cli.forward.logfile import BoundedLog
from mooring.cli.forward.options import COMMANDS
from mooring.cli.forward.status import _host
from mooring.cli.options import key_of
from mooring.core.tasks import Tasks
from mooring.forward.address import Address
from mooring.forward.config import File, Host
from mooring.model.forward import Forward, ForwardState, LinkState, RemoteHost
from tests.forward.fakes import Engine, free_port, hear, program, until
from tests.forward.test_site import Lab

# The whole of main() is called, which reads the words from sys.argv as it always does.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

TOP = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_log() -> Iterator[None]:
    """What the instance in the test's own process logs is not what a command says."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that nothing of this machine's user counts."""
    for name in ("DATA_DIR", "FORWARD_STATE_DIR", "SERVER", "KEY"):
        monkeypatch.delenv(f"MOORING_{name}", raising=False)
    for name in ("DOCKER_CONFIG", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.setenv("USER", "deploy")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


class Mooring:
    """Calls the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.state: Path | None = None

    def __call__(self, *words: str) -> Ran:
        more = ("--state-dir", str(self.state)) if self.state else ()
        self._monkeypatch.setattr(sys, "argv", ["mooring", "forward", *words, *more])
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)

    async def ask(self, *words: str) -> Ran:
        """The same beside an instance that runs in the test's own loop."""
        return await asyncio.to_thread(self, *words)


@pytest.fixture
def mooring(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Mooring:
    return Mooring(monkeypatch, capsys)


def context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / name
    folder.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    described = {"Name": name, "Metadata": {}, "Endpoints": endpoints}
    (folder / "meta.json").write_text(json.dumps(described))


# --- asked wrongly

WRONG = [
    ("run", "forwarding: there is no remote host"),
    ("run ssh://", "there is no host in it"),
    ("ssh://", "there is no host in it"),
    ("run http://x", "expected the scheme ssh, got 'http'"),
    ("run ssh://me:pw@x", "'ssh://me:…@x': a password can't be given here"),
    ("run nobody", "there is no Docker context of that name"),
    ("run ssh://x ssh://x", "ssh://x is named twice"),
    ("run ssh://x --host ssh://x", "ssh://x is named twice"),
    ("run ssh://x --remap 80", "expected REMOTE=LOCAL, two ports from 1 to 65535"),
    ("run ssh://x --remap 80=1 --remap 80=2", "the remote port 80 goes to 1 already"),
    ("run ssh://x --bind localhost", "expected an IP address (localhost is 127.0.0.1)"),
    ("run ssh://x --include port=x", "expected port=N or port=N-M"),
    ("run ssh://x --exclude label", None),
    ("run ssh://x --identity /nothing", "reading the private key /nothing for ssh://x: no such"),
    ("run ssh://x --known-hosts /nothing", "reading the known hosts /nothing for ssh://x: no such"),
    ("run ssh://x --docker-host tcp://y", "expected unix:///PATH, a socket on the remote host"),
    ("run --config /nothing", "reading the config file /nothing: no such file or directory"),
    ("run ssh://x --transport putty", 'Choose from: "asyncssh", "openssh"'),
    ("run ssh://x --log-file /nothing/log", "opening the log /nothing/log: no such file"),
    ("run ssh://x --server 10.0.0.1", "expected http://HOST:PORT or https://HOST"),
    ("run ssh://x --server http://10.0.0.1", "reporting to http://10.0.0.1: there is no key"),
    ("run ssh://x --server http://10.0.0.1 --key-file /nothing", "reading the key file /nothing"),
    ("run ssh://x --key-file /nothing", "there is no server to report to"),
    ("service install ssh://x --server http://10.0.0.1", "there is no key file, and a service"),
    ("wait 99999", "reading the port '99999': expected one from 1 to 65535"),
    ("explain 0", "reading the port '0': expected one from 1 to 65535"),
    ("wait 80 --timeout -1", "--timeout"),
    ("history --limit 0", "--limit"),
    ("service uninstall", "there is no"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[w for w, _ in WRONG])
def test_what_is_asked_wrongly_is_told_and_the_exit_code_is_two(
    mooring: Mooring, words: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said is None:
        # A word of its own is a container's name: nothing is wrong with it.
        monkeypatch.setattr("mooring.cli.forward.run.make_site", _refuse)
        with pytest.raises(AssertionError, match="it would start"):
            mooring(*words.split())
        return
    ran = mooring(*words.split())
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def _refuse(*given: Any) -> None:
    raise AssertionError("it would start")


def test_a_fault_in_the_config_file_is_told_with_its_line_and_column(
    mooring: Mooring, tmp_path: Path
) -> None:
    file = tmp_path / "forward.toml"
    file.write_text('[[host]]\n  adress = "ssh://x"\n')
    ran = mooring("run", "--config", str(file))
    assert ran.code == 2
    assert f"reading {file}, line 2, column 3: there is no key 'adress' here" in ran.err
    file.write_bytes(b'[[host]]\naddress = "ssh://\xff"\n')
    assert "line 2, column 18: it is not UTF-8 there" in mooring("run", "--config", str(file)).err


def test_a_command_that_was_misspelt_is_not_taken_for_a_host(mooring: Mooring) -> None:
    ran = mooring("stauts")
    assert ran.code == 2
    assert "did you mean: mooring forward status?" in ran.err


def test_every_command_is_known_to_who_looks_for_misspelt_ones() -> None:
    assert {name for name in forward_app if not name.startswith("-")} == set(COMMANDS)


def test_a_context_that_does_not_lead_over_ssh_is_told(mooring: Mooring, home: Path) -> None:
    context(home, "desktop", "unix:///home/me/docker.sock")
    context(home, "build", "ssh://deploy@build.example")
    ran = mooring("run", "desktop")
    assert ran.code == 2
    assert "leads to unix:///home/me/docker.sock, and not over SSH" in ran.err
    assert "build" in ran.err
    assert "did you mean the context build?" in mooring("run", "buidl").err


def test_a_context_a_file_and_an_address_are_hosts_in_their_order(
    mooring: Mooring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(home, "build", "ssh://deploy@build.example")
    (home / "forward.toml").write_text('[[host]]\naddress = "ssh://c"\nbind = "127.0.0.3"\n')
    seen: list[Any] = []

    def site(hosts: Any, folder: Path) -> None:
        seen.extend(hosts)
        raise AssertionError("it would start")

    monkeypatch.setattr("mooring.cli.forward.run.make_site", site)
    with pytest.raises(AssertionError):
        mooring(
            *("build", "--host", "ssh://b", "--config", str(home / "forward.toml")),
            *("--bind", "127.0.0.2", "--remap", "80=8080", "--include", "web", "--include", "db"),
        )
    assert [(str(h.address), h.bind) for h in seen] == [
        ("ssh://deploy@build.example", "127.0.0.2"),
        ("ssh://b", "127.0.0.2"),
        ("ssh://c", "127.0.0.3"),
    ]
    assert seen[0].remap == {80: 8080}
    assert seen[0].include == ("web", "db")
    assert seen[2].remap == {}


@pytest.mark.parametrize(
    "words", ["status", "diagnose", "history", "explain 80", "env", "retry", "wait 80 --timeout 0"]
)
def test_when_nothing_runs_the_exit_code_is_three_and_it_is_said_how_to_start(
    mooring: Mooring, words: str
) -> None:
    ran = mooring(*words.split())
    assert ran.code == 3
    assert ran.out == ""
    assert "none run there" in ran.err
    assert "mooring forward run ssh://USER@HOST" in ran.err


# --- beside an instance that runs


@pytest.fixture
async def lab(tmp_path: Path, mooring: Mooring) -> AsyncIterator[Lab]:
    folder = tmp_path / "state"
    folder.mkdir()
    mooring.state = folder
    async with Tasks("test") as tasks:
        made = Lab(folder, tasks)
        for engine in made.engines.values():
            await engine.up()
        await made.go()
        yield made
    for name, engine in made.engines.items():
        await engine.down()
        for link in made.hosts[name].links:
            await link.close()


HOST = ["host", "state", "since", "generation", "consecutive_failures", "docker", "ping_ms",
        "last_drop", "forwards"]  # fmt: skip
FORWARD = ["local", "remote", "protocol", "container", "state", "since", "connections",
           "bytes_in", "bytes_out", "detail"]  # fmt: skip


async def test_the_status_as_json_has_exactly_the_keys_that_are_promised(
    lab: Lab, mooring: Mooring
) -> None:
    lab.engines["a"].start("web", free_port())
    await until(lambda: lab.states("a"))
    lab.hosts["b"].link.kill()
    await until(lambda: lab.site.status()[1].generation == 2)
    await until(lambda: lab.site.status()[1].state is LinkState.LIVE)
    ran = await mooring.ask("status", "--format", "json")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert list(said) == ["hosts"]
    assert [list(host) for host in said["hosts"]] == [HOST, HOST]
    assert [list(f) for f in said["hosts"][0]["forwards"]] == [FORWARD]
    assert list(said["hosts"][1]["last_drop"]) == ["at", "pattern", "seconds"]
    assert said["hosts"][0]["docker"] == "docker 20.10.24 at unix:///var/run/docker.sock"


async def test_the_status_as_yaml_says_the_same(lab: Lab, mooring: Mooring) -> None:
    lab.engines["a"].start("web", free_port())
    await until(lambda: lab.states("a"))
    as_json = json.loads((await mooring.ask("status", "--format", "json")).out)
    as_yaml = yaml.safe_load((await mooring.ask("status", "--format", "yaml")).out)
    for said in (as_json, as_yaml):
        for host in said["hosts"]:
            del host["ping_ms"]
    assert as_yaml == as_json


async def test_the_status_says_why_a_link_is_away(lab: Lab, mooring: Mooring) -> None:
    lab.hosts["a"].locked()
    lab.hosts["a"].link.kill()
    await until(lambda: lab.site.status()[0].state is LinkState.BLOCKED)
    said = json.loads((await mooring.ask("status", "--format", "json")).out)
    assert said["hosts"][0]["state"] == "blocked"
    assert said["hosts"][0]["docker"] == "logging in: the key was denied (ssh-add)"
    shown = (await mooring.ask("status")).out
    assert "  logging in: the key was denied\n  → ssh-add\n" in shown
    assert "blocked for 0 s" in shown


async def test_the_table_fits_a_hundred_columns_and_shows_conflicts_in_words(
    lab: Lab, mooring: Mooring
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        long = "project-with-a-very-long-name-from-compose-and-a-service-1"
        lab.engines["a"].start(long, taken, free_port())
        lab.engines["a"].start("sctp", {"PrivatePort": 1, "PublicPort": 2, "Type": "sctp"})
        await until(lambda: len(lab.states("a")) == 3)
        shown = (await mooring.ask("status")).out
    lines = shown.splitlines()
    assert max(len(line) for line in lines if not line.endswith(f"={taken + 1}")) <= 100
    assert f"127.0.0.1:{taken} " in shown
    assert "conflict" in shown
    # It names its place itself, and what it advises is on one line, for copying.
    (note,) = (line for line in lines if "is taken by" in line)
    assert note.startswith(f"127.0.0.1:{taken}/tcp is taken by")
    assert note.endswith(f"--remap {taken}={taken + 1}")
    assert "sctp can't be forwarded over SSH" in shown
    assert "no container publishes a port" in shown


def forward(**more: Any) -> Forward:
    made = Forward("127.0.0.1:80", "127.0.0.1:80", "tcp", "web", ForwardState.LISTENING, 1.0)
    return replace(made, **more)


def shown_at(width: int, host: RemoteHost) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(Group(*_host(host, width, fold=False)), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_in_a_narrow_terminal_the_container_stays_and_the_counts_go() -> None:
    host = RemoteHost("ssh://a", LinkState.LIVE, 1.0, 1, 0, "docker", 1.0, None, (forward(),))
    narrow = shown_at(60, host)
    assert "container" in narrow
    assert " web " in narrow
    assert "uses" not in narrow
    assert "uses" in shown_at(100, host)


def test_failures_are_told_of_a_link_that_fails_and_not_of_one_that_is_there() -> None:
    away = RemoteHost("ssh://a", LinkState.BACKOFF, 1.0, 9, 10, "", None, None, ())
    assert "10 failures in a row" in shown_at(100, away)
    for state in (LinkState.LIVE, LinkState.SUSPECT):
        assert "in a row" not in shown_at(100, replace(away, state=state))


def test_what_is_said_at_the_start_holds_for_several_hosts_and_for_addresses_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = Host(Address("a"), bind="192.0.2.1"), Host(Address("b"))
    run._greet(File((a, b)), tmp_path, shown=False)
    said = capsys.readouterr().out
    assert 'Docker    eval "$(mooring forward env ssh://a)"' in said
    assert 'Docker    eval "$(mooring forward env ssh://b)"' in said
    assert "at 192.0.2.1, which is not an address of this machine now: see --bind" in said
    run._greet(File((b,)), tmp_path, shown=False)
    assert 'eval "$(mooring forward env)"' in capsys.readouterr().out


async def test_waiting_ends_with_zero_when_it_is_there_and_with_one_and_why_when_not(
    lab: Lab, mooring: Mooring
) -> None:
    port = free_port()
    lab.engines["a"].start("web", port)
    ran = await mooring.ask("wait", str(port))
    assert (ran.code, ran.err) == (0, "")
    assert f"127.0.0.1:{port}/tcp leads to web on ssh://a" in ran.out
    assert (await mooring.ask("wait", "web")).code == 0
    ran = await mooring.ask("wait", "1", "--timeout", "0.05")
    assert (ran.code, ran.out) == (1, "")
    assert "waiting for 1: not there after 0.05 s" in ran.err
    assert "no running container on ssh://a, ssh://b publishes port 1" in ran.err


async def test_waiting_may_begin_before_the_instance_that_is_waited_for(
    tmp_path: Path, mooring: Mooring
) -> None:
    mooring.state = tmp_path / "later"
    mooring.state.mkdir()
    async with Tasks("test") as tasks:
        made = Lab(mooring.state, tasks)
        for engine in made.engines.values():
            await engine.up()
        port = free_port()
        made.engines["a"].start("web", port)
        waiting = tasks.start("wait", mooring.ask("wait", str(port), "--timeout", "5"))
        await asyncio.sleep(0.1)
        await made.go()
        assert (await waiting).code == 0
    for name, engine in made.engines.items():
        await engine.down()
        for link in made.hosts[name].links:
            await link.close()


async def test_explaining_ends_with_zero_when_it_is_there_and_with_one_when_not(
    lab: Lab, mooring: Mooring
) -> None:
    port = free_port()
    lab.engines["a"].start("web", port)
    await until(lambda: lab.states("a"))
    assert (await mooring.ask("explain", str(port))).code == 0
    ran = await mooring.ask("explain", "no-such")
    assert ran.code == 1
    assert ran.out == "there is no container no-such on ssh://a, ssh://b\n"


async def test_explaining_ends_with_one_while_a_port_listens_and_refuses(
    lab: Lab, mooring: Mooring
) -> None:
    port = free_port()
    lab.engines["a"].start("web", port)
    await until(lambda: lab.states("a"))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await until(lambda: lab.site.status()[0].forwards[0].detail)
    ran = await mooring.ask("explain", str(port))
    assert (ran.code, "connection refused" in ran.out) == (1, True)


async def test_a_diagnosis_of_healthy_links_says_so_and_ends_with_zero(
    lab: Lab, mooring: Mooring
) -> None:
    ran = await mooring.ask("diagnose")
    assert ran.code == 0
    assert ran.out.count("healthy") == 2
    assert "Docker answered in" in ran.out


async def test_a_diagnosis_of_a_sick_link_says_what_to_do_and_ends_with_one(
    lab: Lab, mooring: Mooring
) -> None:
    lab.hosts["a"].unreachable()
    lab.hosts["a"].link.kill()
    await until(lambda: lab.site.status()[0].state is LinkState.BACKOFF)
    ran = await mooring.ask("diagnose", "a")
    assert ran.code == 1
    assert "ssh://a  network interruption" in ran.out
    assert "what to do" in ran.out


async def test_a_link_that_was_cut_and_is_good_again_is_healthy_now_and_the_exit_code_is_zero(
    lab: Lab, mooring: Mooring
) -> None:
    lab.hosts["a"].link.kill()
    await until(lambda: lab.site.status()[0].generation == 2)
    await until(lambda: lab.site.status()[0].state is LinkState.LIVE)
    ran = await mooring.ask("diagnose", "a")
    assert ran.code == 0
    flat = " ".join(ran.out.split())
    assert "ssh://a healthy now; in the last hour: network interruption, 1 time: link lost" in flat
    assert "what to do if it comes again" in flat
    # A line may hold a command to copy, and is not broken however long it is.
    assert "is a proxy, a firewall or a VPN between here and there\n" in ran.out
    (advice,) = (line for line in ran.out.splitlines() if "journalctl" in line)
    assert len(advice) > 100
    said = json.loads((await mooring.ask("diagnose", "--format", "json")).out)
    diagnosis = said["hosts"][0]["diagnosis"]
    assert (diagnosis["pattern"], diagnosis["now"]) == ("network_interruption", False)
    record = said["hosts"][0]["records"][0]
    assert {"startup_ms", "first_event_ms", "events", "idle_ms", "total_ms", "clean",
            "consecutive_failures"} <= record.keys()  # fmt: skip


async def test_what_was_recorded_can_be_looked_at_when_nothing_runs(
    lab: Lab, mooring: Mooring
) -> None:
    port = free_port()
    lab.engines["a"].start("web", port)
    await until(lambda: lab.states("a"))
    lab.task.cancel()
    await asyncio.wait([lab.task])
    ran = await mooring.ask("history", "--limit", "100")
    assert ran.code == 0
    assert f"127.0.0.1:{port}/tcp  web" in ran.out
    assert "stopped" in ran.out
    said = json.loads((await mooring.ask("history", "--limit", "1", "--format", "json")).out)
    assert [m["what"] for m in said["history"]] == ["stopped"]
    ran = await mooring.ask("diagnose")
    assert ran.code == 3
    assert "it does not run" in ran.out
    ran = await mooring.ask("history", "c")
    assert ran.code == 2
    assert "one of: ssh://a, ssh://b" in ran.err


async def test_the_environment_for_each_shell(lab: Lab, mooring: Mooring) -> None:
    local = f"unix://{lab.folder}/hosts/b/docker.sock"
    ran = await mooring.ask("env", "b")
    assert ran.out == (
        f"export DOCKER_HOST={local}\n"
        "export TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE=/var/run/docker.sock\n"
    )
    assert (
        f"set -gx DOCKER_HOST {local};" in (await mooring.ask("env", "b", "--format", "fish")).out
    )
    shown = (await mooring.ask("env", "b", "--format", "powershell")).out
    assert f"$Env:DOCKER_HOST = '{local}'" in shown
    assert (await mooring.ask("env", "b", "--format", "plain")).out.startswith(
        f"DOCKER_HOST={local}"
    )
    said = json.loads((await mooring.ask("env", "b", "--format", "json")).out)
    assert said["DOCKER_HOST"] == local


async def test_of_several_hosts_one_must_be_named_for_the_environment(
    lab: Lab, mooring: Mooring
) -> None:
    ran = await mooring.ask("env")
    assert ran.code == 2
    assert "one of: ssh://a, ssh://b" in ran.err
    for question in ("env", "history", "diagnose", "retry"):
        ran = await mooring.ask(question, "c")
        assert ran.code == 2
        assert "it is none of those that are forwarded" in ran.err
        assert "one of: ssh://a, ssh://b" in ran.err


async def test_a_retry_says_what_it_tries(lab: Lab, mooring: Mooring) -> None:
    ran = await mooring.ask("retry", "ssh://b")
    assert ran.code == 0
    assert ran.out.startswith("ssh://b is tried")


# --- service and doctor


def test_a_service_is_shown_before_it_is_installed(mooring: Mooring, home: Path) -> None:
    mooring.state = home / "my state"
    ran = mooring("service", "install", "ssh://deploy@build", "--remap", "80=8080", "--dry-run")
    assert ran.code == 0
    assert f"# {home}/config/systemd/user/mooring-forward.service" in ran.out
    (line,) = [line for line in ran.out.splitlines() if line.startswith("ExecStart=")]
    assert line == (
        f"ExecStart={sys.executable} -m mooring forward run ssh://deploy@build --remap 80=8080 "
        f'--state-dir "{home}/my state"'
    )
    assert "# systemctl --user enable mooring-forward.service" in ran.out
    assert not (home / "config").exists()


def test_a_service_of_wrong_hosts_is_not_written(mooring: Mooring, home: Path) -> None:
    assert mooring("service", "install", "ssh://", "--dry-run").code == 2
    assert mooring("service", "install", "--dry-run").code == 2


def test_installing_and_removing_a_service_runs_systemctl(
    mooring: Mooring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = home / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text('#!/bin/sh\necho "$@" >> "$HOME/ran"\n')
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    ran = mooring("service", "install", "ssh://deploy@build")
    assert ran.code == 0
    unit = home / "config" / "systemd" / "user" / "mooring-forward.service"
    assert "ssh://deploy@build" in unit.read_text()
    assert "loginctl enable-linger deploy" in ran.out
    ran = mooring("service", "uninstall")
    assert ran.code == 0
    assert not unit.exists()
    assert (home / "ran").read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable mooring-forward.service",
        "--user restart mooring-forward.service",
        "--user disable --now mooring-forward.service",
        "--user daemon-reload",
    ]


def test_a_manager_that_fails_is_told_in_its_own_words(
    mooring: Mooring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = home / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    ran = mooring("service", "install", "ssh://deploy@build")
    assert ran.code == 1
    assert "running systemctl --user daemon-reload: Failed to connect to bus" in ran.err
    assert "loginctl enable-linger deploy; export XDG_RUNTIME_DIR=/run/user/" in ran.err
    unit = home / "config/systemd/user/mooring-forward.service"
    assert not unit.exists()
    unit.write_text("the one before")
    assert mooring("service", "install", "ssh://deploy@build").code == 1
    assert unit.read_text() == "the one before"
    ran = mooring("service", "uninstall")
    assert ran.code == 1
    assert not unit.exists()


def test_the_doctor_names_what_is_wrong_and_what_to_do(mooring: Mooring, home: Path) -> None:
    ssh = home / ".ssh"
    ssh.mkdir()
    (ssh / "id_open").write_text("not much of a key")
    (ssh / "id_open").chmod(0o644)
    config = home / "forward.toml"
    config.write_text(
        '[[host]]\naddress = "ssh://me@127.0.0.1:2222"\nbind = "192.0.2.1"\n'
        f'identity = "{ssh}/id_open"\nknown_hosts = "/dev/null"\n'
    )
    ran = mooring("doctor", "--config", str(config), "--format", "json")
    assert ran.code == 1
    said = json.loads(ran.out)
    checks = {c["name"]: c for c in said["ssh://me@127.0.0.1:2222"]}
    assert checks["key id_open"]["remedy"] == f"chmod 600 {ssh}/id_open"
    assert checks["address here"]["detail"].startswith("192.0.2.1 can't be listened on")
    assert checks["host key"]["verdict"] in ("wrong", "care")
    assert {c["name"] for c in said["this machine"]} == {
        "state folder", "open files", "ports below 1024", "as a service",
    }  # fmt: skip
    shown = mooring("doctor", "--config", str(config)).out
    assert f"→ chmod 600 {ssh}/id_open\n" in shown


def test_the_doctor_looks_at_the_server_and_at_who_may_read_the_key(
    mooring: Mooring, home: Path
) -> None:
    key = home / "key"
    key.write_text("secret")
    key.chmod(0o644)
    words = ("doctor", "--server", "http://127.0.0.1:8930", "--key-file", str(key))
    ran = mooring(*words)
    assert ran.code == 1
    assert f"→ chmod 600 {key}" in ran.out
    key.chmod(0o600)
    assert "127.0.0.1:8930, at 127.0.0.1" in mooring(*words).out
    ran = mooring("doctor", "--server", "http://nowhere.invalid", "--key-file", str(key))
    assert ran.code == 1
    assert "nowhere.invalid can't be resolved" in ran.out


def test_a_key_file_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    for mode, told in ((0o644, 1), (0o600, 0)):
        key.chmod(mode)
        structlog.reset_defaults()
        with structlog.testing.capture_logs() as logged:
            assert key_of("http://10.0.0.1", None, key) == "secret"
        assert len(logged) == told


async def test_the_doctor_tells_of_the_hosts_that_are_forwarded_now(
    lab: Lab, mooring: Mooring
) -> None:
    lab.hosts["a"].locked()
    lab.hosts["a"].link.kill()
    await until(lambda: lab.site.status()[0].state is LinkState.BLOCKED)
    ran = await mooring.ask("doctor")
    assert ran.code == 1
    assert "wrong  link  blocked: logging in: the key was denied" in ran.out
    assert "→ mooring forward diagnose ssh://a" in ran.out
    assert "fine   link  live" in ran.out


def test_the_doctor_alone_looks_at_this_machine(mooring: Mooring) -> None:
    ran = mooring("doctor")
    assert "this machine" in ran.out


# --- the log


def test_a_log_file_stays_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "forward.log"
    with BoundedLog(path, most=1000) as log:
        for number in range(500):
            log.write(f"line {number}\n")
    assert path.stat().st_size <= 1000
    assert (tmp_path / "forward.log.1").stat().st_size <= 1000
    assert path.read_text().endswith("line 499\n")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["forward.log", "forward.log.1"]
    assert path.stat().st_mode & 0o077 == 0


# --- the whole program

WHOLE = """
import sys
from pathlib import Path
from mooring.cli import main
from mooring.cli.forward import run
from tests.forward.fakes import Host
host = Host(Path(sys.argv.pop(1)))
host.programs = {int(sys.argv.pop(1)): int(sys.argv.pop(1))}
run._connects = lambda names: {"asyncssh": host.connect}
main()
"""


class Program:
    """``mooring forward run``, as a process, over a link that is made up."""

    def __init__(self, folder: Path, engine: Path, port: int, behind: int, *words: str) -> None:
        self.folder = folder
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-c", WHOLE, engine, str(port), str(behind), "forward", "ssh://build",
             "--state-dir", folder, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )  # fmt: skip

    def end(self, how: signal.Signals) -> tuple[int, str, str]:
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err


@pytest.fixture
async def programs(tmp_path: Path, mooring: Mooring) -> AsyncIterator[Any]:
    """Starts it; every process that is left is ended."""
    engine = Engine(tmp_path / "docker.sock")
    await engine.up()
    started: list[Program] = []
    mooring.state = tmp_path / "state"
    port = free_port()
    async with program("web") as web:
        engine.start("web", port)

        def start(*words: str) -> Program:
            started.append(Program(tmp_path / "state", engine.path, port, web, *words))
            return started[-1]

        yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()
    await engine.down()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_every_port_go_within_two_seconds(
    programs: Any, mooring: Mooring, how: signal.Signals
) -> None:
    running = programs()
    assert (await mooring.ask("wait", str(running.port), "--timeout", "10")).code == 0
    assert await hear(running.port) == "web"
    began = time.monotonic()
    code, out, err = await asyncio.to_thread(running.end, how)
    assert time.monotonic() - began < 2
    assert code == 0
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", running.port))
    assert "forwards  ssh://build" in out
    assert 'eval "$(mooring forward env --state-dir ' in out
    assert "forward_opened" in err
    assert "Traceback" not in err
    assert (await mooring.ask("status")).code == 3


@pytest.mark.slow
async def test_a_second_instance_is_told_who_runs_and_how_to_look_at_it(
    programs: Any, mooring: Mooring
) -> None:
    first = programs()
    assert (await mooring.ask("wait", "web", "--timeout", "10")).code == 0
    second = programs()
    _, err = await asyncio.to_thread(second.process.communicate)
    assert second.process.returncode == 1
    assert f"another one (process {first.process.pid}) is using it" in err
    assert "and forwards ssh://build" in err
    assert "look at it with: mooring forward status" in err
    assert await hear(first.port) == "web"


@pytest.mark.slow
async def test_after_a_kill_the_next_one_cleans_up_and_forwards_again(
    programs: Any, mooring: Mooring, tmp_path: Path
) -> None:
    first = programs()
    assert (await mooring.ask("wait", "web", "--timeout", "10")).code == 0
    await asyncio.to_thread(first.end, signal.SIGKILL)
    assert (tmp_path / "state" / "control.sock").exists()
    assert (await mooring.ask("status")).code == 3
    log = tmp_path / "forward.log"
    second = programs("--log-file", str(log), "--log-format", "json")
    assert (await mooring.ask("wait", "web", "--timeout", "10")).code == 0
    assert await hear(second.port) == "web"
    code, _, err = await asyncio.to_thread(second.end, signal.SIGTERM)
    assert (code, err) == (0, "")
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert "forward_opened" in events


def test_the_import_of_the_command_line_stays_light() -> None:
    heavy = "('asyncssh', 'fastapi', 'sqlalchemy')"
    code = f"import sys, mooring.cli.forward; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TOP
    )
    assert ran.stdout.strip() == "[]"
