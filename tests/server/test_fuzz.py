"""Whatever the API's description allows, and what it does not: nothing makes the server fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from mooring.model.forward import Moment
from mooring.model.report import Engines, SetAside
from mooring.server.auth import Passwords
from mooring.server.db.engine import Database
from mooring.server.settings import Settings
from mooring.server.state import State
from tests.server.accounts import user
from tests.server.buses import bus, endpoint, mended, wiring
from tests.server.remotes import forward, remote, reported
from tests.server.scanned import port, scan, seen
from tests.server.world import Clock, World, container, docker_machine, docker_network, engine

pytestmark = pytest.mark.slow

EXAMPLES = 5
"""Requests per operation and way of making them up."""
OF_AGENTS = ("/api/v1/agents/poll", "/api/v1/reports", "/api/v1/runs/{run_id}/progress")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def fuzzed(
    migrated_url: str, passwords: Passwords, one_app: FastAPI, runner: asyncio.Runner
) -> Iterator[World]:
    """A server with something of everything in it, on an event loop that stands still between."""
    database = Database(migrated_url)
    state = State(database, Settings(), passwords=passwords, clock=Clock())
    world = World(state, one_app)

    async def fill() -> None:
        await world.__aenter__()
        agent = await world.agent()
        await agent.poll()
        await agent.report(docker_machine(), set_aside=[SetAside("route", "x", "y")])
        network = docker_network()
        await agent.report(Engines((engine(container("web"), networks=[network]),)))
        moments = (Moment(1.0, "opened", "127.0.0.1:80/tcp", "web"),)
        links = reported(remote(forward(80), history=moments), remote(host="ssh://b"))
        await agent.report(links)
        await agent.report(wiring(bus("vcan0", endpoint("1a")), recoveries=(mended(),)))
        await agent.report(scan("10.0.0.0/24", seen("10.0.0.40", None, port(80, "nginx"))))
        await user(world, "bob", "member")
        (row,) = await world.items("agents")
        await world.ask("POST", "runs", json={"agent_id": row["id"]})
        nightly = {"agent_id": row["id"], "name": "nightly", "cron": "0 3 * * *", "kind": "look"}
        await world.ask("POST", "schedules", json=nightly)

    runner.run(fill())
    yield world
    runner.run(world.__aexit__(None, None, None))
    runner.run(database.close())


async def real_ids(world: World) -> dict[str, list[str]]:
    """Ids that there are, by the name of the parameter that takes them."""
    nouns = (
        "host",
        "subnet",
        "container",
        "port",
        "agent",
        "run",
        "schedule",
        "key",
        "user",
        "session",
        "network",
        "forward",
    )
    found = {f"{n}_id": [i["id"] for i in await world.items(f"{n}s")] for n in nouns}
    plurals = {"remote_host": "remote-hosts", "can_bus": "can-buses", "can_driver": "can-drivers"}
    for noun, plural in plurals.items():
        found[f"{noun}_id"] = [i["id"] for i in await world.items(plural)]
    # Deleting the network that all is in would leave nothing to try out.
    return found | {"network_id": ["none"]}


def test_no_request_makes_the_server_fail(
    fuzzed: World, runner: asyncio.Runner, logs: list[Any]
) -> None:
    schema = schemathesis.openapi.from_dict(fuzzed.app.openapi())
    ids = runner.run(real_ids(fuzzed))
    statuses: dict[str, set[int]] = {}

    def attempt(method: str, path: str, operation: Any, mode: GenerationMode) -> None:
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
        def send(case: Any, data: st.DataObject) -> None:
            for name in case.path_parameters or {}:
                known = ids.get(name)
                if known and data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.sampled_from(known))
            if isinstance(case.body, dict) and "wait_s" in case.body:
                case.body["wait_s"] = 0
            sent = case.as_transport_kwargs(base_url="http://mooring.test")
            sent = {k: v for k, v in sent.items() if v is not None and k != "cookies"}
            # A header or parameter that no client can send is no request.
            headers = {k: v for k, v in sent.pop("headers", {}).items() if _sendable(v)}
            by = "agent" if path in OF_AGENTS and method == "POST" else "owner"
            headers |= runner.run(fuzzed.headers(by))
            url = sent.pop("url").removeprefix("http://mooring.test")
            if isinstance(sent.get("data"), bytes | str):
                sent["content"] = sent.pop("data")
            fuzzed.http.cookies.clear()
            try:
                answer = runner.run(
                    fuzzed.http.request(sent.pop("method"), url, headers=headers, **sent)
                )
            except httpx2.InvalidURL:
                return  # longer than any client sends
            statuses.setdefault(f"{method} {path}", set()).add(answer.status_code)
            if answer.status_code >= 500:
                failed = [e for e in logs if e["event"] == "request_failed"]
                raise failed[-1]["exc_info"] if failed else AssertionError(answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"

        send()

    operations = [
        (result.ok().method.upper(), result.ok().path, result.ok())
        for result in schema.get_all_operations()
    ]
    assert len(operations) > 30
    # What deletes comes last.
    for method, path, operation in sorted(operations, key=lambda o: o[0] == "DELETE"):
        if path == "/api/v1/events":
            continue  # it has no end
        for mode in GenerationMode:
            with contextlib.suppress(Unsatisfiable):  # nothing that it takes can be wrong
                attempt(method, path, operation, mode)
    # It did get somewhere.
    reached = {place for place, found in statuses.items() if any(s < 300 for s in found)}
    assert len(reached) > len(operations) * 0.6, sorted(set(statuses) - reached)


def _sendable(value: object) -> bool:
    try:
        return "\n" not in str(value) and bool(str(value).encode("ascii"))
    except UnicodeEncodeError:
        return False
