"""Which container engines this machine has, what runs in them, and which services that is.

Asks by GET only. Never raises for an engine and never waits for one longer than three deadlines.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog

from mooring.core.docker import DEADLINE, Client, EngineError
from mooring.core.docker_json import Listed
from mooring.core.docker_lister import Lister
from mooring.discovery.catalogue import load, users_folders
from mooring.discovery.identify import identify_container
from mooring.model.container import Container, Engine, EngineKind, EngineNetwork, EngineState
from mooring.model.report import Engines, SetAside

log = structlog.get_logger(__name__)

DOCKER = "unix:///var/run/docker.sock"
"""Where Docker's engine listens unless told otherwise."""


def sockets(
    environ: Mapping[str, str], real: Callable[[str], str] = os.path.realpath
) -> tuple[str, ...]:
    """Where engines may be, each place once: what the environment names, and the usual places.

    ``real`` resolves links: /var/run is mostly /run, and Docker's socket may be a link to
    Podman's. Of two names for one place the first stays. DOCKER_HOST and CONTAINER_HOST are
    taken as they are, also what nobody can connect to: that is for ``look`` to tell.
    """
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    own = f"unix://{runtime}" if runtime.startswith("/") else ""
    places = (
        environ.get("DOCKER_HOST", "").strip(),
        DOCKER,
        own and f"{own}/docker.sock",
        "unix:///run/podman/podman.sock",
        own and f"{own}/podman/podman.sock",
        environ.get("CONTAINER_HOST", "").strip(),
    )
    once: dict[str, str] = {}
    for place in filter(None, places):
        path = _path(place)
        once.setdefault(real(path) if path else place, place)
    return tuple(once.values())


def named(environ: Mapping[str, str]) -> frozenset[str]:
    """The sockets that the environment names: of these also the absence is told."""
    names = (environ.get(name, "").strip() for name in ("DOCKER_HOST", "CONTAINER_HOST"))
    return frozenset(filter(None, names))


async def look(
    environ: Mapping[str, str] = os.environ, deadline: float = DEADLINE
) -> tuple[Engines, tuple[SetAside, ...]]:
    """Ask all engines side by side; their containers, networks, and what made no sense.

    ``deadline`` is in seconds and for one call. Two calls follow one another, the version and then
    the lists; where a list lacks something, all that is asked of single containers has a third.
    An engine that fails is told with its state and detail. Where there is no engine at all, that
    is told as one absent Docker.
    """
    wanted = named(environ)
    places = [s for s in sockets(environ) if s in wanted or s == DOCKER or _exists(s)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_ask(p, deadline), name=f"engine {p}") for p in places]
    seen = [task.result() for task in asked]
    engines = told((engine for engine, _ in seen), wanted)
    kept = {engine.socket for engine in engines}
    aside = [item for engine, items in seen if engine.socket in kept for item in items]
    if any(engine.containers for engine in engines):
        engines, bad = await asyncio.to_thread(_with_services, engines, environ)
        aside += bad
    return Engines(engines), tuple(aside)


def told(engines: Iterable[Engine], wanted: frozenset[str]) -> tuple[Engine, ...]:
    """Pure. What of the engines asked belongs into a report, in their order.

    Each engine once, though it may have been asked at two sockets (two names in ``tcp://`` and
    ``unix://`` cannot be told apart before), and Docker's absence only where it is all there is.
    """
    kept: list[Engine] = []
    absent: list[Engine] = []
    for engine in engines:
        if engine.state is EngineState.ABSENT and engine.socket not in wanted:
            absent.append(engine)
        elif not any(_same(engine, other) for other in kept):
            kept.append(engine)
    return tuple(kept or absent)


def _same(one: Engine, other: Engine) -> bool:
    """Whether two answers came from one engine: their containers' or networks' ids meet.

    Docker's ids are random. Podman's are too, but for its networks': a hash of the name.
    """
    if one.kind is not other.kind:
        return False
    if {c.id for c in one.containers} & {c.id for c in other.containers}:
        return True
    return one.kind is EngineKind.DOCKER and bool(_own_networks(one) & _own_networks(other))


def _own_networks(engine: Engine) -> set[str]:
    """The ids of networks that one engine has for itself; an overlay's is its swarm's."""
    return {n.id for n in engine.networks if n.driver in ("bridge", "host", "null")}


async def _ask(socket: str, deadline: float) -> tuple[Engine, tuple[SetAside, ...]]:
    """One engine: its version, then its containers and networks at once."""
    log.info("docker_connecting", socket=socket, deadline_s=deadline)
    started = time.monotonic()
    try:
        client = Client(socket, deadline=deadline)
        version = await client.version()
        (containers, bad), (networks, worse) = await _lists(client)
    except EngineError as error:
        elapsed = _milliseconds(started)
        timed_out = error.state is EngineState.TIMED_OUT
        log.log(
            logging.INFO if error.state is EngineState.ABSENT else logging.WARNING,
            "docker_timed_out" if timed_out else "docker_failed",
            socket=socket,
            state=error.state.value,
            attempted=error.attempted,
            why=error.why,
            remedy=error.remedy,
            elapsed_ms=elapsed,
        )
        return Engine(error.socket, error.state, detail=str(error), elapsed_ms=elapsed), ()
    engine = Engine(
        socket=socket,
        state=EngineState.ANSWERED,
        kind=version.kind,
        version=version.version,
        elapsed_ms=_milliseconds(started),
        containers=containers,
        networks=networks,
    )
    log.info(
        "docker_answered",
        socket=socket,
        kind=version.kind.value,
        version=version.version,
        api=version.spoken,
        containers=len(containers),
        networks=len(networks),
        set_aside=len(bad) + len(worse),
        elapsed_ms=engine.elapsed_ms,
    )
    return engine, bad + worse


async def _lists(client: Client) -> tuple[Listed[Container], Listed[EngineNetwork]]:
    """Both lists at once. One that fails ends the other, and its error is the engine's."""
    try:
        async with asyncio.TaskGroup() as group:
            containers = group.create_task(Lister(client).containers(), name="containers")
            networks = group.create_task(client.networks(), name="networks")
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return containers.result(), networks.result()


def _with_services(
    engines: tuple[Engine, ...], environ: Mapping[str, str]
) -> tuple[tuple[Engine, ...], list[SetAside]]:
    """With what runs in the containers, by image and labels.

    A user's file of services that has a mistake is set aside as other things that make no sense.
    """
    loaded = load(users_folders(environ=environ))

    def known(c: Container) -> Container:
        return replace(c, services=identify_container(c.image, dict(c.labels), loaded.catalogue))

    named = tuple(replace(e, containers=tuple(map(known, e.containers))) for e in engines)
    return named, [SetAside("catalogue", e.attempted, str(e)) for e in loaded.left_out]


def _milliseconds(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _path(socket: str) -> str | None:
    """The path of a Unix socket's address; None for every other."""
    path = socket.removeprefix("unix://")
    return path if path != socket and path.startswith("/") and "\0" not in path else None


def _exists(socket: str) -> bool:
    path = _path(socket)
    return path is not None and os.path.lexists(path)
