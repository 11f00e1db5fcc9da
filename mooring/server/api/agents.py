"""Agents: for people to look at, and for agents to ask for work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.tasks import Tasks
from mooring.model.event import Changed, Entity, Event, Operation, RunMoved, RunState
from mooring.server.api.door import (
    AgentKey,
    NetworkId,
    Reading,
    TheAsk,
    TheState,
    Viewer,
    shaped,
)
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Agent, AgentPoll, AgentWork, Page
from mooring.server.auth import Principal
from mooring.server.db import agents, keys, runs, timeline
from mooring.server.db.timeline import Told
from mooring.server.merge import Row
from mooring.server.orders import refusal
from mooring.server.presence import Broken
from mooring.server.runs import LOOK, SCAN, title
from mooring.server.state import State

router = APIRouter(prefix="/agents", tags=["agents"])

MOST_GIVEN = 50
"""Runs that an agent has at one time; those beyond wait here, and not with it."""

LOOK_EVERY = 5.0
"""Seconds after which a waiting poll looks again by itself: another server process may have
written the run that it waits for."""


def _state(row: Row) -> str:
    if row["awaited"]:
        return "awaited"
    return "online" if row["online"] else "offline"


async def agent_shapes(connection: AsyncConnection, rows: list[Row], now: float) -> list[Agent]:
    counts = await keys.count_of_agents(connection, (row["id"] for row in rows), now)
    return [
        shaped(
            Agent,
            row,
            state=_state(row),
            named=row["given_name"] is not None,
            key_count=counts.get(row["id"], 0),
        )
        for row in rows
    ]


@router.get("")
async def list_agents(
    ask: TheAsk, state: TheState, connection: Reading, _: Viewer, network_id: NetworkId = None
) -> Page[Agent]:
    page = await agents.page(connection, ask, network_id)
    items = await agent_shapes(connection, page.rows, state.clock())
    return Page[Agent](items=items, next=page.next, total=page.total)


@router.get("/{agent_id}")
async def read_agent(agent_id: str, state: TheState, connection: Reading, _: Viewer) -> Agent:
    row = await agents.by_id(connection, agent_id)
    if row is None:
        raise missing("agent", agent_id)
    (shape,) = await agent_shapes(connection, [row], state.clock())
    return shape


@router.post("/poll")
async def poll(said: AgentPoll, request: Request, state: TheState, who: AgentKey) -> AgentWork:
    """An agent says that it is there, and waits for work (at most ``wait_s`` seconds)."""
    now = state.clock()
    events: list[Event] = []
    async with state.database.write() as connection:
        row, told = await known_agent(connection, who, said.outbox, said.name, now)
        name = row["given_name"] or said.name
        new = {
            "name": name,
            "version": said.version,
            "duties": list(dict.fromkeys(said.duties)),
            "allowed": row["allowed"] if said.leaving else said.allowed,
            "online": not said.leaving,
            "last_seen": now,
        }
        changed = {c for c in ("name", "version", "duties", "online") if row[c] != new[c]}
        if changed and not told:
            news = name
            if "online" in changed:
                news = f"Agent {name} {'went offline' if said.leaving else 'is online'}"
            told.append(_told(row, Operation.CHANGED, news))
        await agents.change(connection, row["id"], **new)
        for lost in await runs.lose(connection, row, said.active_runs, now):
            told.append(_run_told(row, lost))
            events.append(RunMoved(lost["id"], RunState.FAILED, row["network_id"]))
        await timeline.write(connection, told, now)
    state.tell([*(t.changed for t in told), *events])
    async with Tasks("poll") as tasks:
        work = tasks.start("work", _work(state, row, said), awaited=True)
        left = tasks.start("connection", _left(request), awaited=True)
        await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
    # Nobody is there any more to be answered.
    state.broken[row["id"]] = Broken(polled_at=now, at=state.clock())
    return AgentWork(runs=[], cancelled=[], orders={})


async def _left(request: Request) -> None:
    """Return when the connection of a request, whose body is read, has broken."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _work(state: State, row: Row, said: AgentPoll) -> AgentWork:
    agent = {**row, "duties": said.duties}
    # An agent that knows no scans would look at its machine instead.
    kinds = [kind for kind in (LOOK, SCAN) if not refusal(agent, kind)]
    active = set(said.active_runs)
    deadline = asyncio.get_running_loop().time() + (0 if said.leaving else said.wait_s)

    def about_runs(event: Event) -> bool:
        return (
            isinstance(event, Changed)
            and event.entity is Entity.RUN
            and event.network_id == row["network_id"]
        )

    with state.bus.subscribe(about_runs, size=10) as news:
        while True:
            async with state.database.read() as connection:
                waiting = await runs.of_agent(
                    connection, row["id"], [RunState.PENDING.value], kinds=kinds, most=MOST_GIVEN
                )
                states = await runs.states(connection, said.active_runs)
            over = {run for run in states if states[run].ended}
            cancelled = sorted(run for run in over if states[run] is not RunState.COMPLETE)
            room = max(0, MOST_GIVEN - len(active - over))
            new = [run for run in waiting if run["id"] not in active][:room]
            pending = [run for run in waiting if run["id"] in active] + new
            left = deadline - asyncio.get_running_loop().time()
            if pending or cancelled or left <= 0:
                orders = {run["id"]: run["order"] for run in pending if run["order"]}
                return AgentWork.model_validate(
                    {
                        "runs": [run["id"] for run in pending],
                        "cancelled": cancelled,
                        "orders": orders,
                    }
                )
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    if await news.next() is None:
                        deadline = 0.0
            except TimeoutError:
                continue


async def known_agent(
    connection: AsyncConnection,
    who: Principal,
    outbox: str,
    name: str,
    now: float,
    duties: Sequence[str] = ("discovery",),
) -> tuple[Row, list[Told]]:
    """The agent with this outbox, made if it is new, and what that is to tell.

    Raises a 403 that names both networks when the key is of another network than the agent.
    """
    row, told = await _known(connection, who, outbox, name, now, duties)
    await keys.tie(connection, row["id"], who.id)
    return row, told


async def _known(
    connection: AsyncConnection,
    who: Principal,
    outbox: str,
    name: str,
    now: float,
    duties: Sequence[str],
) -> tuple[Row, list[Told]]:
    assert who.network_id is not None
    known = await agents.by_outbox(connection, outbox)
    for row in known:
        if row["network_id"] == who.network_id:
            return row, []
    if known:
        raise Refused(
            403,
            f"the key {who.name!r} is for the network {who.network_name!r}, and the agent "
            f"{known[0]['name']!r} belongs to the network {known[0]['network_name']!r}: "
            "give the agent a key of its own network",
        )
    arrived = await agents.arrive(connection, who.id, outbox, now, duties)
    if arrived is not None:
        return arrived, [_told(arrived, Operation.CHANGED, f"Agent {arrived['name']} is here")]
    made = await agents.create(connection, who.network_id, outbox, name, now, duties)
    if made is not None:
        return made, [_told(made, Operation.CREATED, name)]
    # An agent's first poll, word and report come at once.
    (row,) = await agents.by_outbox(connection, outbox, who.network_id)
    return row, []


def _told(row: Row, operation: Operation, title: str) -> Told:
    return Told(Entity.AGENT, operation, row["id"], row["network_id"], title)


def _run_told(row: Row, run: Row) -> Told:
    name = f"{title(run['kind'], row['name'])} failed"
    return Told(Entity.RUN, Operation.CHANGED, run["id"], row["network_id"], name)
