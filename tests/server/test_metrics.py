"""``/metrics``: who gets it, what it is called, and that nobody can make it grow without end."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mooring.model.event import Authentication, Changed, Entity, Operation, Recovered
from mooring.model.forward import ForwardState, LinkState, Totals
from mooring.model.report import Engines
from mooring.server.app import create_app
from mooring.server.settings import Settings
from mooring.server.state import State
from tests.parts import need
from tests.server.buses import bus, endpoint, mended, wiring
from tests.server.remotes import BUILD, forward, remote, reported
from tests.server.world import World, any_database, bearer, container, engine, machine

TOKEN = "a secret of the monitoring"


@pytest.fixture
async def counted(state: State) -> Any:
    """A server with a token, whose counters begin at nothing."""
    state.settings = Settings(metrics_token=TOKEN)
    async with World(state, create_app(state)) as made:
        yield made


async def scrape(world: World) -> str:
    answer = await world.ask("GET", "/metrics", by="nobody", headers=bearer(TOKEN))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


async def samples(world: World) -> dict[tuple[str, ...], float]:
    """Values by name and labels in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await scrape(world))
        for sample in family.samples
    }


# --- who gets it


@any_database
async def test_without_a_token_in_the_environment_there_are_no_metrics(world: World) -> None:
    for headers in ({}, bearer("x"), bearer("")):
        answer = await world.ask("GET", "/metrics", by="nobody", headers=headers)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@any_database
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
async def test_without_the_right_token_the_metrics_are_refused(
    counted: World, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = await counted.ask("GET", "/metrics", by="nobody", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    # Neither does being logged in help.
    assert (await counted.ask("GET", "/metrics", by="owner")).status_code == 401


@any_database
async def test_with_the_token_the_metrics_are_there_without_logging_in(counted: World) -> None:
    assert "# TYPE http_requests_total counter" in await scrape(counted)


# --- what is counted


@any_database
async def test_a_request_is_counted_under_the_pattern_of_its_path(counted: World) -> None:
    agent = await counted.agent()
    await agent.report(machine())
    host = (await counted.one("hosts"))["id"]
    await counted.get(f"hosts/{host}")
    await counted.ask("GET", "hosts/nobody")
    await counted.ask("GET", "hosts", by="nobody")
    await counted.ask("DELETE", "set-aside")
    found = await samples(counted)
    # Labels in this order: entity_type, method, path, status.
    requests = {key[1:]: value for key, value in found.items() if key[0] == "http_requests_total"}
    assert requests == {
        ("reports", "POST", "/api/v1/reports", "200"): 1,
        ("hosts", "GET", "/api/v1/hosts", "200"): 1,
        ("hosts", "GET", "/api/v1/hosts", "401"): 1,
        ("hosts", "GET", "/api/v1/hosts/{host_id}", "200"): 1,
        ("hosts", "GET", "/api/v1/hosts/{host_id}", "404"): 1,
        ("set-aside", "DELETE", "/api/v1/set-aside", "405"): 1,
    }
    assert found["http_request_duration_seconds_count", "GET", "/api/v1/hosts/{host_id}"] == 2
    assert found["http_request_duration_seconds_sum", "POST", "/api/v1/reports"] > 0


@any_database
async def test_scanners_guesses_make_no_series(counted: World) -> None:
    for n in range(20):
        for method in ("GET", "POST", f"GUESS{n}"):
            for path in (f"/wp-{n}.php", f"/api/v1/guess{n}", f"/api/v1/hosts/{n}/x", f"/{n}%00"):
                await counted.ask(method, path, by="nobody")
            await counted.ask(method, f"hosts/{n}", by="nobody")
    found = [key[1:] for key in await samples(counted) if key[0] == "http_requests_total"]
    assert {method for _, method, _, _ in found} == {"GET", "POST", "OTHER"}
    assert {path for _, _, path, _ in found} == {
        "/{path:path}",
        "/api/v1/hosts/{host_id}",
        "unmatched",
    }
    assert {entity for entity, *_ in found} == {"", "hosts"}


@any_database
async def test_a_request_that_failed_is_counted_as_500(
    counted: World, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("mooring.server.db.hosts.page", fail)
    answer = await counted.ask("GET", "hosts")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the server failed; its log says why"
    assert "planted" not in answer.text
    failed = [entry for entry in logs if entry["event"] == "request_failed"]
    assert [str(entry["exc_info"]) for entry in failed] == ["planted"]
    assert (await samples(counted))["http_requests_total", "hosts", "GET", "/api/v1/hosts", "500"]


async def test_the_gauges_are_what_is_there(counted: World) -> None:
    agent, other = await counted.agent(), await counted.agent()
    await agent.poll()
    await agent.report(machine())
    await agent.report(Engines((engine(container("web"), container("db")),)))
    await other.report(machine("beta"))
    (row,) = await counted.items("agents", q="alpha")
    for _ in range(3):
        await counted.ask("POST", "runs", json={"agent_id": row["id"]})
    run = (await agent.poll())["runs"][0]
    await agent.progress(run, "running")
    found = await samples(counted)
    assert found["mooring_hosts",] == 2
    # One LAN for both, and loopbacks of IPv4 and IPv6 for each.
    assert found["mooring_subnets",] == 5
    assert found["mooring_containers",] == 2
    assert found["mooring_agents", "online"] == 1
    assert found["mooring_agents", "offline"] == 1
    states = ("pending", "starting", "running", "complete", "failed", "cancelled")
    assert [found["mooring_runs", "look", state] for state in states] == [2, 0, 1, 0, 0, 0]
    assert found["mooring_can_recoveries",] == 0
    await agent.report(Engines((engine(),)))
    assert (await samples(counted))["mooring_containers",] == 0


async def test_what_is_counted_of_forwards_is_there_for_each_remote_host(counted: World) -> None:
    empty = await samples(counted)
    assert (empty["mooring_forwards", "listening"], empty["mooring_remote_hosts", "live"]) == (0, 0)
    agent, other = await counted.agent(), await counted.agent()
    for one in (agent, other):
        await one.poll(name="laptop", duties=["forward"])
    held = forward(81, state=ForwardState.HELD)
    await agent.report(
        reported(
            remote(forward(80), forward(82)),
            remote(held, host="ssh://b", state=LinkState.BACKOFF, counted=Totals(since=0.0)),
        )
    )
    found = await samples(counted)
    assert found["mooring_forwards", "listening"] == 2
    assert found["mooring_forwards", "held"] == 1
    assert found["mooring_forwards", "conflict"] == 0
    assert found["mooring_remote_hosts", "backoff"] == 1
    outages = "mooring_forward_outages_total"
    assert found[outages, "laptop", "stale_link", BUILD] == 1
    assert found["mooring_forward_away_seconds_total", "laptop", BUILD] == 1.5
    connections = "mooring_forward_connections_total"
    results = ("accepted", "held", "failed")
    assert [found[connections, "laptop", BUILD, r] for r in results] == [30, 3, 2]
    assert found["mooring_forward_bytes_total", "laptop", "in", BUILD] == 4096
    assert found["mooring_forward_drift_total", "laptop", BUILD] == 1
    assert found["mooring_forward_flaps_total", "laptop", BUILD] == 4
    listening = "mooring_forward_listening_seconds"
    buckets = [found[f"{listening}_bucket", "laptop", le, BUILD] for le in ("0.01", "0.1", "+Inf")]
    assert buckets == [5, 8, 9]
    assert found[f"{listening}_sum", "laptop", BUILD] == 0.75
    assert found[connections, "laptop", "ssh://b", "accepted"] == 0
    # Two programs on one machine may forward one host: no series may be there twice.
    await other.report(reported(remote(forward(80))))
    found = await samples(counted)
    assert found[connections, "laptop", BUILD, "accepted"] == 60
    assert found[f"{listening}_count", "laptop", BUILD] == 18
    await agent.report(reported())
    found = await samples(counted)
    assert found["mooring_forwards", "listening"] == 1
    assert (connections, "laptop", "ssh://b", "accepted") not in found


async def test_what_is_counted_of_can_is_there_for_each_bus_and_driver(counted: World) -> None:
    empty = await samples(counted)
    conditions = ("healthy", "faulty", "down", "missing")
    assert [empty["mooring_can_buses", state] for state in conditions] == [0, 0, 0, 0]
    agent, other = await counted.agent(), await counted.agent()
    for one in (agent, other):
        await one.poll(name="gw", duties=["can"])
    member = endpoint("1a", received=10, sent=4, dropped=1)
    missing = bus("vcan1", endpoint("2b"), present=False, rules_present=0)
    await agent.report(wiring(bus("vcan0", member), missing))
    found = await samples(counted)
    assert [found["mooring_can_buses", state] for state in conditions] == [1, 0, 0, 1]
    frames = "mooring_can_frames_total"
    directions = ("received", "sent")
    assert [found[frames, "gw", "vcan0", way] for way in directions] == [10, 4]
    assert found["mooring_can_dropped_total", "gw", "vcan0"] == 1
    rules = [found["mooring_can_rules", "gw", "vcan1", kind] for kind in ("wanted", "present")]
    assert rules == [4, 0]
    # Labels in this order: agent, result, verb.
    join = "NetworkDriver.Join"
    assert found["mooring_can_calls_total", "gw", "ok", join] == 40
    assert found["mooring_can_calls_total", "gw", "error", join] == 2
    assert found["mooring_can_call_seconds_total", "gw", "ok", join] == 0.5
    assert found["mooring_can_recovered_total", "gw", "rules"] == 2
    # Two machines may have the same name: no series may be there twice.
    await other.report(wiring(bus("vcan0", member)))
    found = await samples(counted)
    assert found[frames, "gw", "vcan0", "received"] == 20
    assert found["mooring_can_calls_total", "gw", "ok", join] == 80
    await agent.report(wiring(bus("vcan0"), driver=""))
    found = await samples(counted)
    assert [found["mooring_can_buses", state] for state in conditions] == [2, 0, 0, 0]
    assert (frames, "gw", "vcan1", "sent") not in found
    # What has passed on a bus never gets less, and a driver that is silent counts nothing.
    assert found[frames, "gw", "vcan0", "received"] == 20
    assert found["mooring_can_calls_total", "gw", "ok", join] == 40


async def test_every_recovery_that_is_reported_is_counted(counted: World) -> None:
    async with counted.app.router.lifespan_context(counted.app):
        agent = await counted.agent()
        await agent.poll(name="gw", duties=["can"])
        for count in (1, 3, 3):
            recoveries = tuple(mended(at=float(n)) for n in range(count))
            await agent.report(wiring(bus("vcan0"), recoveries=recoveries))
        async with asyncio.timeout(30):
            while (found := await samples(counted))["mooring_can_recoveries",] < 3:
                await asyncio.sleep(0.01)
    assert found["mooring_can_recoveries",] == 3
    assert found["mooring_events_total", "can_bus", "created"] == 1


@any_database
async def test_what_the_bus_tells_is_counted_while_the_server_runs(counted: World) -> None:
    app = counted.app
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.01)
        counted.state.tell(
            [
                Changed(Entity.HOST, Operation.CREATED, "h"),
                Changed(Entity.HOST, Operation.CREATED, "i"),
                Authentication("login", "bob", ok=False),
                Recovered("can", "vcan0"),
                Recovered("forward", "8080"),
            ]
        )
        await asyncio.sleep(0.01)
        found = await samples(counted)
    assert found["mooring_events_total", "host", "created"] == 2
    assert found["mooring_authentications_total", "login", "refused"] == 1
    assert found["mooring_can_recoveries",] == 1


@pytest.mark.real
@any_database
async def test_prometheus_accepts_the_metrics(counted: World) -> None:
    promtool = need("promtool")
    agent = await counted.agent()
    await agent.poll()
    await agent.report(machine())
    await agent.report(reported(remote(forward(80)), remote(host='ssh://b"\\')))
    await agent.report(wiring(bus("vcan0", endpoint("1a", received=1)), bus('x"\\')))
    await counted.items("hosts")
    await counted.ask("GET", "/guess")
    text = await scrape(counted)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
