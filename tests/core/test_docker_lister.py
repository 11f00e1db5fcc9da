"""An engine's containers with what its list lacks, against recorded answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mooring.core.docker import Client, connector
from mooring.core.docker_lister import Lister
from mooring.forward.watch import Docker, Pace
from tests.fakes.engines import ANSWERS, Mode, engine

PODMAN = ANSWERS / "podman-4.3"
RANGE = [19005, 19006, 19007, 19008]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a socket; short, for its path has at most 107 bytes."""
    with TemporaryDirectory(prefix="moor-t-", dir="/tmp") as made:
        yield Path(made)


async def ports(lister: Lister) -> dict[str, list[int | None]]:
    containers, aside = await lister.containers()
    assert aside == ()
    return {c.name: [p.host_port for p in c.ports] for c in containers}


async def test_a_link_s_list_has_all_ports_of_a_range_that_podman_publishes(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "podman.sock", PODMAN) as fake:
        docker = Docker(connector(fake.url), fake.url, "1.41", Pace())
        assert (await ports(docker.lister))["ranged"] == RANGE


async def test_a_container_that_is_listed_as_before_is_not_asked_again(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "podman.sock", PODMAN) as fake:
        lister = Lister(Client(fake.url))
        first = await ports(lister)
        asked = len(fake.requests)
        assert await ports(lister) == first
        assert len(fake.requests) == asked + 1


async def test_a_container_is_asked_again_once_it_runs(folder: Path) -> None:
    answers = folder / "answers"
    shutil.copytree(PODMAN, answers)
    listed = (answers / "containers.json").read_text()
    (ranged,) = [one["Id"] for one in json.loads(listed) if one["Names"] == ["/ranged"]]
    own = answers / "containers" / f"{ranged}.json"
    running = json.loads(own.read_text())
    own.write_text(json.dumps(running | {"NetworkSettings": {"Ports": {}}}))
    (answers / "containers.json").write_text(listed.replace('"running"', '"created"'))
    async with engine(Mode.HEALTHY, folder / "podman.sock", answers) as fake:
        lister = Lister(Client(fake.url))
        assert (await ports(lister))["ranged"] == RANGE[:1]
        own.write_text(json.dumps(running))
        (answers / "containers.json").write_text(listed)
        assert (await ports(lister))["ranged"] == RANGE


async def test_a_container_that_could_not_be_asked_is_asked_after_the_next_list(
    folder: Path,
) -> None:
    answers = folder / "answers"
    answers.mkdir()
    for name in ("version", "containers"):
        shutil.copy(PODMAN / f"{name}.json", answers)
    async with engine(Mode.HEALTHY, folder / "podman.sock", answers) as fake:
        lister = Lister(Client(fake.url))
        assert (await ports(lister))["ranged"] == RANGE[:1]
        shutil.copytree(PODMAN / "containers", answers / "containers")
        assert (await ports(lister))["ranged"] == RANGE
