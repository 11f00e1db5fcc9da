"""Stores a containers report: what each engine that answered runs, and how the others failed."""

from __future__ import annotations

from typing import Any

from mooring.model import wire
from mooring.model.container import Engine, EngineState
from mooring.model.event import Entity
from mooring.model.report import Engines
from mooring.server import scans
from mooring.server.db import agents, snapshot
from mooring.server.db.tables import container
from mooring.server.ingest.subnets import store_subnets
from mooring.server.ingest.visit import Visit
from mooring.server.merge import Values
from mooring.server.names import name_order


async def store_engines(visit: Visit, e: Engines) -> dict[str, int]:
    """Store the snapshot; answers how many of what it held.

    The containers of an engine that did not answer stay as they were last seen.
    """
    if await visit.stored_host() is None:
        await visit.new_host({"name": visit.agent["name"], "source": "containers"})
    engines = _engines(e, visit.agent["engines"])
    await agents.change(visit.connection, visit.agent["id"], host_id=visit.host, engines=engines)
    if _without_times(engines) != _without_times(visit.agent["engines"]):
        visit.tell_agent()
    answered = [engine for engine in e.engines if engine.state is EngineState.ANSWERED]
    for engine in answered:
        await _store_containers(visit, engine)
    if answered:
        found = [s for engine in answered for n in engine.networks for s in n.subnets]
        # While an engine that was there before is silent, nobody knows which networks it has.
        silent = [n for n in engines if n["kind"] and n["state"] != EngineState.ANSWERED.value]
        await store_subnets(visit, tuple(found), "containers", whole=not silent)
    for engine in e.engines:
        visit.outcome.log(
            "engine_stored",
            socket=engine.socket,
            state=engine.state.value,
            containers=len(engine.containers),
            networks=len(engine.networks),
        )
    return {
        "engines": len(answered),
        "containers": sum(len(engine.containers) for engine in answered),
        "container_networks": sum(len(engine.networks) for engine in answered),
    }


def _engines(e: Engines, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The engines as they are kept: a silent one is still of the kind that it last said."""
    columns = ("socket", "state", "kind", "version", "detail", "elapsed_ms")
    kinds = {engine["socket"]: engine["kind"] for engine in before}
    return [
        {c: engine[c] for c in columns} | {"kind": engine["kind"] or kinds.get(engine["socket"])}
        for engine in wire.to_builtins(e.engines)
    ]


def _without_times(engines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**engine, "elapsed_ms": 0} for engine in engines]


async def _store_containers(visit: Visit, engine: Engine) -> None:
    part = await snapshot.store(
        visit.connection,
        container,
        (container.c.host_id == visit.host) & (container.c.engine == engine.socket),
        [_row(c) for c in wire.to_builtins(engine.containers)],
        ("container_id",),
        fixed={"host_id": visit.host, "engine": engine.socket, "source": "containers"},
        now=visit.now,
        quiet=frozenset({"status"}),
    )
    await visit.tell_parts(Entity.CONTAINER, part, container)


def _row(c: dict[str, Any]) -> Values:
    columns = (
        "name",
        "image",
        "state",
        "status",
        "health",
        "compose_project",
        "compose_service",
        "ports",
        "attachments",
        "created_at",
    )
    labels = dict(c["labels"])
    return {
        "container_id": c["id"],
        "name_order": name_order(c["name"]),
        "labels": labels,
        **scans.kept(c["services"]),
        **{name: c[name] for name in columns},
    }
