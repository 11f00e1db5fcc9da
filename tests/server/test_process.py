"""Mooring as a person starts it: processes of its own, real signals, real exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mooring.core.ids import new_id
from mooring.model import wire
from mooring.model.report import Report
from tests.server.process import Process, environment, mooring, running
from tests.server.world import bearer, machine

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


async def owner(server: Process) -> httpx2.AsyncClient:
    """A browser in which the owner's account was made from the printed link."""
    http = httpx2.AsyncClient(base_url=f"{server.url}/api/v1/", timeout=10)
    body = {"token": server.token, "name": "bob", "password": PASSWORD}
    answer = await http.post("setup", json=body)
    assert answer.status_code == 201, answer.text
    return http


async def key_of(folder: Path, *arguments: str) -> str:
    code, out, err = await mooring("keys", "create", "--data-dir", str(folder), *arguments)
    assert code == 0, err
    return out.strip()


def trouble(code: int, out: str, err: str) -> str:
    """What a person is told: no traceback, nothing on standard output."""
    assert "Traceback" not in err, err
    assert out == ""
    assert code in (1, 2)
    return err


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_mooring_up_ends_within_two_seconds_with_pages_open_and_an_agent_waiting(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running(tmp_path / "data") as server, asyncio.TaskGroup() as group:
        key = await key_of(tmp_path / "data", "--name", "other", "--agent")
        http = await owner(server)
        open_now = asyncio.Semaphore(0)
        ended: list[str] = []

        async def page() -> None:
            async with http.stream("GET", "events") as answer:
                async for line in answer.aiter_lines():
                    if "resync" in line:
                        open_now.release()
            ended.append("page")

        async def agent() -> None:
            body = {"outbox": new_id(), "version": "1", "name": "a", "wait_s": 30}
            open_now.release()
            answer = await http.post("agents/poll", json=body, headers=bearer(key))
            ended.append(str(answer.status_code))

        for _ in range(6):
            group.create_task(page())
        group.create_task(agent())
        for _ in range(7):
            await open_now.acquire()
        await asyncio.sleep(0.3)
        took = await server.stop(number)
        assert server.process.returncode == 0
        assert took < 2
    await http.aclose()
    assert sorted(ended) == ["200", *["page"] * 6]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", server.port))
    log = (tmp_path / "data.log").read_text()
    assert "Traceback" not in log
    assert "[error" not in log


async def test_mooring_up_maps_this_machine_and_keeps_it_over_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(folder) as server:
        http = await owner(server)
        async with asyncio.timeout(10):
            while not (runs := (await http.get("runs?state=complete")).json()["items"]):
                await asyncio.sleep(0.1)
        (host,) = (await http.get("hosts")).json()["items"]
        assert host["interface_count"] == len(socket.if_nameindex())
        assert runs[0]["trigger"] == "start"
        await http.aclose()
        await server.stop()
    async with running(folder) as server:
        assert "set up" not in server.printed
        http = httpx2.AsyncClient(base_url=f"{server.url}/api/v1/", timeout=10)
        body = {"name": "bob", "password": PASSWORD}
        assert (await http.post("session", json=body)).status_code == 201
        (again,) = (await http.get("hosts")).json()["items"]
        assert again["id"] == host["id"]
        (agent,) = (await http.get("agents")).json()["items"]
        assert agent["host_id"] == host["id"]
        await http.aclose()
        await server.stop()
    assert "Traceback" not in (tmp_path / "data.log").read_text()


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(folder, "server") as server:
        key = await key_of(folder, "--name", "agent", "--agent")
        outbox = new_id()
        async with httpx2.AsyncClient(base_url=f"{server.url}/api/v1/") as http:
            for number in range(1, 6):
                report = Report("machine", outbox, number, 0.0, machine(f"name{number}"))
                answer = await http.post(
                    "reports", content=wire.encode(report), headers=bearer(key)
                )
                assert answer.json()["result"] == "stored"
        await server.stop(signal.SIGKILL)
    database = sqlite3.connect(folder / "mooring.sqlite3")
    assert database.execute("SELECT number FROM subject").fetchall() == [(5,)]
    assert database.execute("SELECT name FROM host").fetchall() == [("name5",)]
    database.close()


# --- what may be wrong


async def test_a_second_server_on_one_data_folder_is_told_who_has_it(tmp_path: Path) -> None:
    async with running(tmp_path / "data", "server") as server:
        err = trouble(*await mooring("up", "--port", "0", "--data-dir", str(tmp_path / "data")))
        assert f"another one (process {server.process.pid}) is using it" in err
        await server.stop()


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in ("up", "server"):
            err = trouble(
                *await mooring(command, "--port", port, "--data-dir", str(tmp_path / "data"))
            )
            assert err == (
                f"mooring: listening on 127.0.0.1 port {port}: address already in use\n"
                "  end the program that has it, or choose another with --port\n"
            )


async def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        err = trouble(*await mooring("up", "--data-dir", str(folder)))
        assert err == (
            f"mooring: using the data folder {folder}: it, or a part of its path, is a file\n"
            "  choose another with --data-dir, or make it yours with chown\n"
        )
    assert file.read_text() == "mine"


async def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    # Root may write everywhere, unless it has not this power.
    within = [need_setpriv(), "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    for place in (folder, folder / "below"):
        err = trouble(*await mooring("up", "--port", "0", "--data-dir", str(place), within=within))
        assert err == (
            f"mooring: using the data folder {place}: it cannot be written: permission denied\n"
            "  choose another with --data-dir, or make it yours with chown\n"
        )


def need_setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        pytest.skip("needs setpriv (Debian's package util-linux), being root")
    return found


async def test_a_database_of_a_newer_version_is_told_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    await key_of(folder, "--name", "k")
    file = folder / "mooring.sqlite3"
    database = sqlite3.connect(file)
    database.execute("UPDATE alembic_version SET version_num = '0999'")
    database.commit()
    database.close()
    err = trouble(*await mooring("up", "--port", "0", "--data-dir", str(folder)))
    assert "a newer Mooring made it: it is of revision 0999" in err
    assert "install the newer version again, or start with another --data-dir" in err


async def test_a_database_that_is_none_is_told_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mooring.sqlite3").write_bytes(b"my poems " * 500)
    err = trouble(*await mooring("server", "--port", "0", "--data-dir", str(folder)))
    assert "file is not a database" in err
    assert (folder / "mooring.sqlite3").read_bytes() == b"my poems " * 500


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://bob:geheim@127.0.0.1:9/mooring",
            "postgresql+asyncpg://bob:***@127.0.0.1:9/mooring: connection refused",
        ),
        ("mysql://bob:geheim@h/d", "expected postgresql or sqlite, got 'mysql'"),
        ("geheim", "it is not a URL"),
    ],
)
async def test_a_database_that_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, url: str, told: str
) -> None:
    environ = environment(MOORING_DATABASE_URL=url)
    err = trouble(
        *await mooring("server", "--port", "0", "--data-dir", str(tmp_path), environ=environ)
    )
    assert told in err
    assert "geheim" not in err


@pytest.mark.real
async def test_a_server_works_on_postgresql(tmp_path: Path, postgres: Any) -> None:
    name = postgres.create()
    url = postgres.url(name).replace("+asyncpg", "")
    environ = environment(MOORING_DATABASE_URL=url)
    async with running(tmp_path / "data", "server", environ=environ) as server:
        http = await owner(server)
        assert (await http.get("networks")).json()["items"][0]["name"] == "home"
        await http.aclose()
        assert await server.stop() < 2
    assert not list((tmp_path / "data").glob("*.sqlite*"))
    postgres.drop(name)


@pytest.mark.parametrize("days", ["long", "-1", "0", "nan", "inf", "1e9"])
async def test_a_setting_that_is_none_is_told(tmp_path: Path, days: str) -> None:
    environ = environment(MOORING_KEEP_DAYS=days)
    code, out, err = await mooring(
        "server", "--port", "0", "--data-dir", str(tmp_path), environ=environ
    )
    assert "reading the environment variable MOORING_KEEP_DAYS" in trouble(code, out, err)
    assert code == 2


# --- keys


async def test_keys_are_made_listed_and_revoked_on_the_servers_machine(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(folder, "server") as server:
        async with httpx2.AsyncClient(base_url=f"{server.url}/api/v1/") as http:
            key = await key_of(folder, "--name", "script", "--role", "admin", "--expires", "7")
            agent = await key_of(folder, "--name", "agent", "--agent")
            assert re.fullmatch(r"mooring_[0-9a-f]{8}_[\w-]{43}", key)
            assert (await http.get("keys", headers=bearer(key))).status_code == 200
            assert (await http.get("hosts", headers=bearer(agent))).status_code == 403

            code, listed, _ = await mooring("keys", "list", "--data-dir", str(folder))
            assert code == 0
            prefix = key.split("_")[1]
            assert re.search(rf"script +mooring_{prefix}_… +admin +until 2", listed)
            assert re.search(r"agent +mooring_\w{8}_… +agents of home +valid", listed)
            assert key.split("_", 2)[2] not in listed

            code, out, err = await mooring(
                "keys", "revoke", f"mooring_{prefix}_…", "--data-dir", str(folder)
            )
            assert (code, out, err) == (0, "", "Revoked: script.\n")
            refused = await http.get("keys", headers=bearer(key))
            assert refused.status_code == 401
            assert "was revoked" in refused.json()["detail"]
            again = await mooring("keys", "revoke", prefix, "--data-dir", str(folder))
            assert "the key was revoked before" in trouble(*again)
        await server.stop()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--name", " "], "--name needs 1 to 100 characters"),
        (["--name", "k", "--network", "home"], "--network goes with --agent"),
        (["--name", "k", "--agent", "--role", "admin"], "--role does not go with --agent"),
        (["--name", "k", "--agent", "--network", "moon"], "there is no network 'moon'"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    code, out, err = await mooring("keys", "create", "--data-dir", str(tmp_path), *arguments)
    assert told in trouble(code, out, err)
    assert code == 2
