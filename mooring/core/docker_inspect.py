"""Pure. What a list of containers does not say, and one container's own answer does; never asks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from msgspec import Struct

from mooring.core import docker_json, parse
from mooring.core.docker_json import MAX_LINE, MAX_PORTS
from mooring.model.container import Container, EngineKind, PublishedPort


@dataclass(frozen=True, slots=True)
class Inspected:
    """What one container's own answer has beyond the list's."""

    image: str
    """As it was named when the container was made."""
    health: str | None
    ports: tuple[PublishedPort, ...]


class _Config(Struct, rename="pascal"):
    image: str = ""


class _Health(Struct, rename="pascal"):
    status: str = ""


class _State(Struct, rename="pascal", frozen=True):
    health: _Health | None = None


class _Binding(Struct, rename="pascal"):
    host_ip: str = ""
    host_port: str = ""


class _Settings(Struct, rename="pascal", frozen=True):
    ports: dict[str, list[_Binding] | None] | None = None


class _Answer(Struct, rename="pascal"):
    config: _Config
    state: _State = _State()
    network_settings: _Settings = _Settings()


def lacks(container: Container, kind: EngineKind) -> bool:
    """Whether the list does not say all that matters of a container.

    Docker's has an image's id alone when the image's name belongs to a newer one by now. Podman's
    (4.3) has no health, and of a range of published ports the first.
    """
    if kind is EngineKind.PODMAN and (container.state == "running" or container.ports):
        return True
    return re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", container.image) is not None


def inspected(answer: bytes) -> Inspected:
    """Read one container's own answer; a port of it that makes no sense is left out.

    Raises ``docker_json.WrongShape``.
    """
    said = docker_json.whole(answer, _Answer, "a container with its Config")
    health = said.state.health.status if said.state.health else ""
    ports: set[PublishedPort] = set()
    for place, bindings in (said.network_settings.ports or {}).items():
        with contextlib.suppress(ValueError):
            ports.update(_ports(place, bindings or []))
        if len(ports) > MAX_PORTS:
            break
    return Inspected(
        image=parse.cut(said.config.image, MAX_LINE),
        health=health if health in docker_json.HEALTHS else None,
        ports=tuple(sorted(ports, key=docker_json.by_port)[:MAX_PORTS]),
    )


def complete(container: Container, more: Inspected) -> Container:
    """A container of a list with what the list lacked. An engine that tells less takes nothing."""
    return replace(
        container,
        image=more.image or container.image,
        health=more.health or container.health,
        ports=more.ports or container.ports,
    )


def _ports(place: str, bindings: list[_Binding]) -> Iterator[PublishedPort]:
    """The ports of ``80/tcp``: one for each place where it is published, or it alone."""
    number, _, word = place.partition("/")
    protocol, port = docker_json.protocol(word), docker_json.port_number(int(number))
    if not bindings:
        yield PublishedPort(protocol, port)
    for b in bindings:
        published = docker_json.port_number(int(b.host_port))
        yield PublishedPort(protocol, port, parse.ip(b.host_ip), published)
