"""What a program that forwards reports, when, and what a server that fails costs it: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mooring.core import outbox as outbox_module
from mooring.core.backoff import Backoff
from mooring.core.outbox import Outbox
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.core.uplink import Uplink
from mooring.forward.reporting import Pace, keep_and_report
from mooring.model.forward import LinkState
from mooring.server.db import tables
from tests.forward.fakes import free_port, hear, program, until
from tests.forward.test_site import Lab, lab  # noqa: F401 (a fixture)
from tests.lab.server import Server, a_server

QUICK = Pace(settle=0.01, least=0.1, most=0.5)
BACKOFF = Backoff(first=0.02, cap=0.1)


@pytest.fixture
async def server(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Server]:
    async with a_server(tmp_path / "server", sqlite_template) as running:
        yield running


@dataclass
class Program:
    """A program that forwards two hosts and reports; ``run`` runs it while the block does."""

    lab: Lab
    server: Server
    key: str
    outbox: Outbox
    pace: Pace = QUICK
    reporter: Reporter = field(init=False)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[asyncio.Task[None]]:
        site = self.lab.make()
        async with Uplink(self.server.url, self.key) as uplink:
            self.reporter = Reporter(self.outbox, uplink, ("forward",), "laptop", BACKOFF)
            async with self.reporter, Tasks("test") as tasks:
                working = keep_and_report(site, self.reporter, self.pace)
                yield tasks.start("work", working)

    async def live(self) -> None:
        await until(lambda: {h.state for h in self.lab.site.status()} == {LinkState.LIVE})

    async def hosts(self) -> dict[str, dict[str, Any]]:
        """The remote hosts as the server has them, by their addresses."""
        rows = await self.server.rows(tables.remote_host)
        return {row["address"]: row for row in rows}

    async def states(self) -> list[str]:
        return [row["state"] for row in (await self.hosts()).values()]

    async def forwards(self) -> dict[str, str]:
        """The states of those forwards that the server shows, by their containers."""
        rows = await self.server.rows(tables.forward, tables.forward.c.gone_at.is_(None))
        return {row["container"]: row["state"] for row in rows}

    async def reports(self) -> int:
        return len(await self.server.rows(tables.report))

    async def polled(self) -> bool:
        return all(row["online"] for row in await self.server.rows(tables.agent))

    async def counted(self, host: str) -> int:
        """Of how many starts at a host the server knows how long they took."""
        return sum((await self.hosts())[host]["totals"]["listening"]["counts"])

    async def until_stored(self, **forwards: str) -> None:
        async with asyncio.timeout(15):
            while await self.forwards() != forwards:
                await asyncio.sleep(0.02)

    async def until_states(self, *states: str) -> None:
        async with asyncio.timeout(15):
            while await self.states() != list(states):
                await asyncio.sleep(0.02)


@pytest.fixture
async def made(lab: Lab, server: Server, tmp_path: Path) -> Program:  # noqa: F811
    return Program(lab, server, await server.agent_key(), Outbox(tmp_path / "box"))


async def test_hosts_and_forwards_are_reported_soon_after_the_start(made: Program) -> None:
    port = free_port()
    async with program("a") as a, made.run():
        await made.until_states("live", "live")
        made.lab.publish("a", port, a)
        await made.until_stored(**{"web-a": "listening"})
        async with asyncio.timeout(15):
            # Its first poll, and what is counted when the port is there already, come beside.
            while not await made.polled() or not await made.counted("ssh://a"):
                await asyncio.sleep(0.02)
        [agent] = await made.server.rows(tables.agent)
        assert (agent["name"], agent["duties"], agent["online"]) == ("laptop", ["forward"], True)
        assert (await made.hosts())["ssh://a"]["diagnosis"]["pattern"] == "healthy"


async def test_a_cut_is_reported_and_so_is_its_end(made: Program) -> None:
    port = free_port()
    async with program("a") as a, made.run():
        made.lab.publish("a", port, a)
        await made.until_stored(**{"web-a": "listening"})
        made.lab.hosts["a"].unreachable()
        made.lab.hosts["a"].link.kill()
        await made.until_stored(**{"web-a": "held"})
        made.lab.hosts["a"].refuses = None
        made.lab.site.remotes[0].nudge("it is back")
        await made.until_stored(**{"web-a": "listening"})
        host = (await made.hosts())["ssh://a"]
        assert host["totals"]["outages"] == [["network_interruption", 1]]
        assert host["last_drop"]["seconds"] > 0


async def test_a_conflict_that_another_host_makes_is_reported(made: Program) -> None:
    port = free_port()
    async with program("a") as a, program("b") as b, made.run():
        made.lab.publish("b", port, b)
        await made.until_stored(**{"web-b": "listening"})
        made.lab.publish("a", port, a)
        await made.until_stored(**{"web-a": "listening", "web-b": "conflict"})
        made.lab.engines["a"].stop("web-a")
        await made.until_stored(**{"web-b": "listening"})


async def test_what_changes_at_once_is_one_report(made: Program) -> None:
    made.pace = Pace(settle=0.05, least=0.5, most=60)
    async with made.run():
        await made.until_states("live", "live")
        before = await made.reports()
        names = [f"c{number}" for number in range(30)]
        for name in names:
            made.lab.engines["a"].start(name, free_port())
            await asyncio.sleep(0.01)
        await made.until_stored(**dict.fromkeys(names, "listening"))
        assert await made.reports() - before <= 3


@pytest.mark.slow
async def test_in_quiet_nothing_is_reported_and_what_is_counted_is_after_a_while(
    made: Program,
) -> None:
    port = free_port()
    made.pace = Pace(settle=0.01, least=0.05, most=0.3)
    async with program("a") as a, made.run():
        made.lab.publish("a", port, a)
        await made.until_stored(**{"web-a": "listening"})
        await made.until_states("live", "live")
        await asyncio.sleep(0.2)
        before = await made.reports()
        # Pings come and go meanwhile.
        await asyncio.sleep(0.8)
        assert await made.reports() == before
        assert await hear(port) == "a"
        async with asyncio.timeout(15):
            while (await made.hosts())["ssh://a"]["totals"]["connections"] != 1:
                await asyncio.sleep(0.02)


# --- a server that fails


async def test_while_the_server_is_away_all_is_forwarded_and_then_it_has_the_newest(
    lab: Lab,  # noqa: F811
    tmp_path: Path,
    sqlite_template: Path,
) -> None:
    async with a_server(tmp_path / "server", sqlite_template) as first:
        key = await first.agent_key()
        address = int(first.url.rpartition(":")[2])
    made = Program(lab, first, key, Outbox(tmp_path / "box"))
    port = free_port()
    async with program("a") as a, made.run():
        for number in range(5):
            lab.engines["b"].start(f"job{number}", free_port())
        await made.live()
        lab.publish("a", port, a)
        await until(lambda: lab.states("a"))
        assert await hear(port) == "a"
        for number in range(5):
            lab.engines["b"].stop(f"job{number}")
        await until(lambda: not lab.states("b"))
        await until(lambda: len(made.outbox) > 0)
        said = await lab.ask("status")
        assert said["server"]["last_heard"] is None
        assert said["server"]["waiting"] >= 1
        async with a_server(tmp_path / "server", port=address) as made.server:
            await made.until_stored(**{"web-a": "listening"})
            await until(lambda: len(made.outbox) == 0)
            said = await lab.ask("status")
            assert said["server"]["url"] == first.url
            assert said["server"]["last_heard"] is not None


async def test_a_key_that_is_not_an_agents_is_told_in_status_and_costs_no_forward(
    made: Program,
) -> None:
    made.key = await made.server.user_key()
    port = free_port()
    async with program("a") as a, made.run():
        made.lab.publish("a", port, a)
        await until(lambda: made.lab.states("a"))
        assert await hear(port) == "a"
        await until(lambda: made.reporter.standing.fault)
        said = await made.lab.ask("status")
        assert "only agents report" in said["server"]["fault"]


async def test_a_full_disk_costs_no_forward_and_what_is_new_is_reported_after_it(
    made: Program,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    port = free_port()
    async with program("a") as a, made.run():
        await made.until_states("live", "live")
        with mock.patch.object(outbox_module.os, "fsync", full):
            made.lab.publish("a", port, a)
            await until(lambda: made.lab.states("a"))
            assert await hear(port) == "a"
            await asyncio.sleep(0.2)
        await made.until_stored(**{"web-a": "listening"})


# --- the end, and after it


async def test_at_the_end_nothing_is_forwarded_and_the_server_knows(made: Program) -> None:
    port = free_port()
    async with program("a") as a, made.run():
        made.lab.publish("a", port, a)
        await made.until_stored(**{"web-a": "listening"})
    assert await made.forwards() == {}
    assert await made.states() == ["stopped", "stopped"]
    [agent] = await made.server.rows(tables.agent)
    assert not agent["online"]
    assert len(made.outbox) == 0


async def test_ports_are_let_go_at_once_and_the_end_is_soon_also_when_the_server_hangs(
    made: Program,
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = free_port()
    async with silent, program("a") as a:
        made.server.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with made.run() as working:
            made.lab.publish("a", port, a)
            await until(lambda: made.lab.states("a"))
            began = time.monotonic()
            working.cancel()
            await asyncio.wait([working])
            with pytest.raises(ConnectionRefusedError):
                await hear(port)
        assert time.monotonic() - began < 2
    assert len(made.outbox) >= 1


async def test_what_was_not_delivered_is_replaced_by_the_next_start(
    made: Program, tmp_path: Path
) -> None:
    url, made.server.url = made.server.url, "http://127.0.0.1:1"
    made.lab.engines["a"].start("old", free_port())
    async with made.run():
        await until(lambda: made.lab.states("a"))
        await until(lambda: len(made.outbox) > 0)
    made.lab.engines["a"].stop("old")
    made.lab.engines["a"].start("new", free_port())
    made.server.url = url
    made.outbox = Outbox(tmp_path / "box")
    async with made.run():
        await made.until_stored(new="listening")
        await made.until_states("live", "live")
    assert len(await made.server.rows(tables.agent)) == 1
