"""Runs that scan: checked at the door, given to whoever can, followed line by line."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.report import RunMark
from mooring.server.runs import MAX_PHASES, added_up, phases
from tests.server.scanned import scan, seen
from tests.server.world import NOON, Reporter, World, any_database, machine

SCANS = ["discovery", "scan"]
A = "aa:00:00:00:00:01"


async def scanner(world: World, **said: Any) -> tuple[Reporter, str]:
    agent = await world.agent()
    await agent.poll(**{"duties": SCANS, **said})
    return agent, (await world.one("agents"))["id"]


async def ask(world: World, agent_id: str, status: int = 202, **more: Any) -> Any:
    body = {"agent_id": agent_id, "kind": "scan", **more}
    answer = await world.ask("POST", "runs", by="member", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_scan_is_given_to_its_agent_with_what_it_is_to_do(world: World) -> None:
    agent, agent_id = await scanner(world)
    run = await ask(world, agent_id, targets=["10.0.0.0/24", "10.0.1.7", "10.0.0.0/24"])
    assert run["order"] == {"targets": ["10.0.0.0/24", "10.0.1.7/32"], "depth": "light"}
    assert await agent.poll(duties=SCANS) == {
        "runs": [run["id"]],
        "cancelled": [],
        "orders": {run["id"]: run["order"]},
    }
    look = await world.ask("POST", "runs", json={"agent_id": agent_id})
    assert look.json()["order"] is None
    # An agent from before scans would look at its machine instead.
    old = await agent.poll(duties=["discovery"])
    assert old == {"runs": [look.json()["id"]], "cancelled": [], "orders": {}}
    assert [r["id"] for r in await world.items("runs", kind="scan")] == [run["id"]]


@any_database
@pytest.mark.parametrize(
    ("targets", "why"),
    [
        (["10.0.0.0/8"], "16,777,216 addresses, and one scan asks 65,536 at the most (a /16)"),
        (["0.0.0.0/0"], "4,294,967,296 addresses"),
        (["10.0.0.0/16", "10.1.0.0/24"], "65,792 addresses"),
        (["::/0"], "this is no subnet"),
        (["10.0.0.5/24"], "10.0.0.0/24 is the network, 10.0.0.5 the one host"),
        (["router"], "it is no network and no address"),
        (["10.0.0.0/24; rm"], "it is no network and no address"),
    ],
)
async def test_targets_that_nobody_scans_are_refused_with_the_reason(
    world: World, targets: list[str], why: str
) -> None:
    _, agent_id = await scanner(world)
    refused = await ask(world, agent_id, 422, targets=targets)
    assert why in refused["detail"]
    assert await world.items("runs") == []


@any_database
async def test_too_many_targets_are_refused(world: World) -> None:
    _, agent_id = await scanner(world)
    await ask(world, agent_id, 422, targets=[f"10.0.{n // 250}.{n % 250}" for n in range(257)])


@any_database
async def test_what_the_agent_may_not_scan_is_refused_when_it_said_what_it_may(
    world: World,
) -> None:
    agent, agent_id = await scanner(world, allowed=["10.0.0.0/25", "10.0.0.128/25"])
    await ask(world, agent_id, targets=["10.0.0.0/24"])
    refused = await ask(world, agent_id, 409, targets=["10.0.0.0/24", "10.9.0.0/24"])
    assert refused["detail"] == (
        "10.9.0.0/24 is outside of the networks that the agent may scan: 10.0.0.0/24; "
        "if it is yours to scan, start the agent with --allow-scan 10.9.0.0/24"
    )
    await agent.poll(duties=SCANS, leaving=True)
    await ask(world, agent_id, 409, targets=["10.9.0.0/24"])
    await agent.poll(duties=SCANS, allowed=None)
    await ask(world, agent_id, targets=["10.9.0.0/24"])


@any_database
async def test_an_agent_without_the_duty_is_not_asked(world: World) -> None:
    _, agent_id = await scanner(world, duties=["forward"])
    refused = await ask(world, agent_id, 409)
    assert "alpha does not scan networks: its duty is forward" in refused["detail"]


async def test_one_host_is_scanned_again_at_its_addresses(world: World) -> None:
    agent, agent_id = await scanner(world)
    await agent.report(machine())
    await agent.report(scan("10.0.0.0/24", seen("10.0.0.40", A)))
    await agent.report(scan("fd00::/64", seen("fd00::40", A)))
    (nas,) = await world.items("hosts", q=A)
    run = await ask(world, agent_id, host_id=nas["id"], depth="full")
    assert run["order"] == {"targets": ["10.0.0.40/32", "fd00::40/128"], "depth": "full"}
    await agent.poll(duties=SCANS, allowed=["10.0.0.0/24"])
    run = await ask(world, agent_id, host_id=nas["id"])
    assert run["order"]["targets"] == ["10.0.0.40/32"]
    await agent.poll(duties=SCANS, allowed=["10.9.0.0/24"])
    await ask(world, agent_id, 409, host_id=nas["id"])
    await ask(world, agent_id, 404, host_id="nobody")
    await agent.report(scan("10.0.0.0/24"))
    (again,) = await world.items("hosts", q=A)
    assert again["addresses"] == ["fd00::40"]


# --- followed


def test_phases_are_kept_in_their_order_each_with_how_far_it_came() -> None:
    found = phases([], None, 0, None)
    for name, done in (("hosts", 10), ("hosts", 254), ("ports", 3), ("hosts", 255)):
        found = phases(found, name, done, 255)
    assert [(p["name"], p["done"]) for p in found] == [("hosts", 255), ("ports", 3)]
    for n in range(100):
        found = phases(found, f"phase {n}", 0, None)
    assert len(found) == MAX_PHASES


def test_blocks_are_added_up() -> None:
    assert added_up({"a": {"hosts": 2, "ports": 1}, "b": {"hosts": 3}}) == {"hosts": 5, "ports": 1}
    assert added_up({}) == {}


async def test_a_run_tells_its_phases_what_is_left_and_its_story(world: World) -> None:
    agent, agent_id = await scanner(world)
    run = (await ask(world, agent_id))["id"]
    line = {"at": NOON, "event": "scan_began", "text": "254 addresses", "level": "info"}
    await agent.progress(run, "running", phase="hosts", done=254, total=254, lines=[line])
    said = {"phase": "ports", "done": 10, "total": 640, "remaining_s": 12.5}
    answer = await agent.progress(run, "running", **said)
    assert answer.status_code == 204
    found = await world.get(f"runs/{run}")
    assert found["remaining_s"] == 12.5
    assert found["phases"] == [
        {"name": "hosts", "done": 254, "total": 254},
        {"name": "ports", "done": 10, "total": 640},
    ]
    (told,) = await world.items(f"runs/{run}/lines")
    assert (told["event"], told["text"], told["level"]) == ("scan_began", "254 addresses", "info")
    # What there was to tell of its end may come after it.
    await world.ask("POST", f"runs/{run}/cancel")
    late = {**line, "at": NOON + 1, "event": "scan_stopped"}
    await agent.progress(run, "running", lines=[late])
    assert (await world.get(f"runs/{run}"))["state"] == "cancelled"
    lines = await world.items(f"runs/{run}/lines", sort="-at")
    assert [told["event"] for told in lines] == ["scan_stopped", "scan_began"]


async def test_a_complete_run_is_done_though_its_agents_last_word_is_on_its_way(
    world: World,
) -> None:
    agent, agent_id = await scanner(world)
    run = await ask(world, agent_id, targets=["10.0.0.0/24"])
    await agent.progress(run["id"], "running", phase="hosts", done=253, total=254)
    await agent.progress(run["id"], "running", phase="services", done=16, total=17)
    last = [RunMark(run["id"], "request", NOON, final=True)]
    await agent.report(scan("10.0.0.0/24", seen("10.0.0.9")), runs=last)
    found = await world.get(f"runs/{run['id']}")
    assert (found["state"], found["done"], found["total"]) == ("complete", 17, 17)
    assert [(p["done"], p["total"]) for p in found["phases"]] == [(254, 254), (17, 17)]


async def test_of_a_long_story_the_end_is_kept(world: World) -> None:
    agent, agent_id = await scanner(world)
    run = (await ask(world, agent_id))["id"]
    for n in range(22):
        lines = [
            {"at": NOON + n * 50 + i, "event": "e", "text": str(n * 50 + i)} for i in range(50)
        ]
        answer = await agent.progress(run, "running", lines=lines)
        assert answer.status_code == 204
    kept = await world.items(f"runs/{run}/lines")
    assert [kept[0]["text"], kept[-1]["text"], len(kept)] == ["100", "1099", 1000]
    many = await agent.progress(run, "running", lines=lines + lines)
    assert many.status_code == 422


@any_database
async def test_what_an_earlier_scan_of_the_same_took_is_the_estimate(world: World) -> None:
    from mooring.model.report import RunMark

    agent, agent_id = await scanner(world)
    for targets, seconds in ((["10.0.0.0/24"], 60), (["10.0.0.0/16"], 6000)):
        run = (await ask(world, agent_id, targets=targets))["id"]
        await agent.progress(run, "running")
        world.clock.forward(seconds)
        mark = RunMark(run, "request", world.clock() - seconds, final=True)
        await agent.report(scan("10.0.0.0/24"), runs=[mark])
    run = (await ask(world, agent_id, targets=["10.0.0.0/24"]))["id"]
    await agent.progress(run, "running")
    assert (await world.get(f"runs/{run}"))["remaining_s"] == 60


async def test_an_agent_whose_first_word_is_that_it_leaves_is_heard(world: World) -> None:
    agent = await world.agent()
    assert await agent.poll(duties=SCANS, leaving=True) == {
        "runs": [],
        "cancelled": [],
        "orders": {},
    }
