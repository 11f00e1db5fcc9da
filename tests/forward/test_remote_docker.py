"""Where the remote Docker is: on a real dockerd behind a real sshd, by both transports."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.core.docker import Client, EngineError
from mooring.core.errors import UsageError
from mooring.forward import link as by_asyncssh
from mooring.forward import openssh as by_openssh
from mooring.forward.address import Address
from mooring.forward.remote_docker import Place, dial, find, said, script
from mooring.forward.transport import Blocked, Connect, Lost, Options, Refused, Transport
from mooring.model.container import EngineState
from tests.lab.engine import Dockerd, lab_docker  # noqa: F401 (a fixture)
from tests.lab.remote import DOCKER_GROUP, RemoteHost, entered, remote_host
from tests.parts import need

TRANSPORTS = {"asyncssh": by_asyncssh.connect, "openssh": by_openssh.connect}
real = pytest.mark.real


# --- what the remote host says


def test_a_remote_host_says_all_at_once() -> None:
    place = said(
        "Welcome to build!\nmooring:user=deploy\nmooring:host=build\nmooring:docker_host=\n"
        "mooring:shut=/var/run/docker.sock\nmooring:here=/run/user/7/docker.sock\n"
        "mooring:here=/run/user/7/docker.sock\nmooring:program=docker\n"
    )
    assert place == Place(
        user="deploy",
        host="build",
        here=["/run/user/7/docker.sock"],
        shut=["/var/run/docker.sock"],
        programs=["docker"],
    )


def test_what_is_not_ours_is_no_answer() -> None:
    assert said("") is None
    assert said("This account is currently not available.\nmooring: no\nuser=x\n") is None


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
def test_the_question_is_understood_by_any_shell(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "run" / "podman").mkdir(parents=True)
    odd = tmp_path / "it's here.sock"
    sockets = [tmp_path / "run" / "docker.sock", tmp_path / "run/podman/podman.sock", odd]
    for path in sockets:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "DOCKER_HOST": "unix:///odd",
    }
    command = [program, "sh"] if shell == "busybox" else [program]
    shown = subprocess.run(
        [*command, "-c", script(str(odd))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    place = said(shown.stdout)
    assert place is not None
    assert place.docker_host == "unix:///odd"
    assert place.here[0] == str(odd)
    assert [path for path in place.here if path.startswith(str(tmp_path / "run"))] == [
        str(path) for path in sockets[:2]
    ]
    assert shown.stderr == ""


def test_an_engine_s_address_is_quoted_for_the_shell() -> None:
    assert dial("docker", "unix:///a b") == "env DOCKER_HOST='unix:///a b' docker system dial-stdio"
    assert dial("podman", "unix:///p").startswith("env CONTAINER_HOST=unix:///p podman")
    assert dial("docker", None) == "docker system dial-stdio"


# --- on a real host


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(params=TRANSPORTS)
def connect(request: pytest.FixtureRequest) -> Connect:
    return TRANSPORTS[request.param]


@pytest.fixture
def host(lab_docker: Dockerd) -> Iterator[RemoteHost]:  # noqa: F811
    """A host with Docker, which root and the group docker may use."""
    need("docker")
    os.chown(lab_docker.socket, 0, DOCKER_GROUP)
    lab_docker.socket.chmod(0o660)
    with remote_host(engine=lab_docker) as made, entered(made.client):
        yield made


@asynccontextmanager
async def linked(
    connect: Connect, host: RemoteHost, user: str = "root"
) -> AsyncIterator[Transport]:
    given = Options(identity=host.key, known_hosts=host.known_hosts, config=host.config)
    link = await connect(Address(host.ip, user, host.port), given)
    try:
        yield link
    finally:
        await link.close()


async def found(link: Transport, asked: str | None = None) -> str:
    """Find it and ask it, twice; the name by which it was found."""
    opener, name = await find(link, asked)
    client = Client(name, opener)
    assert (await client.version()).version
    await client.containers()
    return name


@real
async def test_docker_at_the_usual_place_is_found_and_asked(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        assert await found(link) == "unix:///var/run/docker.sock"
        assert host.log().count("Starting session") <= 2


@real
async def test_a_member_of_the_group_may_ask_it(host: RemoteHost, connect: Connect) -> None:
    async with linked(connect, host, "member") as link:
        await found(link)


@real
async def test_who_has_no_right_to_it_is_told_the_command_that_gives_it(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host, "deploy") as link:
        with pytest.raises(Blocked, match="the user deploy has no right") as caught:
            await find(link)
        assert "sudo usermod -aG docker deploy" in caught.value.remedy
        with pytest.raises(Blocked):
            await find(link, "unix:///var/run/docker.sock")


@real
async def test_the_remote_s_own_docker_host_comes_before_the_usual_places(
    host: RemoteHost, connect: Connect
) -> None:
    (host.run / "odd.sock").symlink_to((host.run / "docker.sock").readlink())
    host.restart("SetEnv DOCKER_HOST=unix:///run/odd.sock")
    async with linked(connect, host) as link:
        assert await found(link) == "unix:///run/odd.sock"


@real
async def test_a_docker_host_that_is_no_socket_is_left_to_the_docker_command(
    host: RemoteHost, connect: Connect
) -> None:
    host.restart("SetEnv DOCKER_HOST=tcp://127.0.0.1:9")
    async with linked(connect, host) as link:
        with pytest.raises(Refused, match="refused"):
            await find(link)


@real
async def test_what_is_asked_for_comes_first_of_all(host: RemoteHost, connect: Connect) -> None:
    (host.run / "odd.sock").symlink_to((host.run / "docker.sock").readlink())
    host.restart("SetEnv DOCKER_HOST=unix:///run/none.sock")
    async with linked(connect, host) as link:
        assert await found(link, "unix:///run/odd.sock") == "unix:///run/odd.sock"
        with pytest.raises(UsageError):
            await find(link, "odd.sock")


@real
async def test_a_user_s_own_rootless_docker_is_found(host: RemoteHost, connect: Connect) -> None:
    own = host.run / "user" / "4243"
    own.mkdir()
    (host.run / "docker.sock").rename(own / "docker.sock")
    async with linked(connect, host, "member") as link:
        assert await found(link) == "unix:///run/user/4243/docker.sock"


@real
async def test_podman_s_place_is_looked_at_last(host: RemoteHost, connect: Connect) -> None:
    (host.run / "podman").mkdir()
    (host.run / "docker.sock").rename(host.run / "podman" / "podman.sock")
    async with linked(connect, host) as link:
        assert await found(link) == "unix:///run/podman/podman.sock"


@real
async def test_where_channels_to_sockets_are_forbidden_the_docker_command_joins_them(
    host: RemoteHost, connect: Connect
) -> None:
    host.restart("AllowStreamLocalForwarding no")
    async with linked(connect, host) as link:
        assert await found(link) == "unix:///var/run/docker.sock"


@real
@pytest.mark.parametrize("lines", [("MaxSessions 0",), ("ForceCommand echo no commands here",)])
async def test_an_account_without_commands_reaches_docker_at_the_usual_place(
    host: RemoteHost, connect: Connect, lines: tuple[str, ...]
) -> None:
    host.restart(*lines)
    async with linked(connect, host) as link:
        assert await found(link) == "unix:///var/run/docker.sock"


@real
async def test_a_host_without_docker_is_told_so_and_how_to_say_where_it_is(
    host: RemoteHost, connect: Connect
) -> None:
    (host.run / "docker.sock").unlink()
    async with linked(connect, host) as link:
        with pytest.raises(Refused, match="none of the usual sockets") as caught:
            await find(link)
        assert "--docker-host" in caught.value.remedy
        with pytest.raises(Refused):
            await find(link, "unix:///run/none.sock")


@real
async def test_a_docker_that_stops_later_is_refused_and_the_link_stays(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        opener, name = await find(link)
        client = Client(name, opener)
        await client.version()
        (host.run / "docker.sock").unlink()
        with pytest.raises(EngineError) as caught:
            await client.version()
        assert caught.value.state in (EngineState.REFUSED, EngineState.BROKEN)
        assert (await link.run("true", deadline=5)).status == 0


@real
async def test_a_link_that_is_lost_meanwhile_is_lost_and_not_a_missing_docker(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        opener, _ = await find(link)
        host.kill_sessions()
        await asyncio.wait_for(link.lost(), 5)
        with pytest.raises(Lost):
            await find(link)
        with pytest.raises(Lost):
            await opener()
