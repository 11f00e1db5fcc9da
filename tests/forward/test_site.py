"""Several remote hosts in one process: who has a port that two publish, and what is answered."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError, UsageError
from mooring.core.tasks import Tasks
from mooring.forward import keep, life
from mooring.forward import site as sites
from mooring.forward.address import Address
from mooring.forward.config import Host
from mooring.forward.control import ask
from mooring.forward.run import Settings
from mooring.forward.site import Site, settings_of
from mooring.forward.transport import Options, Transport
from mooring.model.forward import ForwardState, LinkState
from tests.forward import fakes
from tests.forward.fakes import Engine, free_port, hear, program, until
from tests.forward.test_run import QUICK


class Lab:
    """Two remote hosts, ``a`` named before ``b``."""

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        self.folder = folder
        self.tasks = tasks
        self.engines = {name: Engine(folder / f"{name}.sock") for name in "ab"}
        self.hosts = {name: fakes.Host(engine.path) for name, engine in self.engines.items()}
        self.site: Site
        self.task: asyncio.Task[None]

    async def connect(self, address: Address, options: Options) -> Transport:
        return await self.hosts[address.host].connect(address, options)

    def make(self, **binds: str) -> Site:
        def quick(host: Host) -> Settings:
            return replace(settings_of(host), pace=QUICK)

        hosts = [Host(Address(n), bind=binds.get(n, "127.0.0.1")) for n in "ab"]
        self.site = Site(hosts, self.folder, {"asyncssh": self.connect}, quick)
        return self.site

    async def go(self, **binds: str) -> Site:
        """Keep both hosts; waits until both are live."""
        self.make(**binds)
        self.task = self.tasks.start("site", self.site.run())
        await until(lambda: {h.state for h in self.site.status()} == {LinkState.LIVE})
        return self.site

    def publish(self, host: str, port: int, to: int) -> None:
        self.hosts[host].programs[port] = to
        self.engines[host].start(f"web-{host}", port)

    def states(self, host: str) -> list[ForwardState]:
        return [f.state for f in self.site.status()["ab".index(host)].forwards]

    async def ask(self, name: str, **more: Any) -> Any:
        return await asyncio.to_thread(ask, self.folder, name, **more)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Tasks("test") as tasks:
        made = Lab(tmp_path, tasks)
        for engine in made.engines.values():
            await engine.up()
        yield made
    for name, engine in made.engines.items():
        await engine.down()
        for link in made.hosts[name].links:
            await link.close()


LISTENING = [ForwardState.LISTENING]
CONFLICT = [ForwardState.CONFLICT]


async def test_of_two_hosts_that_publish_one_port_the_first_named_has_it(lab: Lab) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b:
        lab.publish("a", port, a)
        lab.publish("b", port, b)
        await lab.go()
        await until(lambda: (lab.states("a"), lab.states("b")) == (LISTENING, CONFLICT))
        assert await hear(port) == "a"
        (lost,) = lab.site.status()[1].forwards
        place = f"127.0.0.1:{port}/tcp"
        assert lost.detail == f"{place} goes to web-a on ssh://a, which is named first"
        assert lost.container == "web-b"


async def test_a_conflict_between_hosts_is_in_the_history_and_begins_when_it_does(
    lab: Lab,
) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b:
        lab.publish("b", port, b)
        site = await lab.go()
        await until(lambda: lab.states("b") == LISTENING)
        before = time.time()
        lab.publish("a", port, a)
        await until(lambda: lab.states("b") == CONFLICT)
        (lost,) = site.status()[1].forwards
        assert before <= lost.since <= time.time()
        # However often it is looked at, it began once.
        for _ in range(3):
            await site.remotes[1].ports.settle()
        assert site.status()[1].forwards == (lost,)
        told = [m for m in site.remotes[1].keep.history if m.what == "conflict"]
        assert [(m.place, m.container, m.detail) for m in told] == [
            (f"127.0.0.1:{port}/tcp", "web-b", lost.detail)
        ]


async def test_the_first_named_takes_the_port_from_the_other_and_gives_it_back(lab: Lab) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b:
        lab.publish("b", port, b)
        await lab.go()
        await until(lambda: lab.states("b") == LISTENING)
        assert await hear(port) == "b"
        lab.publish("a", port, a)
        await until(lambda: (lab.states("a"), lab.states("b")) == (LISTENING, CONFLICT))
        assert await hear(port) == "a"
        lab.engines["a"].stop("web-a")
        await until(lambda: (lab.states("a"), lab.states("b")) == ([], LISTENING))
        assert await hear(port) == "b"


async def test_a_port_is_given_back_to_a_host_whose_link_is_away_just_now(lab: Lab) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b:
        lab.publish("a", port, a)
        lab.publish("b", port, b)
        await lab.go()
        await until(lambda: lab.states("b") == CONFLICT)
        lab.hosts["b"].unreachable()
        lab.hosts["b"].link.kill()
        await until(lambda: lab.site.status()[1].state is LinkState.BACKOFF)
        lab.engines["a"].stop("web-a")
        await until(lambda: lab.states("b") == [ForwardState.HELD])


async def test_with_an_address_each_both_have_their_port(lab: Lab) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b:
        lab.publish("a", port, a)
        lab.publish("b", port, b)
        await lab.go(b="127.0.0.2")
        await until(lambda: (lab.states("a"), lab.states("b")) == (LISTENING, LISTENING))
        assert (await hear(port), await hear(port, "127.0.0.2")) == ("a", "b")


async def test_a_host_that_is_away_does_not_concern_the_other(lab: Lab) -> None:
    port = free_port()
    async with program("a") as a:
        lab.publish("a", port, a)
        await lab.go()
        lab.hosts["b"].unreachable()
        lab.hosts["b"].link.kill()
        await until(lambda: lab.site.status()[1].state is LinkState.BACKOFF)
        assert await hear(port) == "a"
        assert lab.site.status()[0].state is LinkState.LIVE


async def test_everything_is_let_go_at_the_end_and_no_file_but_what_is_kept_stays(
    lab: Lab,
) -> None:
    port = free_port()
    async with program("a") as a:
        lab.publish("a", port, a)
        await lab.go()
        await until(lambda: lab.states("a") == LISTENING)
        began = asyncio.get_running_loop().time()
        lab.task.cancel()
        await asyncio.wait([lab.task])
        assert asyncio.get_running_loop().time() - began < 1
        with pytest.raises(ConnectionRefusedError):
            await hear(port)
    left = {f.relative_to(lab.folder).as_posix() for f in lab.folder.rglob("*") if not f.is_dir()}
    assert left == {"a.sock", "b.sock", "hosts/a/kept.json", "hosts/b/kept.json"}


async def test_a_folder_in_which_no_socket_can_be_made_is_an_error_at_once(
    lab: Lab, tmp_path: Path
) -> None:
    lab.folder = tmp_path / ("x" * 90)
    lab.folder.mkdir()
    site = lab.make()
    with pytest.raises(MooringError, match="choose a shorter folder"):
        await site.run()


async def test_when_this_machines_network_changes_every_link_is_tried_at_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = asyncio.Event()

    async def another_network() -> str:
        await changed.wait()
        changed.clear()
        return "this machine's addresses changed"

    monkeypatch.setattr(sites, "another_network", another_network)
    # By itself it would wait for a minute after the second failure.
    monkeypatch.setattr(life, "BACKOFF", Backoff(first=120.0, cap=120.0))
    await lab.go()
    host = lab.hosts["a"]
    host.unreachable()
    host.link.kill()
    await until(lambda: lab.site.status()[0].consecutive_failures >= 2)
    streams = lab.engines["b"].streams
    host.refuses = None
    changed.set()
    await until(lambda: lab.site.status()[0].state is LinkState.LIVE)
    await until(lambda: lab.engines["b"].streams == streams + 1)
    assert len(lab.hosts["b"].links) == 1


# --- questions


async def test_status_is_answered_for_all_hosts(lab: Lab) -> None:
    await lab.go()
    said = await lab.ask("status")
    assert [h["host"] for h in said["hosts"]] == ["ssh://a", "ssh://b"]
    assert said["hosts"][0]["state"] == "live"
    assert said["process"] == os.getpid()


async def test_waiting_for_a_port_ends_when_it_is_there(lab: Lab) -> None:
    await lab.go()
    port = free_port()
    asking = lab.tasks.start("wait", lab.ask("wait", what=str(port), timeout=3))
    await asyncio.sleep(0.05)
    assert not asking.done()
    async with program("a") as a:
        lab.publish("a", port, a)
        said = await asking
    assert said["there"] is True
    assert "leads to web-a on ssh://a" in said["lines"][0]


async def test_waiting_for_a_container_ends_when_all_its_ports_are_there(lab: Lab) -> None:
    await lab.go()
    asking = lab.tasks.start("wait", lab.ask("wait", what="shop", timeout=3))
    lab.engines["b"].start("shop", free_port(), free_port())
    assert (await asking)["there"] is True


async def test_waiting_in_vain_says_why(lab: Lab) -> None:
    await lab.go()
    said = await lab.ask("wait", what="1", timeout=0.05)
    assert said["there"] is False
    assert said["lines"] == ["no running container on ssh://a, ssh://b publishes port 1"]


async def test_a_port_that_another_program_has_is_explained(lab: Lab) -> None:
    await lab.go()
    process = await asyncio.create_subprocess_exec(
        "python3", "-c",
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); input()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    port = int(await process.stdout.readline())
    said = await lab.ask("explain", what=str(port))
    assert said["lines"][-1].startswith("here, python3")
    assert f"(process {process.pid}) listens on port {port}" in said["lines"][-1]
    process.stdin.close()
    await process.wait()


@pytest.mark.parametrize("what", ["0", "65536", "", "x" * 300, 80, None, "²"])
async def test_what_is_neither_a_port_nor_a_name_is_refused(lab: Lab, what: Any) -> None:
    await lab.go()
    with pytest.raises(UsageError):
        await lab.ask("explain", what=what)


async def test_the_diagnosis_the_history_and_dockers_socket_are_told_for_each_host(
    lab: Lab,
) -> None:
    await lab.go()
    diagnoses = await lab.ask("diagnose")
    assert [(d["host"], d["diagnosis"]["pattern"]) for d in diagnoses] == [
        ("ssh://a", "healthy"),
        ("ssh://b", "healthy"),
    ]
    histories = await lab.ask("history", limit=5)
    assert histories[0]["history"][-1]["what"] == "link_live"
    sockets = await lab.ask("docker", host="b")
    local = f"unix://{lab.folder}/hosts/b/docker.sock"
    assert sockets == {"ssh://b": {"local": local, "remote": "/var/run/docker.sock"}}
    reader, writer = await asyncio.open_unix_connection(f"{lab.folder}/hosts/b/docker.sock")
    writer.write(b"GET /version HTTP/1.1\r\n\r\n")
    assert b"20.10.24" in await reader.read()
    writer.close()


async def test_retrying_is_done_at_once_and_for_the_host_that_is_meant(lab: Lab) -> None:
    lab.hosts["a"].locked()
    lab.make()
    lab.task = lab.tasks.start("site", lab.site.run())
    await until(lambda: lab.site.status()[0].state is LinkState.BLOCKED)
    lab.hosts["a"].refuses = None
    assert await lab.ask("retry", host="ssh://a") == ["ssh://a"]
    await until(lambda: lab.site.status()[0].state is LinkState.LIVE)
    with pytest.raises(MooringError, match="it is none of those that are forwarded"):
        await lab.ask("retry", host="c")


async def test_what_was_counted_is_told_for_the_metrics(lab: Lab) -> None:
    await lab.go()
    counts = (await lab.ask("counts"))["ssh://a"]
    assert counts["link"]["drift"] == 0
    assert counts["connections"] == {"waited": 0, "failed": 0}
    assert (counts["held"], counts["flaps"]) == (0, 0)


async def test_a_host_that_was_named_by_a_context_goes_by_that_name_too(lab: Lab) -> None:
    hosts = [Host(Address("a", called="lab"))]
    site = Site(hosts, lab.folder, {"asyncssh": lab.connect})
    lab.task = lab.tasks.start("site", site.run())
    await until(lambda: site.status()[0].state is LinkState.LIVE)
    assert list(await lab.ask("docker", host="lab")) == ["ssh://a"]
    lab.task.cancel()
    await asyncio.wait([lab.task])
    assert [(each.host, each.called) for each in keep.read(lab.folder)] == [("ssh://a", "lab")]
