"""Where the remote host's Docker listens, and how it is reached: a transport in, an opener out.

Nothing is changed there. A command tells where to look; the socket is reached through a channel
of its own, else through ``docker system dial-stdio``.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import structlog

from mooring.core.errors import UsageError
from mooring.forward.transport import Blocked, Ran, Refused, Stream, Transport

log = structlog.get_logger(__name__)

Opener: TypeAlias = Callable[[], Awaitable[Stream]]
"""A new stream to the engine. Raises ``Lost``, and OSError when nobody listens there now."""

DEADLINE = 5.0
USUAL = ("/var/run/docker.sock", "/run/podman/podman.sock")
"""Where engines of the whole host listen."""
_OF_USER = ("docker.sock", "podman/podman.sock")
"""Where a user's own do, below $XDG_RUNTIME_DIR."""
_OF_HOME = (".docker/run/docker.sock", ".docker/desktop/docker.sock")

_MARK = "mooring:"
"""Before each line of ours, since a shell's start-up files may write anything."""


@dataclass(slots=True)
class Place:
    """What the remote host said of itself."""

    user: str = ""
    host: str = ""
    docker_host: str = ""
    """Its DOCKER_HOST, if that is set for commands."""
    here: list[str] = field(default_factory=list)
    """Sockets that are there and that the user may use."""
    shut: list[str] = field(default_factory=list)
    """Sockets that are there and that the user may not use."""
    programs: list[str] = field(default_factory=list)
    """docker and podman, those that there are."""


async def find(transport: Transport, asked: str | None = None) -> tuple[Opener, str]:
    """How to reach the remote Docker, and its name for messages.

    ``asked`` is such as ``unix:///run/docker.sock``; by default it is the remote's DOCKER_HOST,
    then the usual places of Docker and Podman. Raises ``Blocked`` when the user has no right to
    it, ``Refused`` when there is none, and ``Lost``.
    """
    path = _path(asked) if asked else None
    place = await _look(transport, path)
    if place is None:
        # An account that runs no commands: what is usual is all that there is to try.
        return await _by_socket(transport, [path] if path else list(USUAL), Place())
    url = asked or place.docker_host
    if url and (path := path or _path(url)) is None:
        return await _by_command(transport, [url], place)
    sockets = [path] if path else place.here
    if path is None and not sockets and place.shut:
        raise _denied(place, place.shut[0])
    if path in place.shut:
        raise _denied(place, path)
    if not sockets:
        # The program there may know of a place that we don't.
        return await _by_command(transport, [None], place)
    try:
        return await _by_socket(transport, sockets, place)
    except Refused as refused:
        # Where such channels are forbidden it looks just as if nobody listened.
        log.info("docker_by_command", why=refused.why)
        try:
            return await _by_command(transport, [f"unix://{path}" for path in sockets], place)
        except Refused as error:
            raise _nobody(place, f"{refused.why}; {error.why}") from error


def _path(url: str) -> str | None:
    """The path of a Unix socket; None for another kind of engine's address."""
    if url.startswith("/"):
        return url
    if url.startswith("unix://") and url.removeprefix("unix://").startswith("/"):
        return url.removeprefix("unix://")
    if url.startswith(("tcp://", "http://", "https://", "ssh://")):
        return None
    raise UsageError(
        f"reading the remote engine's address {url[:200]!r}",
        "expected unix:///PATH or tcp://HOST:PORT",
        "such as --docker-host unix:///var/run/docker.sock",
    )


# --- what the remote host says


def script(path: str | None = None) -> str:
    """The command that tells all at once; for any shell, so that sh does it."""
    asked = shlex.quote(path) if path else ""
    of_user = " ".join(f'"$r/{name}"' for name in _OF_USER)
    of_home = " ".join(f'"$HOME/{name}"' for name in _OF_HOME)
    text = "; ".join(
        (
            f"m={_MARK}",
            'echo "${m}user=$(id -un)"',
            'echo "${m}host=$(uname -n)"',
            'echo "${m}docker_host=$DOCKER_HOST"',
            "r=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}",
            f"for s in {asked} {USUAL[0]} {of_user} {of_home} {USUAL[1]}",
            'do if [ -S "$s" ]',
            'then if [ -r "$s" ] && [ -w "$s" ]',
            'then echo "${m}here=$s"',
            'else echo "${m}shut=$s"',
            "fi",
            "fi",
            "done",
            "for p in docker podman",
            'do command -v $p >/dev/null && echo "${m}program=$p"',
            "done",
            "true",
        )
    )
    return f"sh -c {shlex.quote(text)}"


def said(output: str) -> Place | None:
    """What the script wrote; None if it was not run."""
    place, any_line = Place(), False
    for line in output.splitlines():
        before, mark, words = line.partition(_MARK)
        key, equals, value = words.partition("=")
        if before or not mark or not equals:
            continue
        any_line = True
        if key == "user":
            place.user = value
        elif key == "host":
            place.host = value
        elif key == "docker_host":
            place.docker_host = value.strip()
        elif key == "here" and value not in place.here:
            place.here.append(value)
        elif key == "shut" and value not in place.shut:
            place.shut.append(value)
        elif key == "program":
            place.programs.append(value)
    return place if any_line else None


async def _look(transport: Transport, path: str | None) -> Place | None:
    try:
        ran = await transport.run(script(path), deadline=DEADLINE)
    except Refused as error:
        log.info("remote_runs_no_commands", why=error.why)
        return None
    place = said(ran.stdout)
    if place is None:
        log.info("remote_runs_no_commands", status=ran.status, said=ran.stderr.strip()[:200])
    return place


def _denied(place: Place, path: str) -> Blocked:
    user, host = place.user or "USER", place.host or "the remote host"
    return Blocked(
        f"opening {path} on {host}",
        f"the user {user} has no right to it",
        f"add the user {user} to the group docker on {host}: sudo usermod -aG docker {user} "
        "(it counts from the next log-in on)",
    )


# --- ways to reach it


async def _by_socket(
    transport: Transport, paths: Sequence[str], place: Place
) -> tuple[Opener, str]:
    """Through a channel to the first of the sockets where somebody listens."""
    refusals = []
    for path in paths:
        try:
            _, writer = await transport.open_unix(path)
        except Refused as error:
            refusals.append(f"{path}: {error.why}")
            continue
        writer.close()
        log.info("docker_found", at=path, way="streamlocal")
        return _opener(partial(transport.open_unix, path)), f"unix://{path}"
    raise _nobody(place, "; ".join(refusals))


async def _by_command(
    transport: Transport, urls: Sequence[str | None], place: Place
) -> tuple[Opener, str]:
    """Through a program there that joins its standard input and output with the engine."""
    failures = []
    for url in urls:
        for program in place.programs:
            command = dial(program, url)
            ran = await transport.run(f"{command} </dev/null", deadline=DEADLINE)
            name = url or f"{program} system dial-stdio"
            if ran.status == 0:
                log.info("docker_found", at=name, way=f"{program} system dial-stdio")
                return _opener(partial(transport.open_process, command)), name
            last = _last(ran)
            if "permission denied" in last.lower():
                raise _denied(place, name)
            failures.append(f"{program} system dial-stdio: {last}")
    if not place.here:
        failures.insert(
            0, f"there is none of the usual sockets: {', '.join(USUAL)}, the user's own"
        )
    if not place.programs:
        failures.append("there is no docker command there to reach it otherwise")
    raise _nobody(place, "; ".join(failures))


def dial(program: str, url: str | None) -> str:
    """The remote command that joins its standard input and output with the engine."""
    variable = "DOCKER_HOST" if program == "docker" else "CONTAINER_HOST"
    where = f"env {variable}={shlex.quote(url)} " if url else ""
    return f"{where}{program} system dial-stdio"


def _opener(opening: Callable[[], Awaitable[Stream]]) -> Opener:
    async def opener() -> Stream:
        try:
            return await opening()
        except Refused as error:
            raise ConnectionRefusedError(errno.ECONNREFUSED, error.why) from error

    return opener


def _last(ran: Ran) -> str:
    lines = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
    return lines[-1][:300] if lines else f"it ended with {ran.status}"


def _nobody(place: Place, why: str) -> Refused:
    host = place.host or "the remote host"
    return Refused(
        f"looking for Docker on {host}",
        why,
        "start it there (sudo systemctl start docker), or say where it listens: "
        "--docker-host unix:///PATH",
    )
