"""Links to a real sshd, by asyncssh and by an OpenSSH master: the same sentences for both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mooring.core.tasks import Tasks
from mooring.forward import link as by_asyncssh
from mooring.forward import openssh as by_openssh
from mooring.forward.address import Address
from mooring.forward.keep import Keep
from mooring.forward.run import Remote, Settings
from mooring.forward.transport import (
    Blocked,
    Connect,
    Lost,
    Options,
    Refused,
    Silent,
    Tally,
    Transport,
)
from mooring.forward.watch import Pace
from mooring.model.forward import LinkState, Target
from tests.forward.fakes import until
from tests.lab.remote import RemoteHost, free_port, remote  # noqa: F401 (a fixture)

pytestmark = pytest.mark.real

LATE = 60.0
"""Seconds after which something does not happen any more; a busy machine may need many."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TRANSPORTS = {"asyncssh": by_asyncssh.connect, "openssh": by_openssh.connect}


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tester's own keys, agent and known hosts play no part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(params=TRANSPORTS)
def connect(request: pytest.FixtureRequest) -> Connect:
    return TRANSPORTS[request.param]


@pytest.fixture
def host(remote: RemoteHost) -> RemoteHost:  # noqa: F811
    return remote


def address(host: RemoteHost, user: str = "root") -> Address:
    return Address(host.ip, user, host.port)


def options(host: RemoteHost, **more: object) -> Options:
    given = {
        "identity": host.key,
        "known_hosts": host.known_hosts,
        "config": host.config,
        "connect_timeout": LATE,
    }
    return Options(**{**given, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def linked(
    connect: Connect, host: RemoteHost, user: str = "root", **more: object
) -> AsyncIterator[Transport]:
    link = await connect(address(host, user), options(host, **more))
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def server(host: RemoteHost, handler: Handler) -> AsyncIterator[int]:
    """A program on the remote host that listens at its loopback; the port."""
    listening = host.ns.call(socket.create_server, ("127.0.0.1", 0))
    handle, end = served(handler)
    serving = await asyncio.start_server(handle, sock=listening, backlog=256)
    try:
        yield listening.getsockname()[1]
    finally:
        serving.close()
        await end()


@asynccontextmanager
async def unix_server(host: RemoteHost, handler: Handler) -> AsyncIterator[str]:
    """The same at a Unix socket; its path there."""
    path = host.run / "server.sock"
    handle, end = served(handler)
    serving = await asyncio.start_unix_server(handle, path)
    try:
        yield "/run/server.sock"
    finally:
        serving.close()
        path.unlink()
        await end()


def served(handler: Handler) -> tuple[Handler, Callable[[], Awaitable[None]]]:
    """The same handler, which closes what it was given; and how to end all that it has open."""
    going: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        going.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await handler(reader, writer)
        finally:
            writer.close()
            going.discard(task)

    async def end() -> None:
        await asyncio.sleep(0.01)  # for what was accepted at the last moment
        left = list(going)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)

    return handle, end


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def pair() -> tuple[socket.socket, socket.socket]:
    """A client's connection, and the same as it was accepted here; not blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    client.setblocking(False)
    accepted.setblocking(False)
    return client, accepted


class Clients(Tasks):
    """What a test has going on, and the sockets that it leaves open."""

    def __init__(self) -> None:
        super().__init__("test")
        self.sockets: list[socket.socket] = []


class Call:
    """A client whose connection is being carried to a port of the remote host."""

    def __init__(self, tasks: Clients, link: Transport, port: int, ip: str = "127.0.0.1") -> None:
        self.client, self.accepted = pair()
        tasks.sockets += [self.client, self.accepted]
        self.tally = Tally()
        self.carried = tasks.start("carry", link.carry(self.accepted, Target(ip, port), self.tally))
        self._loop = asyncio.get_running_loop()

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.client, data)

    async def hear(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        data = b""
        async with asyncio.timeout(LATE):
            while len(data) < size:
                more = await self._loop.sock_recv(self.client, size - len(data))
                if not more:
                    break
                data += more
        return data

    async def outcome(self) -> BaseException | None:
        await asyncio.wait([self.carried], timeout=LATE)
        assert self.carried.done(), "it is still being carried"
        return self.carried.exception()


@pytest.fixture
async def tasks() -> AsyncIterator[Clients]:
    async with Clients() as owner:
        yield owner
    for left in owner.sockets:
        left.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# --- logging in


async def test_a_command_gives_its_status_and_both_its_outputs(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        ran = await link.run("echo out; echo err >&2; exit 3", deadline=LATE)
        assert (ran.status, ran.stdout, ran.stderr) == (3, "out\n", "err\n")


async def test_another_user_is_logged_in_as_asked(host: RemoteHost, connect: Connect) -> None:
    async with linked(connect, host, "deploy") as link:
        assert (await link.run("id -un", deadline=LATE)).stdout == "deploy\n"


async def test_endless_output_is_cut_and_the_command_still_ends(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        ran = await link.run("head -c 5000000 /dev/zero", deadline=LATE)
        assert (ran.status, len(ran.stdout)) == (0, 65536)


async def test_a_command_that_does_not_end_speaks_for_a_lost_link(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        with pytest.raises(Silent, match=r"no answer within 0\.3 s"):
            await link.run("sleep 600", deadline=0.3)
        assert (await link.run("true", deadline=LATE)).status == 0


async def test_an_unknown_host_key_is_not_accepted_and_the_remedy_is_a_command(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    nobody = tmp_path / "known"
    nobody.touch()
    with pytest.raises(Blocked, match="not among the known hosts") as caught:
        await connect(address(host), options(host, known_hosts=nobody))
    assert f"-o UserKnownHostsFile={nobody}" in caught.value.remedy
    assert f"root@{host.ip} true" in caught.value.remedy
    assert nobody.read_text() == ""
    if connect is by_asyncssh.connect:
        command = ["ssh-keygen", "-lf", host.folder / "host.pub"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        assert shown.stdout.split()[1] in caught.value.why


async def test_a_known_hosts_file_that_is_not_there_knows_nobody(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(Blocked, match="not among the known hosts"):
        await connect(address(host), options(host, known_hosts=tmp_path / "none"))


async def test_a_changed_host_key_is_told_from_an_unknown_one(
    host: RemoteHost, connect: Connect
) -> None:
    host.restart(host_key="other")
    with pytest.raises(Blocked, match=r"it has changed \(now .*SHA256:") as caught:
        await connect(address(host), options(host))
    assert str(host.known_hosts) in caught.value.remedy


async def test_a_changed_host_key_is_refused_whatever_the_configuration_says(
    host: RemoteHost, connect: Connect
) -> None:
    host.config.write_text("Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n")
    host.restart(host_key="other")
    with pytest.raises(Blocked, match="it has changed"):
        await connect(address(host), options(host))


async def test_the_user_s_own_known_hosts_count_by_default(
    host: RemoteHost, tmp_path: Path
) -> None:
    # Of ssh itself the home folder is the account's, whatever HOME says: this is for asyncssh.
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(
        "# a comment\nnonsense\n" + host.known_hosts.read_text()
    )
    async with linked(by_asyncssh.connect, host, known_hosts=None) as link:
        assert (await link.run("true", deadline=LATE)).status == 0


async def test_a_key_that_is_not_let_in_is_named_with_the_user(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    with pytest.raises(Blocked, match="the user deploy was denied") as caught:
        await connect(address(host, "deploy"), options(host, identity=stranger))
    if connect is by_asyncssh.connect:
        assert f"tried: {stranger}" in caught.value.why
        assert f"ssh-copy-id -i {stranger} -p 22 deploy@{host.ip}" in caught.value.remedy


async def test_a_key_with_a_passphrase_and_no_agent_asks_for_an_agent(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    locked = copy_of_key(host, tmp_path, passphrase="secret")
    with pytest.raises(Blocked) as caught:
        await connect(address(host), options(host, identity=locked))
    assert "passphrase" in str(caught.value)
    assert "ssh-add" in caught.value.remedy


async def test_a_key_with_a_passphrase_is_used_from_the_agent(
    host: RemoteHost, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = copy_of_key(host, tmp_path)
    sock = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            await asyncio.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)
        lock(key, "secret")
        key.with_name("key.pub").unlink()
        async with linked(connect, host, identity=key) as link:
            assert (await link.run("true", deadline=LATE)).status == 0
    finally:
        agent.terminate()
        agent.wait()


async def test_an_agent_that_is_dead_is_no_hindrance(
    host: RemoteHost, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    async with linked(connect, host):
        pass


async def test_an_identity_that_is_not_there_is_said_before_connecting(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(Blocked, match=r"there is no .*missing"):
        await connect(address(host), options(host, identity=tmp_path / "missing"))
    assert "Connection from" not in host.log()


async def test_a_name_that_nobody_knows_is_a_lost_link(host: RemoteHost, connect: Connect) -> None:
    with pytest.raises(Lost, match="name can't be resolved"):
        await connect(Address("nowhere.invalid"), options(host))


async def test_a_port_that_nobody_listens_at_is_a_lost_link(
    host: RemoteHost, connect: Connect
) -> None:
    with pytest.raises(Lost, match="connection refused"):
        await connect(Address(host.ip, "root", 2222), options(host))


async def test_a_host_that_does_not_answer_is_a_lost_link_in_time(
    host: RemoteHost, connect: Connect
) -> None:
    host.drop()
    # The kernel would try for two minutes.
    async with asyncio.timeout(LATE):
        with pytest.raises(Lost, match=r"no answer within|timed out"):
            await connect(address(host), options(host, connect_timeout=1.0))


async def test_a_network_without_a_way_there_is_a_lost_link(
    host: RemoteHost, connect: Connect
) -> None:
    with pytest.raises(Lost, match=r"network is unreachable|no route"):
        await connect(Address("203.0.113.9"), options(host))


async def test_something_else_than_an_ssh_server_is_a_lost_link(
    host: RemoteHost, connect: Connect
) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = host.ns.call(socket.create_server, (host.ip, 8080))
    async with await asyncio.start_server(web, sock=listening):
        with pytest.raises(Lost):
            await connect(Address(host.ip, "root", 8080), options(host))


async def test_an_sshd_that_accepts_and_says_nothing_is_a_lost_link_in_time(
    host: RemoteHost, connect: Connect
) -> None:
    silent = host.ns.call(socket.create_server, (host.ip, 8080))
    with silent, pytest.raises(Lost, match=r"no answer within|timed out"):
        await connect(Address(host.ip, "root", 8080), options(host, connect_timeout=1.0))


# --- the user's configuration


async def test_a_host_of_the_configuration_is_known_by_its_short_name(
    host: RemoteHost, connect: Connect
) -> None:
    host.restart(port=2222)
    host.config.write_text(
        f"Host build\n HostName {host.ip}\n Port 2222\n User deploy\n IdentityFile {host.key}\n"
        f" IdentityFile {host.folder}/not-there\n UserKnownHostsFile {host.known_hosts}\n"
        " LocalForward 127.0.0.1:4444 127.0.0.1:22\n RemoteCommand sleep 9\n RequestTTY yes\n"
    )
    link = await connect(Address("build"), Options(config=host.config))
    try:
        assert (await link.run("id -un", deadline=LATE)).stdout == "deploy\n"
        assert link.peer == (host.ip, 2222)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 4444)
    finally:
        await link.close()


async def test_a_jump_host_is_gone_through(host: RemoteHost, connect: Connect) -> None:
    trusted = host.known_hosts.read_text()
    host.known_hosts.write_text(trusted + trusted.replace(host.ip, "127.0.0.1"))
    host.config.write_text(
        f"Host inner\n HostName 127.0.0.1\n User deploy\n ProxyJump bastion\n"
        f"Host bastion\n HostName {host.ip}\n User member\n"
    )
    link = await connect(Address("inner"), options(host))
    try:
        shown = await link.run("id -un; echo $SSH_CLIENT", deadline=LATE)
        assert shown.stdout.startswith("deploy\n127.0.0.1 ")
        assert host.logins() == 2
    finally:
        await link.close()
    await until(lambda: host.sessions() == [], "no session is left", LATE)
    assert link.peer == (host.ip, host.port)


async def test_a_jump_host_that_denies_us_is_the_one_that_is_named(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    host.config.write_text(f"Host inner\n HostName 127.0.0.1\n ProxyJump stranger@{host.ip}\n")
    with pytest.raises((Blocked, Lost)) as caught:
        await connect(Address("inner"), options(host))
    assert isinstance(caught.value, Blocked)
    assert "stranger" in str(caught.value)


async def test_a_proxy_command_is_run_by_a_shell(host: RemoteHost, connect: Connect) -> None:
    trusted = host.known_hosts.read_text()
    host.known_hosts.write_text(trusted + trusted.replace(host.ip, "inner"))
    host.config.write_text(
        "Host inner\n User deploy\n"
        f" ProxyCommand ssh -F /dev/null -i {host.key} -o BatchMode=yes "
        f"-o UserKnownHostsFile={host.known_hosts} -W 127.0.0.1:%p root@{host.ip} 2>/dev/null\n"
    )
    async with linked_to(connect, Address("inner"), options(host)) as link:
        assert (await link.run("id -un", deadline=LATE)).stdout == "deploy\n"
        assert link.peer is None


async def test_a_configuration_that_makes_no_sense_is_said_with_its_line(
    host: RemoteHost, connect: Connect
) -> None:
    host.config.write_text("Host *\n Port nonsense\n")
    with pytest.raises(Blocked, match="line 2"):
        await connect(Address(host.ip, "root"), options(host))


# --- carrying


async def test_bytes_are_carried_both_ways_and_the_end_of_each_passes(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with server(host, echo) as port, linked(connect, host) as link:
        call = Call(tasks, link, port)
        await call.say(b"hello")
        assert await call.hear(5) == b"hello"
        await call.say(b"bye")
        call.client.shutdown(socket.SHUT_WR)
        assert await call.hear(100) == b"bye"
        assert await call.outcome() is None
        assert call.accepted.fileno() == -1
        if connect is by_asyncssh.connect:
            assert (call.tally.bytes_in, call.tally.bytes_out) == (8, 8)
        else:
            assert (call.tally.bytes_in, call.tally.bytes_out) == (None, None)


async def test_what_the_remote_side_says_first_arrives_also_when_it_closes_at_once(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")

    async with server(host, greet) as port, linked(connect, host) as link:
        for _ in range(20):
            call = Call(tasks, link, port)
            assert await call.hear(100) == b"220 ready\r\n"
            call.client.close()
            assert await call.outcome() is None


async def test_the_remote_side_may_end_first_and_still_be_told_something(
    host: RemoteHost, tasks: Clients
) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard.set_result(await reader.read(100))

    async with server(host, half) as port, linked(by_asyncssh.connect, host) as link:
        call = Call(tasks, link, port)
        assert await call.hear(1) == b""
        await call.say(b"still here")
        assert await heard == b"still here"
        call.client.close()
        assert await call.outcome() is None


async def test_large_data_arrives_whole_both_ways(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    sent = os.urandom(1 << 20) * 8

    async with server(host, echo) as port, linked(connect, host) as link:
        call = Call(tasks, link, port)
        saying = tasks.start("say", call.say(sent))
        assert await call.hear(len(sent)) == sent
        await saying
        call.client.close()
        assert await call.outcome() is None


async def test_a_client_that_resets_ends_the_remote_side_too(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    async with server(host, wait) as port, linked(connect, host) as link:
        call = Call(tasks, link, port)
        await call.say(b"x")
        await asyncio.sleep(0.1)
        call.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        call.client.close()
        async with asyncio.timeout(LATE):
            await ended.wait()
        assert await call.outcome() is None


async def test_a_port_that_nobody_listens_at_there_refuses_that_client_only(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with server(host, echo) as port, linked(connect, host) as link:
        call = Call(tasks, link, 9)
        error = await call.outcome()
        assert isinstance(error, Refused)
        assert not error.prohibited
        assert "refused" in error.why
        assert call.accepted.fileno() >= 0
        other = Call(tasks, link, port)
        await other.say(b"fine")
        assert await other.hear(4) == b"fine"


async def test_forbidden_forwarding_is_told_from_a_port_without_a_listener(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    host.restart("AllowTcpForwarding no")
    async with server(host, echo) as port, linked(connect, host) as link:
        error = await Call(tasks, link, port).outcome()
        assert isinstance(error, Refused)
        assert error.prohibited


async def test_a_link_that_dies_resets_what_it_was_carrying(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with server(host, echo) as port, linked(connect, host) as link:
        call = Call(tasks, link, port)
        await call.say(b"x")
        assert await call.hear(1) == b"x"
        host.kill_sessions()
        with pytest.raises(ConnectionResetError):
            await call.hear(1)
        assert await call.outcome() is None
        assert call.accepted.fileno() == -1


async def test_a_link_that_dies_before_anything_was_carried_leaves_the_client_for_the_next(
    host: RemoteHost, tasks: Clients
) -> None:
    opened = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.set()
        await echo(reader, writer)

    async with server(host, note) as port:
        async with linked(by_asyncssh.connect, host) as link:
            call = Call(tasks, link, port)
            await opened.wait()
            await asyncio.sleep(0.05)
            host.kill_sessions()
            assert isinstance(await call.outcome(), Lost)
        async with linked(by_asyncssh.connect, host) as link:
            again = tasks.start(
                "carry", link.carry(call.accepted, Target("127.0.0.1", port), call.tally)
            )
            await call.say(b"none the wiser")
            assert await call.hear(14) == b"none the wiser"
            call.client.close()
            await again


async def test_a_link_that_is_gone_is_lost_to_everyone_and_keeps_nobody_s_client(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with linked(connect, host) as link:
        host.kill_sessions()
        assert await asyncio.wait_for(link.lost(), LATE)
        with pytest.raises(Lost):
            await link.run("true", deadline=LATE)
        with pytest.raises(Lost):
            await link.open_unix("/run/docker.sock")
        with pytest.raises(Lost):
            await link.open_process("cat")
        call = Call(tasks, link, 9)
        assert isinstance(await call.outcome(), Lost)
        assert call.accepted.fileno() >= 0


async def test_a_frozen_link_loses_a_new_client_in_time_and_takes_nothing_from_it(
    host: RemoteHost, connect: Connect, tasks: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = asyncio.Event()
    left = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        left.set()

    async with server(host, note) as port, linked(connect, host) as link:
        for patience in (
            (by_asyncssh, "OPEN_WITHIN"),
            (by_openssh, "OPEN_WITHIN"),
            (by_openssh, "_PROBE"),
        ):
            monkeypatch.setattr(*patience, 0.5)
        host.freeze_sessions()
        call = Call(tasks, link, port)
        await call.say(b"mine")
        assert isinstance(await call.outcome(), Silent)
        # What opens when nobody waits for it any more is closed again.
        host.thaw_sessions()
        if connect is by_asyncssh.connect:
            async with asyncio.timeout(LATE):
                await connected.wait()
                await left.wait()
        await asyncio.sleep(0.1)
        assert call.accepted.recv(10) == b"mine"


@pytest.mark.slow
async def test_a_target_that_is_slow_to_connect_is_no_reason_to_give_the_link_up(
    host: RemoteHost, tasks: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is a way to it and nobody answers: connecting takes minutes.
    host.ns.batch(
        "link add slow0 type veth peer name slow1",
        "link set slow0 up",
        "link set slow1 up",
        "addr add 198.18.9.1/24 dev slow0",
        "neigh replace 198.18.9.2 lladdr 02:00:00:00:00:66 dev slow0 nud permanent",
    )
    async with linked(by_openssh.connect, host) as link:
        monkeypatch.setattr(by_openssh, "OPEN_WITHIN", 1.0)
        call = Call(tasks, link, 80, "198.18.9.2")
        await asyncio.wait([call.carried], timeout=2)
        monkeypatch.undo()
        assert not call.carried.done()
        assert (await link.run("true", deadline=LATE)).status == 0
        call.carried.cancel()


async def test_a_carried_client_that_is_given_up_is_reset(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with server(host, echo) as port, linked(connect, host) as link:
        call = Call(tasks, link, port)
        await call.say(b"x")
        assert await call.hear(1) == b"x"
        call.carried.cancel()
        await asyncio.wait([call.carried])
        call.accepted.close()
        with pytest.raises(ConnectionResetError):
            await call.hear(1)


async def test_two_hundred_clients_at_once_are_carried_and_nothing_is_left(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async with server(host, echo) as port, linked(connect, host) as link:

        async def one(number: int) -> None:
            call = Call(tasks, link, port)
            sent = f"client {number}".encode() * 100
            await call.say(sent)
            assert await call.hear(len(sent)) == sent
            call.client.shutdown(socket.SHUT_WR)
            assert await call.hear(1) == b""
            call.client.close()
            assert await call.outcome() is None

        await one(0)
        before = descriptors()
        await asyncio.gather(*(one(number) for number in range(200)))
        # The server's own ends may be closed a moment later.
        await until(lambda: descriptors() <= before + 2, "nothing is left open", LATE)
        assert host.logins() == 1


# --- a side that does not read


async def test_a_client_that_never_reads_costs_a_bounded_amount_of_memory(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        piece = bytes(1 << 16)
        while True:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    async with server(host, flood) as port, linked(connect, host) as link:
        before = resident()
        calls = [Call(tasks, link, port) for _ in range(8)]
        last = -1
        while sent != last:
            last = sent
            await asyncio.sleep(0.5)
        assert sent < 300 << 20
        assert resident() - before < 40 << 20
        assert (await link.run("true", deadline=LATE)).status == 0
        assert len(await calls[0].hear(1 << 20)) == 1 << 20


@pytest.mark.slow
async def test_a_client_that_has_become_slow_costs_no_more_than_its_window(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = bytes(1 << 16)
        while True:
            writer.write(piece)
            await writer.drain()

    async with server(host, flood) as port, linked(connect, host) as link:
        before = resident()
        call = Call(tasks, link, port)
        for _ in range(100):
            assert len(await call.hear(1 << 20)) == 1 << 20
        most = 0
        for _ in range(150):
            assert len(await call.hear(1 << 18)) == 1 << 18
            await asyncio.sleep(0.02)
            most = max(most, resident() - before)
        assert most < 60 << 20


@pytest.mark.slow
async def test_a_slow_reader_of_a_stream_costs_no_more_than_its_window(
    host: RemoteHost, connect: Connect
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = bytes(1 << 16)
        while True:
            writer.write(piece)
            await writer.drain()

    async with unix_server(host, flood) as path, linked(connect, host) as link:
        before = resident()
        reader, writer = await link.open_unix(path)
        most = 0
        for _ in range(150):
            left = 1 << 18
            while left:
                left -= len(await reader.read(left))
            await asyncio.sleep(0.02)
            most = max(most, resident() - before)
        writer.close()
        assert most < 30 << 20


@pytest.mark.slow
async def test_a_remote_side_that_never_reads_stops_its_client(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with server(host, deaf) as port, linked(connect, host) as link:
        before = resident()
        calls = [Call(tasks, link, port) for _ in range(4)]
        for call in calls:
            sent = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while sent < 200 << 20:
                        await call.say(bytes(1 << 20))
                        sent += 1 << 20
            assert sent < 100 << 20
        assert resident() - before < 40 << 20
        assert (await link.run("true", deadline=LATE)).status == 0


async def test_a_link_that_is_stuck_stops_its_clients_before_much_waits(
    host: RemoteHost, tasks: Clients
) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 20):
            pass

    async with server(host, swallow) as port, linked(by_asyncssh.connect, host) as link:
        assert isinstance(link, by_asyncssh.Link)
        calls = [Call(tasks, link, port) for _ in range(8)]
        for call in calls:
            await call.say(b"x")
        await asyncio.sleep(0.2)
        host.freeze_sessions()
        flood = [tasks.start("flood", call.say(bytes(20 << 20))) for call in calls]
        await asyncio.sleep(1)
        assert not any(task.done() for task in flood)
        wire = link._connection._transport
        assert wire is not None
        assert wire.get_write_buffer_size() < 1 << 20
        host.thaw_sessions()
        async with asyncio.timeout(LATE):
            await asyncio.gather(*flood)


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_the_window_of_a_client_that_keeps_up_grows_and_is_given_back(
    host: RemoteHost, tasks: Clients
) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        piece = bytes(1 << 20)
        for _ in range(40):
            writer.write(piece)
            await writer.drain()

    async with server(host, flood) as port, linked(by_asyncssh.connect, host) as link:
        assert isinstance(link, by_asyncssh.Link)
        whole = link._shared.budget
        call = Call(tasks, link, port)
        for _ in range(30):
            assert len(await call.hear(1 << 20)) == 1 << 20
        assert link._shared.budget < whole
        assert len(await call.hear(20 << 20)) == 10 << 20
        call.client.close()
        assert await call.outcome() is None
        assert link._shared.budget == whole


# --- streams


async def test_a_unix_socket_of_the_remote_host_is_a_stream(
    host: RemoteHost, connect: Connect
) -> None:
    async with unix_server(host, echo) as path, linked(connect, host) as link:
        for _ in range(2):
            await echoed(link, path)


async def test_a_unix_socket_that_is_not_there_or_not_listened_at_is_refused(
    host: RemoteHost, connect: Connect
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(host.run / "dead.sock"))
    async with linked(connect, host) as link:
        for path in ("/run/none.sock", "/run/dead.sock"):
            with pytest.raises(Refused):
                await link.open_unix(path)


async def test_a_unix_socket_that_was_there_and_is_gone_is_refused_too(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        async with unix_server(host, echo) as path:
            await echoed(link, path)
        with pytest.raises((Refused, ConnectionRefusedError)):
            await read_once(link, path)


async def test_forbidden_streamlocal_is_refused(host: RemoteHost, connect: Connect) -> None:
    host.restart("AllowStreamLocalForwarding no")
    async with unix_server(host, echo) as path, linked(connect, host) as link:
        with pytest.raises(Refused):
            await link.open_unix(path)


async def test_a_remote_command_is_a_stream_and_ends_with_it(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        reader, writer = await link.open_process("cat; echo over")
        writer.write(b"hello\n")
        await writer.drain()
        assert await reader.read(100) == b"hello\n"
        writer.write_eof()
        assert await read_all(reader) == b"over\n"
        writer.close()


async def test_a_closed_stream_ends_the_command_behind_it(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        _, writer = await link.open_process("cat >/dev/null; echo gone > /run/gone")
        writer.close()
        async with asyncio.timeout(LATE):
            while not (host.run / "gone").exists():
                await asyncio.sleep(0.02)


async def test_a_stream_of_a_link_that_dies_breaks(host: RemoteHost, connect: Connect) -> None:
    async with linked(connect, host) as link:
        reader, writer = await link.open_process("cat")
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        host.kill_sessions()
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(LATE):
                assert await reader.read(1) == b""
        writer.close()


async def test_sessions_that_the_remote_host_has_no_room_for_are_refused(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    host.restart("MaxSessions 2")
    async with server(host, echo) as port, linked(connect, host) as link:
        first = await link.open_process("cat")
        second = await link.open_process("cat")
        with pytest.raises(Refused):
            await link.run("true", deadline=LATE)
        call = Call(tasks, link, port)
        await call.say(b"channels are no sessions")
        assert await call.hear(24) == b"channels are no sessions"
        for _, writer in (first, second):
            writer.close()


async def test_an_account_without_sessions_still_forwards(
    host: RemoteHost, connect: Connect, tasks: Clients
) -> None:
    host.restart("MaxSessions 0")
    async with server(host, echo) as port, linked(connect, host) as link:
        with pytest.raises(Refused):
            await link.run("true", deadline=LATE)
        call = Call(tasks, link, port)
        await call.say(b"still")
        assert await call.hear(5) == b"still"
        async with unix_server(host, echo) as path:
            await echoed(link, path)


# --- the end of a link


@pytest.mark.slow
async def test_a_log_in_that_hangs_is_begun_anew_when_the_network_is_back(
    host: RemoteHost, connect: Connect, tmp_path: Path
) -> None:
    made = 0

    async def connects(where: Address, how: Options) -> Transport:
        nonlocal made
        made += 1
        if made == 2:
            # As the kernel does, which repeats a lost packet after 1, 2, 4, 8, … seconds.
            await asyncio.sleep(3600)
        return await connect(where, how)

    pace = Pace(probe=2.0)
    kept = Remote(
        address(host), Settings(ssh=options(host), pace=pace), connects, Keep(tmp_path / "state")
    )
    async with Tasks("test") as tasks:
        tasks.start("kept", kept.run())
        await until(lambda: kept.status().state is LinkState.VERIFYING, seconds=30)
        host.drop()
        await until(lambda: made == 2, seconds=30)
        await asyncio.sleep(1)
        host.heal()
        await until(lambda: kept.status().state is LinkState.VERIFYING, seconds=30)
        assert made == 3
        drop = kept.status().last_drop
        assert drop
        assert drop.pattern == "stale_link"


async def test_a_killed_session_is_known_at_once_with_words(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        gone = asyncio.ensure_future(link.lost())  # noqa: TID251
        await asyncio.sleep(0.05)
        assert not gone.done()
        host.kill_sessions()
        error = await asyncio.wait_for(gone, LATE)
        assert "clos" in error.why
        assert not isinstance(error, Silent)


async def test_a_command_tells_a_link_that_is_gone_from_one_that_is_silent(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        host.freeze_sessions()
        with pytest.raises(Silent):
            await link.run("true", deadline=0.5)
        host.kill_sessions()
        with pytest.raises(Lost) as caught:
            await link.run("true", deadline=30)
        assert not isinstance(caught.value, Silent)
        assert caught.value.why


@pytest.mark.slow
async def test_silence_is_known_after_two_missed_signs_of_life(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host, keepalive=1.0) as link:
        host.drop()
        error = await asyncio.wait_for(link.lost(), LATE)
        assert isinstance(error, Silent)
        assert "no sign of life" in error.why


async def test_a_closed_link_leaves_no_session_task_process_or_descriptor(
    host: RemoteHost, connect: Connect
) -> None:
    async with linked(connect, host) as link:
        await link.run("true", deadline=LATE)
    before = descriptors(), len(asyncio.all_tasks())
    for _ in range(3):
        async with linked(connect, host) as link:
            await link.run("true", deadline=LATE)
    await until(lambda: host.sessions() == [], "no session is left", LATE)
    await until(lambda: descriptors() <= before[0], "no descriptor is left", LATE)
    await until(lambda: len(asyncio.all_tasks()) <= before[1], "no task is left", LATE)


async def test_the_cipher_is_one_that_the_processor_does(host: RemoteHost) -> None:
    async with linked(by_asyncssh.connect, host) as link:
        assert isinstance(link, by_asyncssh.Link)
        assert link._connection.get_extra_info("recv_cipher") == "aes128-gcm@openssh.com"


async def test_a_cipher_that_the_configuration_wants_is_kept(host: RemoteHost) -> None:
    host.config.write_text("Ciphers aes256-ctr\n")
    async with linked(by_asyncssh.connect, host) as link:
        assert isinstance(link, by_asyncssh.Link)
        assert link._connection.get_extra_info("recv_cipher") == "aes256-ctr"


# --- helpers


@asynccontextmanager
async def linked_to(connect: Connect, where: Address, how: Options) -> AsyncIterator[Transport]:
    link = await connect(where, how)
    try:
        yield link
    finally:
        await link.close()


async def echoed(link: Transport, path: str) -> None:
    """Say something to a socket, hear it, and end."""
    reader, writer = await link.open_unix(path)
    writer.write(b"hello")
    await writer.drain()
    assert await reader.read(100) == b"hello"
    writer.write_eof()
    assert await reader.read(100) == b""
    writer.close()


async def read_once(link: Transport, path: str) -> bytes:
    reader, writer = await link.open_unix(path)
    try:
        return await reader.read(10)
    finally:
        writer.close()


async def read_all(reader: object) -> bytes:
    data = b""
    while more := await reader.read(1000):  # type: ignore[attr-defined]
        data += more
    return data


def copy_of_key(host: RemoteHost, folder: Path, passphrase: str = "") -> Path:
    key = folder / "key"
    key.write_bytes(host.key.read_bytes())
    key.chmod(0o600)
    key.with_name("key.pub").write_bytes(host.key.with_name("client.pub").read_bytes())
    if passphrase:
        lock(key, passphrase)
    return key


def lock(key: Path, passphrase: str) -> None:
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(key)]
    subprocess.run(command, check=True, capture_output=True)
