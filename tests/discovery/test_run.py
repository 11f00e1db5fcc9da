from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import pytest
import structlog.testing

from mooring.core import outbox as outbox_module
from mooring.core import reporting
from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError
from mooring.core.outbox import Outbox
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.core.uplink import Fault, Uplink, UplinkError
from mooring.discovery import containers, local
from mooring.discovery.run import Agent, Options
from mooring.server.db import tables
from tests.fakes.engines import MISBEHAVING, Mode, engine
from tests.lab.server import Server, a_server
from tests.parts import need

QUICK = Backoff(first=0.01, cap=0.05)
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
FOR_EVER = 3600.0
LOOKS_ONCE = Options(every=FOR_EVER, deadline=0.5)


@pytest.fixture(autouse=True)
def logs() -> Any:
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as told:
        yield told


@pytest.fixture
async def server(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Server]:
    async with a_server(tmp_path / "server", sqlite_template) as running:
        yield running


async def until(condition: Callable[[], Awaitable[Any]], within: float = 10.0) -> Any:
    """Wait for a condition; its true value."""
    async with asyncio.timeout(within):
        while not (value := await condition()):
            await asyncio.sleep(0.01)
    return value


@dataclass
class Setting:
    """An agent and where it reports to. ``run`` runs it while the block does."""

    server: Server
    key: str
    outbox: Outbox
    environ: Mapping[str, str] = field(default_factory=lambda: NO_ENGINE)
    options: Options = LOOKS_ONCE
    backoff: Backoff = QUICK

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Agent]:
        async with Uplink(self.server.url, self.key) as uplink:
            reporter = Reporter(self.outbox, uplink, self.options.duties, "host", self.backoff)
            agent = Agent(reporter, self.options, self.environ)
            async with reporter, Tasks("test") as tasks:
                tasks.start("agent", agent.run())
                yield agent

    async def run_in_state(self, *states: str, trigger: str = "start") -> dict[str, Any]:
        async def found() -> dict[str, Any] | None:
            rows = [r for r in await self.server.runs() if r["trigger"] == trigger]
            return next((r for r in rows if r["state"] in states), None)

        row: dict[str, Any] = await until(found)
        return row

    async def reports(self, subject: str, count: int = 1) -> list[dict[str, Any]]:
        async def found() -> list[dict[str, Any]]:
            rows = await self.server.rows(tables.report, tables.report.c.subject == subject)
            return rows if len(rows) >= count else []

        rows: list[dict[str, Any]] = await until(found)
        return rows

    async def agent_row(self) -> dict[str, Any]:
        async def found() -> list[dict[str, Any]]:
            return await self.server.rows(tables.agent)

        row: dict[str, Any] = (await until(found))[0]
        return row

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        key = {"authorization": f"Bearer {await self.server.user_key()}"}
        async with httpx2.AsyncClient(base_url=self.server.url, headers=key) as client:
            response = await client.post(f"/api/v1/{path}", json=body)
            assert response.is_success, response.text
            answer: dict[str, Any] = response.json()
            return answer

    async def request(self) -> str:
        """Ask for a run as a person does; its id."""
        run_id: str = (await self.ask("runs", agent_id=(await self.agent_row())["id"]))["id"]
        return run_id


@pytest.fixture
async def setting(server: Server, tmp_path: Path) -> Setting:
    return Setting(server, await server.agent_key(), Outbox(tmp_path / "box"))


# --- the first look


async def test_the_first_look_is_a_run_that_stores_all_that_this_machine_has(setting):
    here = local.look("x")
    async with setting.run():
        run = await setting.run_in_state("complete")
    interfaces = await setting.server.rows(tables.interface)
    addresses = await setting.server.rows(tables.address)
    subnets = await setting.server.rows(tables.subnet)
    assert {i["name"] for i in interfaces} == {i.name for i in here.interfaces}
    assert {a["ip"] for a in addresses} == {str(a.ip) for i in here.interfaces for a in i.addresses}
    assert {s["cidr"] for s in subnets} >= {
        str(a.network) for i in here.interfaces for a in i.addresses
    }
    assert (run["trigger"], run["summary"]["interfaces"]) == ("start", len(here.interfaces))
    assert len(setting.outbox) == 0


async def test_the_machine_is_reported_before_the_containers(setting):
    async with setting.run():
        [of_engines] = await setting.reports("containers")
    [of_machine] = await setting.reports("machine")
    assert of_machine["number"] < of_engines["number"]
    assert of_machine["stored_at"] < of_engines["stored_at"]


async def test_engines_that_hang_hold_up_the_containers_report_and_not_the_machine_s(
    setting, tmp_path
):
    async with engine(Mode.HANG, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=0.6)
        began = time.time()
        async with setting.run():
            [of_machine] = await setting.reports("machine")
            run = await setting.run_in_state("running")
            assert run["id"] not in await complete(setting)
            [of_engines] = await setting.reports("containers")
            await setting.run_in_state("complete")
    assert of_machine["stored_at"] < of_engines["stored_at"]
    assert of_engines["stored_at"] > began + 0.6
    assert (await setting.agent_row())["engines"][0]["state"] == "timed_out"


async def complete(setting: Setting) -> list[str]:
    return [r["id"] for r in await setting.server.runs() if r["state"] == "complete"]


@pytest.mark.parametrize(
    "mode",
    [
        Mode.GARBAGE,
        Mode.TRICKLE,
        *(pytest.param(mode, marks=pytest.mark.slow) for mode in MISBEHAVING),
    ],
)
async def test_however_an_engine_misbehaves_the_machine_is_whole_and_the_run_complete(
    mode, setting, tmp_path
):
    here = local.look("x")
    async with engine(mode, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=0.2)
        async with setting.run():
            run = await setting.run_in_state("complete")
    assert run["summary"]["interfaces"] == len(here.interfaces)
    assert run["summary"]["addresses"] == sum(len(i.addresses) for i in here.interfaces)
    [told] = (await setting.agent_row())["engines"]
    assert told["state"] in ("timed_out", "broken")
    assert told["detail"]


async def test_the_log_tells_a_look_by_its_run(setting, logs):
    async with setting.run():
        run = await setting.run_in_state("complete")
        await until(lambda: answered(logs, "report_delivered", 2))
    story = [e["event"] for e in logs if e.get("run") == run["id"]]
    for event in ("look_ended", "report_delivered", "report_stored", "run_complete"):
        assert event in story


async def answered(logs: list[Any], event: str, count: int) -> bool:
    return sum(e["event"] == event for e in logs) >= count


# --- looks that fail


async def test_a_look_that_fails_is_a_failed_run_with_its_reason_and_the_next_one_reports(
    setting, monkeypatch
):
    real = local.look
    failures = iter([MooringError("listing the network interfaces", "no netlink here")])

    def look(identity: str) -> Any:
        for failure in failures:
            raise failure
        return real(identity)

    monkeypatch.setattr(local, "look", look)
    async with setting.run():
        run = await setting.run_in_state("failed")
        assert run["reason"] == "listing the network interfaces: no netlink here"
        await setting.reports("machine")
        assert [r["state"] for r in await setting.server.runs()] == ["failed"]


async def test_an_error_in_the_asking_of_engines_costs_the_machine_nothing(setting, monkeypatch):
    async def look(*args: Any) -> Any:
        raise ValueError("a bug")

    monkeypatch.setattr(containers, "look", look)
    async with setting.run():
        run = await setting.run_in_state("failed")
        await setting.reports("machine")
    assert "ValueError('a bug')" in run["reason"]


async def test_a_full_disk_is_told_and_when_there_is_room_again_the_report_comes(setting):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with mock.patch.object(outbox_module.os, "fsync", full):
        async with setting.run():
            run = await setting.run_in_state("failed")
            assert "no space left on device" in run["reason"]
            mock.patch.stopall()
            with mock.patch.object(outbox_module.os, "fsync"):
                await setting.reports("machine")


# --- asked for


async def test_a_run_that_a_person_asks_for_goes_its_way_to_complete(setting):
    async with setting.run():
        await setting.run_in_state("complete")
        run_id = await setting.request()
        row = await setting.run_in_state("complete", trigger="request")
        assert row["id"] == run_id
        await setting.reports("containers", 2)
        await until(lambda: waiting(setting, 0))


async def test_a_run_asked_for_while_an_engine_hangs_sees_the_machine_at_once(setting, tmp_path):
    async with engine(Mode.HANG, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=20.0)
        async with setting.run():
            await setting.reports("machine", 1)
            began = time.time()
            await setting.request()
            second = (await setting.reports("machine", 2))[1]
    assert second["stored_at"] < began + 3


async def test_a_cancelled_run_is_stopped_and_stays_cancelled(setting, tmp_path, logs):
    async with engine(Mode.HANG, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=20.0)
        async with setting.run() as agent:
            await setting.reports("machine", 1)
            run_id = await setting.request()
            await setting.reports("machine", 2)
            assert run_id in agent._active
            await setting.ask(f"runs/{run_id}/cancel")
            await until(lambda: gone(agent, run_id))
            row = await setting.server.run(run_id)
    assert row is not None
    assert row["state"] == "cancelled"
    assert await setting.server.rows(tables.report, tables.report.c.subject == "containers") == []


async def gone(agent: Agent, run_id: str) -> bool:
    return run_id not in agent._active


@pytest.mark.slow
async def test_several_runs_asked_for_at_once_all_come_to_an_end(setting):
    async with setting.run():
        await setting.run_in_state("complete")
        asked = [await setting.request() for _ in range(5)]

        async def all_complete() -> bool:
            return set(asked) <= set(await complete(setting))

        await until(all_complete)


@pytest.mark.slow
async def test_a_run_whose_beginning_the_server_does_not_hear_is_not_polled_for_in_a_rush(
    setting, tmp_path
):
    async with engine(Mode.HANG, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=20.0)
        async with setting.run() as agent:
            await setting.reports("machine", 1)
            polls = 0
            uplink = agent._reporter.uplink
            poll = uplink.poll

            async def counted(*args: Any, **kwargs: Any) -> Any:
                nonlocal polls
                polls += 1
                return await poll(*args, **kwargs)

            async def away(*args: Any) -> None:
                raise UplinkError("sending", "no answer", Fault.AWAY)

            with (
                mock.patch.object(uplink, "poll", counted),
                mock.patch.object(uplink, "progress", away),
                mock.patch.object(uplink, "report", away),
            ):
                await setting.request()
                await asyncio.sleep(0.7)
            assert 1 <= polls <= 4


# --- delivering


async def test_a_server_that_is_away_at_the_start_gets_the_report_when_it_comes(
    tmp_path, sqlite_template
):
    async with a_server(tmp_path / "server", sqlite_template) as first:
        key = await first.agent_key()
        port = int(first.url.rpartition(":")[2])
    setting = Setting(first, key, Outbox(tmp_path / "box"))
    async with setting.run():
        await until(lambda: waiting(setting, 2))
        assert [w.subject for w in setting.outbox._waiting] == ["machine", "containers"]
        async with a_server(tmp_path / "server", port=port) as setting.server:
            await setting.run_in_state("complete")
            await until(lambda: waiting(setting, 0))


async def waiting(setting: Setting, count: int) -> bool:
    return len(setting.outbox) == count


async def test_a_dead_server_is_tried_less_and_less_often_however_often_we_look(setting, logs):
    setting.options = Options(every=0.02, deadline=0.5)
    setting.backoff = Backoff(first=0.1, cap=5)
    setting.server.url = "http://127.0.0.1:1"
    async with setting.run():
        await asyncio.sleep(0.7)
    tried = [e for e in logs if e["event"] == "turn_failed" and e["task"] == "reporter.deliver"]
    looked = [e for e in logs if e["event"] == "look_ended"]
    assert 2 <= len(tried) <= 6
    assert len(looked) > len(tried)


async def test_an_agent_that_was_killed_delivers_what_it_kept_and_its_runs_end(setting, tmp_path):
    url, setting.server.url = setting.server.url, "http://127.0.0.1:1"
    async with setting.run():
        await until(lambda: waiting(setting, 2))
    setting.server.url = url
    setting.outbox = Outbox(tmp_path / "box")
    assert len(setting.outbox) == 2
    async with setting.run():

        async def both_ended() -> bool:
            rows = await setting.server.runs()
            return len(rows) == 2 and all(r["finished_at"] for r in rows)

        await until(both_ended)
        await until(lambda: waiting(setting, 0))


async def test_a_report_that_a_server_will_never_take_is_set_apart_and_its_run_fails(setting):
    async with setting.run():
        await setting.run_in_state("complete")
    run_id = "01a1fc21-767b-7291-98a6-27af129db9ad"
    mark = outbox_module.RunMark(run_id, "start", time.time(), final=True)
    # Of a subject that no look replaces.
    setting.outbox.put("kept", local.look("x"), mark)
    damaged = setting.outbox._waiting[0]
    damaged.path.write_bytes(b"{")
    async with setting.run():
        await until(lambda: waiting(setting, 0))
        await setting.run_in_state("failed")
    row = await setting.server.run(run_id)
    assert row is not None
    assert "not JSON" in row["reason"]
    assert (setting.outbox.refused / damaged.path.name).read_bytes() == b"{"


async def test_a_report_whose_file_has_vanished_holds_up_no_other(setting):
    setting.outbox.put("machine", local.look("x"))
    setting.outbox._waiting[0].path.unlink()
    async with setting.run():
        await setting.run_in_state("complete")


async def test_a_key_that_is_not_taken_is_told_once_and_the_report_is_kept(
    setting, logs, monkeypatch
):
    monkeypatch.setattr(reporting, "KEY_AGAIN", 0.05)
    setting.key = "mooring_00000000_wrong"
    async with setting.run():
        await until(lambda: waiting(setting, 2))
        # The server's own log tells how often it was tried.
        await until(lambda: answered(logs, "key_refused", 5))
    [told] = [e for e in logs if e["event"] == "key_not_taken"]
    assert "the server does not take the key" in told["reason"]
    assert "no such key" in told["reason"]
    assert "mooring keys create --agent" in told["remedy"]
    assert not [e for e in logs if e["event"] == "turn_failed"]
    assert not any("wrong" in str(e) for e in logs if e["event"] != "key_refused")
    assert len(Outbox(setting.outbox.folder)) == 2


async def test_a_key_that_is_not_taken_is_tried_seldom(setting, logs):
    setting.key = await setting.server.user_key()
    async with setting.run():
        await until(lambda: answered(logs, "key_not_taken", 1))
        await until(lambda: waiting(setting, 2))
        await asyncio.sleep(0.3)
        assert setting.outbox.take() is not None
    [told] = [e for e in logs if e["event"] == "key_not_taken"]
    assert "only agents report" in told["reason"]
    assert not [e for e in logs if e["event"] == "turn_failed"]


# --- the end


async def test_an_agent_that_ends_says_so(setting):
    async with setting.run():
        await setting.run_in_state("complete")
        assert (await setting.agent_row())["online"]
    assert not (await setting.agent_row())["online"]


async def test_a_run_that_the_agent_s_end_cut_short_has_failed(setting, tmp_path):
    async with engine(Mode.HANG, tmp_path / "d.sock") as fake:
        setting.environ = {"DOCKER_HOST": fake.url}
        setting.options = Options(every=FOR_EVER, deadline=20.0)
        async with setting.run():
            await setting.run_in_state("running")
            await until(lambda: waiting(setting, 0))
    assert [r["state"] for r in await setting.server.runs()] == ["failed"]


async def test_an_agent_ends_soon_also_when_its_server_hangs(setting):
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with silent:
        setting.server.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with setting.run():
            await until(lambda: waiting(setting, 2))
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 10


# --- the measurements, in small


def measure(bench: str, *options: str) -> subprocess.CompletedProcess[str]:
    need("netns")
    program = Path(__file__).parents[2] / "bench" / bench
    return subprocess.run(
        [sys.executable, str(program), *options], capture_output=True, text=True, check=False
    )


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_report_is_whole_whatever_docker_does():
    need("dockerd")
    done = measure("fresh_start", "--starts", "3", "--only-complete")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 of 15 first reports are whole" in done.stdout


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", ["3", "7"])
def test_whatever_breaks_on_the_way_every_last_state_arrives_once(seed):
    done = measure("delivery", "--seconds", "10", "--seed", seed)
    assert done.returncode == 0, done.stdout + done.stderr
