"""Looking at the container engines of a machine: fakes, and a real dockerd of our own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from structlog.testing import capture_logs

from mooring.discovery import containers
from mooring.discovery.containers import look, sockets, told
from mooring.model import wire
from mooring.model.container import Engine, EngineKind, EngineNetwork, EngineState, PublishedPort
from mooring.model.net import SubnetKind
from mooring.model.report import Report
from tests.fakes.engines import ANSWERS, MISBEHAVING, Mode, engine
from tests.lab.engine import Dockerd, dockerd, lab_docker

__all__ = ["lab_docker"]

DEADLINE = 0.4


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for sockets; the usual place of Docker's socket is in it, and empty."""
    with TemporaryDirectory(prefix="moor-t-", dir="/tmp") as name:
        monkeypatch.setattr(containers, "DOCKER", f"unix://{name}/usual.sock")
        yield Path(name)


def as_it_is(path: str) -> str:
    return path


# --- where engines may be


def test_the_usual_places_are_known() -> None:
    assert sockets({"XDG_RUNTIME_DIR": "/run/user/1000"}, as_it_is) == (
        containers.DOCKER,
        "unix:///run/user/1000/docker.sock",
        "unix:///run/podman/podman.sock",
        "unix:///run/user/1000/podman/podman.sock",
    )


def test_what_the_environment_names_is_asked_too_and_docker_host_first() -> None:
    environ = {"DOCKER_HOST": "tcp://127.0.0.1:2375", "CONTAINER_HOST": "unix:///x/podman.sock"}
    found = sockets(environ, as_it_is)
    assert (found[0], found[-1]) == ("tcp://127.0.0.1:2375", "unix:///x/podman.sock")


def test_an_empty_environment_variable_names_nothing() -> None:
    environ = {"DOCKER_HOST": " ", "CONTAINER_HOST": "", "XDG_RUNTIME_DIR": "relative"}
    assert sockets(environ, as_it_is) == sockets({}, as_it_is)


def test_two_names_for_one_place_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "DOCKER", "unix:///var/run/docker.sock")

    def links(path: str) -> str:
        """As where /var/run is /run and Docker's socket is a link to Podman's."""
        return path.replace("/var/run/", "/run/").replace("/docker.sock", "/podman/podman.sock")

    environ = {"DOCKER_HOST": "unix:///run/docker.sock"}
    assert sockets(environ, links) == ("unix:///run/docker.sock",)


def test_links_on_disk_are_followed(folder: Path) -> None:
    (folder / "usual.sock").symlink_to(folder / "real.sock")
    assert sockets({"DOCKER_HOST": f"unix://{folder}/real.sock"})[0].endswith("/real.sock")
    assert containers.DOCKER not in sockets({"DOCKER_HOST": f"unix://{folder}/real.sock"})


# --- what of the answers is told


ABSENT = Engine("unix:///var/run/docker.sock", EngineState.ABSENT)
HOST = EngineNetwork("aa" * 32, "host", "host")
PODMANS = EngineNetwork("bb" * 32, "podman", "bridge")
ANSWERED = Engine("unix:///a", EngineState.ANSWERED, EngineKind.DOCKER, networks=(HOST,))


def test_the_absence_of_docker_is_told_where_there_is_no_other_engine() -> None:
    assert told([ABSENT], frozenset()) == (ABSENT,)
    assert told([ABSENT, ANSWERED], frozenset()) == (ANSWERED,)


def test_the_absence_of_an_engine_that_the_environment_names_is_told() -> None:
    named = Engine("unix:///mine", EngineState.ABSENT)
    assert told([named, ABSENT], frozenset({"unix:///mine"})) == (named,)
    assert told([named, ANSWERED], frozenset({"unix:///mine"})) == (named, ANSWERED)


def test_one_engine_at_two_sockets_is_told_once() -> None:
    again = replace(ANSWERED, socket="tcp://127.0.0.1:2375")
    assert told([ANSWERED, again], frozenset()) == (ANSWERED,)


def test_two_podmans_are_two_though_their_default_networks_have_one_id() -> None:
    root = Engine("unix:///a", EngineState.ANSWERED, EngineKind.PODMAN, networks=(PODMANS,))
    own = replace(root, socket="unix:///b")
    assert told([root, own], frozenset()) == (root, own)


def test_two_engines_of_one_swarm_are_two() -> None:
    ingress = EngineNetwork("8vty8k3pejm5zcjv2p1yt7bqz", "ingress", "overlay")
    one = replace(ANSWERED, networks=(HOST, ingress))
    other = replace(ANSWERED, networks=(replace(HOST, id="cc" * 32), ingress), socket="unix:///b")
    assert told([one, other], frozenset()) == (one, other)


# --- looking


async def seen(environ: dict[str, str], deadline: float = DEADLINE) -> tuple[Engine, ...]:
    """What one look tells, held against its bound in time and against the wire."""
    started = time.monotonic()
    engines, aside = await look(environ, deadline)
    assert time.monotonic() - started < 2 * deadline + 20
    report = wire.decode(wire.encode(Report("containers", "o" * 32, 1, 1.0, engines)))
    assert (report.body, report.set_aside, aside) == (engines, (), ())
    return engines.engines


async def test_a_machine_without_engines_tells_one_absent_docker() -> None:
    (absent,) = await seen({})
    assert (absent.socket, absent.state) == (containers.DOCKER, EngineState.ABSENT)
    assert "no such file" in absent.detail


async def test_a_healthy_engine_is_told_with_all_it_has(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "usual.sock"):
        (docker,) = await seen({})
    assert (docker.state, docker.kind) == (EngineState.ANSWERED, EngineKind.DOCKER)
    assert (docker.version, docker.detail) == ("20.10.24+dfsg1", "")
    assert (len(docker.containers), len(docker.networks)) == (30, 6)
    assert docker.elapsed_ms > 0


async def test_docker_and_podman_side_by_side_are_two_engines(folder: Path) -> None:
    run = folder / "run"
    (run / "podman").mkdir(parents=True)
    async with (
        engine(Mode.HEALTHY, folder / "usual.sock", ANSWERS / "constructed-engine-29"),
        engine(Mode.HEALTHY, run / "podman/podman.sock", ANSWERS / "constructed-podman-5"),
    ):
        docker, podman = await seen({"XDG_RUNTIME_DIR": str(run)})
    assert (docker.kind, docker.version) == (EngineKind.DOCKER, "29.0.1")
    assert (podman.kind, podman.version) == (EngineKind.PODMAN, "5.6.2")
    assert {s.kind for n in podman.networks for s in n.subnets} == {SubnetKind.PODMAN_BRIDGE}


async def test_of_podman_s_containers_each_is_asked_for_what_the_list_lacks(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "usual.sock", ANSWERS / "podman-4.3") as fake:
        (podman,) = await seen({})
        asked = list(fake.requests)
    told = {c.name: (c.health, len(c.ports)) for c in podman.containers}
    assert told["web"] == ("healthy", 2)
    assert told["ranged"] == ("starting", 4)
    assert len(asked) == 3 + len([c for c in podman.containers if c.state == "running"])
    assert all(line.startswith("GET ") for line in asked)


async def test_what_forbids_to_ask_for_one_container_costs_only_that(folder: Path) -> None:
    answers = folder / "answers"
    answers.mkdir()
    for name in ("version", "networks", "containers"):
        shutil.copy(ANSWERS / "podman-4.3" / f"{name}.json", answers)
    async with engine(Mode.HEALTHY, folder / "usual.sock", answers):
        (podman,) = await seen({})
    assert {c.name: len(c.ports) for c in podman.containers}["ranged"] == 1


async def test_the_service_in_a_container_is_known_by_its_image(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "usual.sock", ANSWERS / "podman-4.3"):
        (podman,) = await seen({})
    named = {c.name: [s.name for s in c.services] for c in podman.containers}
    assert named["web"] == ["redis"]


async def test_a_user_s_services_are_known_and_a_file_with_a_mistake_is_told(
    folder: Path,
) -> None:
    own = folder / "mooring" / "catalogue"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text(
        """
[[service]]
name = "our-shop"
title = "Our shop"
category = "web"

[[service.match]]
means = "label"
label = "com.docker.compose.project"
pattern = "^shop$"
confidence = 0.95
"""
    )
    (own / "bad.toml").write_text("[[service]]\nname = 5\n")
    async with engine(Mode.HEALTHY, folder / "usual.sock"):
        engines, aside = await look({"XDG_CONFIG_HOME": str(folder)}, DEADLINE)
    shop = [c for c in engines.engines[0].containers if c.compose_project == "shop"]
    assert shop
    assert all("our-shop" in [s.name for s in c.services] for c in shop)
    assert [(a.kind, "bad.toml" in a.reason) for a in aside] == [("catalogue", True)]


@pytest.mark.parametrize("mode", MISBEHAVING)
async def test_an_engine_that_misbehaves_never_raises_and_never_takes_long(
    mode: Mode, folder: Path
) -> None:
    async with engine(mode, folder / "usual.sock"):
        (docker,) = await seen({})
    hanging = mode in {Mode.HANG, Mode.HANG_LATER, Mode.NEVER_ACCEPT, Mode.TRICKLE}
    assert docker.state is (EngineState.TIMED_OUT if hanging else EngineState.BROKEN)
    assert (docker.containers, docker.networks, docker.kind) == ((), (), None)
    assert docker.detail
    assert docker.elapsed_ms > 0


async def test_an_engine_that_hangs_delays_no_other(folder: Path) -> None:
    async with (
        engine(Mode.HANG, folder / "a.sock") as hung,
        engine(Mode.HEALTHY, folder / "usual.sock"),
    ):
        first, second = await seen({"DOCKER_HOST": hung.url})
    assert (first.state, second.state) == (EngineState.TIMED_OUT, EngineState.ANSWERED)
    assert second.elapsed_ms < DEADLINE * 1000


async def test_a_docker_host_behind_ssh_is_told_and_the_others_are_asked(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "usual.sock"):
        far, near = await seen({"DOCKER_HOST": "ssh://user@far"})
    assert (far.state, near.state) == (EngineState.BROKEN, EngineState.ANSWERED)
    assert "mooring forward run ssh://user@far" in far.detail


async def test_an_engine_that_names_no_socket_is_told(folder: Path) -> None:
    first, *_ = await seen({"DOCKER_HOST": "/var/run/docker.sock" * 100})
    assert first.state is EngineState.BROKEN


async def test_the_same_engine_by_two_addresses_is_told_once(folder: Path) -> None:
    async with engine(Mode.HEALTHY, folder / "usual.sock") as fake:
        server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
        async with server:
            url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            (docker,) = await seen({"DOCKER_HOST": url})
    assert docker.socket == url


async def test_what_made_no_sense_is_handed_over_with_the_rest(folder: Path) -> None:
    answers = folder / "answers"
    answers.mkdir()
    for name in ("version", "networks"):
        text = (ANSWERS / "engine-20.10" / f"{name}.json").read_text()
        (answers / f"{name}.json").write_text(text.replace("172.31.0.0/24", "10.0.0.300/33"))
    (answers / "containers.json").write_text('[{"Id": 1}]')
    async with engine(Mode.HEALTHY, folder / "usual.sock", answers):
        engines, aside = await look({}, DEADLINE)
    assert sorted(a.kind for a in aside) == ["container", "subnet"]
    assert len(engines.engines[0].networks) == 6


async def test_the_log_tells_the_story(folder: Path) -> None:
    async def story(mode: Mode | None) -> list[tuple[str, Any]]:
        socket = folder / "usual.sock"
        with capture_logs() as events:
            if mode is None:
                await look({}, DEADLINE)
            else:
                async with engine(mode, socket):
                    await look({}, DEADLINE)
        assert {e["socket"] for e in events} == {f"unix://{socket}"}
        assert all("elapsed_ms" in e for e in events[1:])
        return [(e["log_level"], e["event"]) for e in events]

    connecting = ("info", "docker_connecting")
    assert await story(Mode.HEALTHY) == [connecting, ("info", "docker_answered")]
    assert await story(Mode.HANG) == [connecting, ("warning", "docker_timed_out")]
    assert await story(Mode.GARBAGE) == [connecting, ("warning", "docker_failed")]
    assert await story(None) == [connecting, ("info", "docker_failed")]


async def test_the_log_says_how_much_an_engine_told(folder: Path) -> None:
    with capture_logs() as events:
        async with engine(Mode.HEALTHY, folder / "usual.sock"):
            await look({}, DEADLINE)
    answered = {key: events[1][key] for key in ("version", "api", "containers", "networks")}
    assert answered == {
        "version": "20.10.24+dfsg1",
        "api": "1.41",
        "containers": 30,
        "networks": 6,
    }


# --- the real engine


def real(docker: Dockerd, deadline: float = 5.0) -> Engine:
    (engine,) = asyncio.run(seen({"DOCKER_HOST": docker.url}, deadline))
    return engine


@pytest.fixture
def docker(lab_docker: Dockerd) -> Iterator[Dockerd]:
    """The engine of this module, emptied after each test."""
    yield lab_docker
    lab_docker.thaw()
    lab_docker.clear()


@pytest.mark.real
@pytest.mark.slow
def test_twenty_containers_of_a_real_engine_are_seen_with_all_they_have(docker: Dockerd) -> None:
    made = docker.populate(20)
    engine = real(docker)
    assert engine.state is EngineState.ANSWERED
    assert {c.id for c in engine.containers} == set(made)
    numbered = sorted(engine.containers, key=lambda c: c.ports[0].host_port or 0)
    for number, container in enumerate(numbered):
        project = ("shop", "wiki")[number % 2]
        assert container.state == "running"
        assert container.ports == (
            PublishedPort("tcp", 80, ip_address("0.0.0.0"), 18000 + number),
            PublishedPort("tcp", 80, ip_address("::"), 18000 + number),
            PublishedPort("udp", 9000),
        )
        assert container.compose_project == project
        assert container.name.startswith(f"{project}-{container.compose_service}-")
        (attachment,) = container.attachments
        assert attachment.network == f"{project}_default"
        assert attachment.mac is not None
    networks = {n.name: n for n in engine.networks}
    assert set(networks) == {
        "bridge",
        "host",
        "none",
        "shop_default",
        "shop_back",
        "wiki_default",
    }
    assert {s.cidr for s in networks["shop_default"].subnets} == {
        ip_network("172.30.0.0/24"),
        ip_network("fd00:30::/64"),
    }
    shop = networks["shop_default"].subnets
    assert {a.ip in shop[0].cidr for c in numbered[::2] for a in c.attachments} == {True}


@pytest.mark.real
def test_every_bridge_of_a_real_engine_is_an_interface_of_its_host(docker: Dockerd) -> None:
    docker.network("plain", "172.29.0.0/24")
    docker.network("named", Options={"com.docker.network.bridge.name": "mybridge0"})
    bridges = {n.name: n.bridge for n in real(docker).networks if n.bridge}
    links = {link["ifname"] for link in docker.ns.ip_json("link", "show", "type", "bridge")}
    assert set(bridges.values()) == links
    assert (bridges["bridge"], bridges["named"]) == ("docker0", "mybridge0")


@pytest.mark.real
def test_a_real_container_is_seen_in_each_of_its_states(docker: Dockerd) -> None:
    docker.run("never-started", start=False)
    docker.run("on-host", network="host")
    ended = docker.run("ended", command=("true",))
    docker.call("POST", f"/containers/{ended}/wait")
    states = {c.name: (c.state, c.ports) for c in real(docker).containers}
    assert states == {
        "never-started": ("created", ()),
        "on-host": ("running", ()),
        "ended": ("exited", ()),
    }


@pytest.mark.real
def test_a_stopped_engine_is_told_within_the_deadline_and_answers_again_later(
    docker: Dockerd,
) -> None:
    docker.freeze()
    try:
        engine = real(docker, deadline=0.5)
    finally:
        docker.thaw()
    assert engine.state is EngineState.TIMED_OUT
    assert 500 <= engine.elapsed_ms < 15_000
    assert "accepted the connection" in engine.detail
    assert real(docker).state is EngineState.ANSWERED


@pytest.mark.real
def test_an_engine_of_which_a_user_has_no_right_to_the_socket_is_denied(docker: Dockerd) -> None:
    docker.socket.chmod(0o600)
    docker.folder.chmod(0o755)
    # Imported while still root: the checkout may lie where nobody can read.
    program = f"""
import asyncio, os, encodings.idna
from mooring.discovery.containers import look
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
engines, _ = asyncio.run(look({{"DOCKER_HOST": {docker.url!r}}}))
print(engines.engines[0].state.value, engines.engines[0].detail, sep=": ")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    answer = done.stdout.splitlines()[-1]
    assert answer.startswith("denied: connecting to unix:///")
    assert "usermod -aG docker" in answer


@pytest.mark.real
@pytest.mark.slow
def test_an_engine_that_ended_is_absent_and_one_that_was_killed_is_refused() -> None:
    with dockerd() as docker:
        assert real(docker).state is EngineState.ANSWERED
        docker.end(signal.SIGTERM)
        assert real(docker).state is EngineState.ABSENT
        docker.start()
        docker.run("survivor")
        docker.end(signal.SIGKILL)
        assert real(docker).state is EngineState.REFUSED
        docker.start()
        assert [c.name for c in real(docker).containers] == ["survivor"]
