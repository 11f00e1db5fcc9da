"""The one place of wiring: routes, errors, metrics and the server's own tasks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from fastapi import FastAPI
from fastapi.routing import APIRoute

from mooring import __version__
from mooring.core.tasks import Tasks
from mooring.server.api import (
    agent_changes,
    agents,
    audit,
    behind,
    bounds,
    can,
    containers,
    description,
    events,
    export,
    forwards,
    health,
    hosts,
    keys,
    metrics,
    networks,
    page,
    ports,
    problems,
    reports,
    runs,
    schedules,
    search,
    services,
    session,
    subnets,
    timeline,
    topology,
    users,
)
from mooring.server.api.metrics import API
from mooring.server.api.shapes import Problem
from mooring.server.metrics import Metrics
from mooring.server.state import State
from mooring.server.timetable import fire_due
from mooring.server.upkeep import forget_old, note_silent_agents

NOUNS = (
    health,
    session,
    networks,
    subnets,
    hosts,
    containers,
    ports,
    services,
    agents,
    agent_changes,
    forwards,
    can,
    runs,
    schedules,
    search,
    reports,
    timeline,
    events,
    users,
    keys,
    audit,
    topology,
)


def create_app(state: State) -> FastAPI:
    """The whole server as an ASGI app; ``state`` is its own."""
    counters = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Tasks("server") as tasks:
            tasks.start("metrics", counters.follow(state.bus))
            tasks.supervise("silent_agents", partial(note_silent_agents, state), every=5)
            tasks.supervise("fire_due", partial(fire_due, state), every=5)
            tasks.supervise("forget_old", partial(forget_old, state), every=3600)
            yield
            state.bus.close()
        state.passwords.close()

    app = FastAPI(
        title="Mooring",
        version=__version__,
        description="Hosts and containers of a site: mapped, reachable and wired.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        responses={"default": {"model": Problem, "description": "A problem"}},
    )
    app.state.mooring = state
    app.state.metrics = counters
    problems.install(app)
    for noun in NOUNS:
        app.include_router(noun.router, prefix=API)
    app.include_router(description.router, prefix=API)
    app.include_router(metrics.router)
    app.include_router(page.router)
    app.add_middleware(export.Export, prefix=f"{API}/")
    app.add_middleware(bounds.Bound, own=f"{API}/reports")
    app.add_middleware(metrics.CountRequests, metrics=counters)
    app.add_middleware(behind.Behind)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
