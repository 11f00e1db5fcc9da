"""The databases that the tests are given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.parts import need
from tests.postgres import Cluster


async def test_a_database_url_opens_an_empty_database(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE mark (id integer)"))
    await engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_has_a_database_of_its_own(migrated_url: str, turn: int) -> None:
    engine = create_async_engine(migrated_url)
    async with engine.begin() as connection:
        before = (await connection.execute(text("SELECT count(*) FROM network"))).scalar_one()
        await connection.execute(text("CREATE TABLE mark (id integer)"))
    await engine.dispose()
    assert before <= 1


@pytest.mark.real
def test_a_database_is_dropped_though_a_test_left_a_connection_open(postgres: Cluster) -> None:
    name = postgres.create()
    psql = subprocess.Popen(
        [need("psql"), postgres.url(name).replace("+asyncpg", ""), "-qAt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert psql.stdin
    assert psql.stdout
    psql.stdin.write(b"SELECT 'here';\n")
    psql.stdin.flush()
    assert psql.stdout.readline() == b"here\n"

    postgres.drop(name)

    psql.stdin.close()
    psql.stdout.close()
    psql.wait(timeout=10)


@pytest.mark.real
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_postgres_ends_when_the_test_run_is_killed() -> None:
    program = f"""
import sys, time
from tests.postgres import Cluster
cluster = Cluster({need("postgres")!r})
print(cluster.folder, cluster._process.pid, flush=True)
time.sleep(60)
"""
    top = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=top, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        folder, pid = run.stdout.readline().split()
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"postgres {pid} is still there")
    subprocess.run(["rm", "-rf", folder], check=True)
