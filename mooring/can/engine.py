"""Asks Docker for its networks, and has the driver know the same ones. Never waits long.

Docker does not answer while it starts its containers, and is not asked in a call of its own:
what is done here is done beside the calls, or for a person.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mooring.can import registry
from mooring.can.options import GENERIC
from mooring.can.protocol import Call
from mooring.can.registry import Difference, Registered
from mooring.core.errors import MooringError
from mooring.model.can import Network

DOCKER = "unix:///var/run/docker.sock"
DEADLINE = 2.0
"""Seconds in which an engine that is well tells its networks."""
AGAIN = 2.0
"""Seconds after which it is asked a second time: what differs then is no network in the making."""

Ask = Callable[[], Sequence[Registered] | None]


def networks() -> list[Registered] | None:
    """Docker's networks; None where no engine answers."""
    socket = os.environ.get("DOCKER_HOST") or DOCKER
    if socket.startswith("unix://") and not Path(socket.removeprefix("unix://")).exists():
        return None
    # Not loaded before the driver's socket answers, nor where there is nobody to ask.
    import asyncio

    from mooring.core.docker import Client, EngineError

    try:
        answer = asyncio.run(Client(socket, deadline=DEADLINE).get("/networks"))
        return registry.registered(answer)
    except (EngineError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def differs(
    known: Callable[[], Mapping[str, Network]], driver: str, ask: Ask = networks
) -> Difference | None:
    """What differs for longer than a moment; None where no engine answers."""
    told = ask()
    if told is None:
        return None
    first = registry.difference(known(), told, driver)
    if not first:
        return first
    time.sleep(AGAIN)
    again = ask()
    return None if again is None else first & registry.difference(known(), again, driver)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was done about a difference."""

    done: int
    failed: tuple[str, ...]


def settle(
    found: Difference, in_use: Callable[[Network], bool], call: Callable[[Call], object]
) -> Settled:
    """Have the driver know what Docker has, and forget what it has no more and nobody uses.

    ``call`` has a driver do what Docker would have asked for.
    """
    calls = [
        Call("CreateNetwork", one.id, options={GENERIC: dict(one.options)}) for one in found.unknown
    ]
    calls += [Call("DeleteNetwork", one.id) for one in found.orphaned if not in_use(one)]
    failed = []
    for one in calls:
        try:
            call(one)
        except MooringError as error:
            failed.append(str(error))
    return Settled(len(calls) - len(failed), tuple(failed))
