"""Lists an engine's containers whole: what its list lacks is asked of each container alone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

import structlog

from mooring.core.docker import Client
from mooring.core.docker_inspect import Inspected, complete, lacks
from mooring.core.docker_json import Listed, fitting
from mooring.core.errors import MooringError
from mooring.model.container import Container, PublishedPort

log = structlog.get_logger(__name__)

MAX_INSPECTED = 500
"""Containers that are asked for one by one after one list."""
AT_ONCE = 8

_As: TypeAlias = tuple[str, str, str, tuple[PublishedPort, ...]]
"""A container as the list has it: its id, state, image and ports. One that was only made yet may
tell no ports of its own."""


class Lister:
    """One engine's containers. A container that a list shows as the list before is not asked again:
    its ports stay the same, its health may have changed meanwhile."""

    def __init__(self, client: Client, at_once: int = AT_ONCE) -> None:
        self._client = client
        self._at_once = at_once
        self._known: dict[_As, Inspected] = {}

    async def containers(self) -> Listed[Container]:
        """As the client's. A container that does not tell more within the deadline, or of which
        that is forbidden, is as the list has it, and is asked again after the next."""
        containers, aside = await self._client.containers()
        kind = (await self._client.known()).kind
        lacking = [c for c in containers if lacks(c, kind)]
        if not lacking:
            return containers, aside
        self._known = {_as(c): self._known[_as(c)] for c in lacking if _as(c) in self._known}
        await self._inspect([c for c in lacking if _as(c) not in self._known][:MAX_INSPECTED])
        whole = (
            complete(c, self._known[_as(c)]) if _as(c) in self._known else c for c in containers
        )
        fit, heavy = fitting(tuple(whole))
        return fit, aside + heavy

    async def _inspect(self, containers: list[Container]) -> None:
        turns = asyncio.Semaphore(self._at_once)

        async def inspect(container: Container) -> None:
            async with turns:
                try:
                    self._known[_as(container)] = await self._client.inspect(container.id)
                except (MooringError, OSError) as error:
                    # It has gone meanwhile, or what guards the socket forbids it.
                    log.debug(
                        "container_not_inspected", container=container.name, reason=str(error)
                    )

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._client.deadline), asyncio.TaskGroup() as group:
                for container in containers:
                    group.create_task(inspect(container), name=f"inspect {container.name}")


def _as(container: Container) -> _As:
    return container.id, container.state, container.image, container.ports
