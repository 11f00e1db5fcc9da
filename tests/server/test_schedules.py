"""Schedules: read, refused with a reason, due once, and never one run on top of another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.core.errors import UsageError
from mooring.model.event import Changed, Entity
from mooring.server.cron import Timetable
from mooring.server.db import tables
from mooring.server.timetable import fire_due
from tests.server.world import NOON, Heard, Reporter, World, any_database

DAY = 86400.0
NIGHTLY = {"name": "nightly", "cron": "0 3 * * *", "targets": ["10.0.0.0/24"]}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def scanner(world: World) -> tuple[Reporter, str]:
    """Who reports, and its id."""
    agent = await world.agent()
    await agent.poll(duties=["discovery", "scan"])
    return agent, (await world.one("agents"))["id"]


async def add(world: World, agent_id: str, **more: Any) -> Any:
    body = {**NIGHTLY, "agent_id": agent_id, **more}
    answer = await world.ask("POST", "schedules", by="member", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def runs(world: World) -> list[Any]:
    return sorted(await world.items("runs"), key=lambda run: run["requested_at"])


# --- when it is due


@pytest.mark.parametrize(
    ("zone", "now", "due"),
    [
        ("UTC", "2027-01-15T12:00:00+00:00", "2027-01-16T02:30:00+00:00"),
        ("Europe/Berlin", "2027-01-15T12:00:00+00:00", "2027-01-16T01:30:00+00:00"),
        # The night in which 02:30 is left out, and the one in which it comes twice.
        ("Europe/Berlin", "2027-03-27T12:00:00+00:00", "2027-03-28T01:00:00+00:00"),
        ("Europe/Berlin", "2027-10-30T12:00:00+00:00", "2027-10-31T00:30:00+00:00"),
        ("Europe/Berlin", "2027-10-31T00:30:00+00:00", "2027-11-01T01:30:00+00:00"),
    ],
)
def test_a_line_is_read_in_its_time_zone_also_when_clocks_change(
    zone: str, now: str, due: str
) -> None:
    found = Timetable("30 2 * * *", zone).after(at(now))
    assert datetime.fromtimestamp(found, UTC).isoformat() == due


@pytest.mark.parametrize(
    ("cron", "zone", "why"),
    [
        ("0 0 31 2 *", "UTC", "it is never due: no month of these has such a day"),
        ("0 0 31 4,6 *", "UTC", "it is never due: no month of these has such a day"),
        ("61 * * * *", "UTC", "the minute is not understood"),
        ("* 24 * * *", "UTC", "the hour is not understood"),
        ("0 0 0 * *", "UTC", "the day-of-month is not understood"),
        ("0 0 * * 8", "UTC", "the day-of-week is not understood"),
        ("0 0 * * * *", "UTC", "it has 6 fields"),
        ("@daily", "UTC", "it has 1 field"),
        ("0 0 * * *", "Europe/Bonn", "there is no time zone 'Europe/Bonn'"),
        ("0 0 * * *", "../../etc/passwd", "there is no time zone '../../etc/passwd'"),
        ("0 0 * * *", "Europe", "there is no time zone 'Europe'"),
    ],
)
async def test_a_line_that_says_no_time_is_refused_with_the_reason(
    cron: str, zone: str, why: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Timetable(cron, zone).after(NOON)
    assert refused.value.why == why
    assert refused.value.remedy


@any_database
async def test_a_preview_says_a_line_in_words_and_when_it_is_due(world: World) -> None:
    line = {"cron": "0 3 * * 1", "timezone": "UTC"}
    answer = await world.ask("POST", "schedules/preview", by="viewer", json=line)
    said = answer.json()
    assert said["words"] == "At 03:00 on Monday"
    assert len(said["next"]) == 3
    answer = await world.ask("POST", "schedules/preview", json={**line, "cron": "0 0 31 2 *"})
    assert answer.status_code == 422
    assert "never due" in answer.json()["detail"]


# --- kept


async def test_a_schedule_is_made_changed_and_deleted(world: World) -> None:
    _, agent_id = await scanner(world)
    made = await add(world, agent_id, timezone="Europe/Berlin")
    assert made == await world.get(f"schedules/{made['id']}") == await world.one("schedules")
    assert (made["order"], made["agent_name"], made["words"]) == (
        {"targets": ["10.0.0.0/24"], "depth": "light"},
        "alpha",
        "At 03:00 every day",
    )
    assert len(made["next"]) == 3
    answer = await world.ask(
        "PATCH", f"schedules/{made['id']}", json={"enabled": False, "depth": "full"}
    )
    changed = answer.json()
    assert (changed["enabled"], changed["next"]) == (False, [])
    assert changed["order"] == {"targets": ["10.0.0.0/24"], "depth": "full"}
    world.clock.forward(10 * DAY)
    await fire_due(world.state)
    assert await runs(world) == []
    assert (await world.ask("DELETE", f"schedules/{made['id']}")).status_code == 204
    assert await world.items("schedules") == []


@any_database
@pytest.mark.parametrize(
    ("more", "status", "why"),
    [
        ({"cron": "0 0 31 2 *"}, 422, "never due"),
        ({"timezone": "Nowhere"}, 422, "no time zone"),
        ({"targets": ["10.0.0.5/24"]}, 422, "10.0.0.0/24 is the network"),
        ({"targets": ["0.0.0.0/0"]}, 422, "4,294,967,296 addresses"),
        ({"kind": "look"}, 422, "has no targets"),
        ({"agent_id": "nobody"}, 404, "there is no agent"),
    ],
)
async def test_what_can_never_be_done_is_not_scheduled(
    world: World, more: dict[str, Any], status: int, why: str
) -> None:
    _, agent_id = await scanner(world)
    body = {**NIGHTLY, "agent_id": agent_id, **more}
    answer = await world.ask("POST", "schedules", json=body)
    assert answer.status_code == status
    assert why in answer.json()["detail"]


# --- due


async def test_a_due_schedule_begins_a_run_that_the_agent_is_given(world: World) -> None:
    agent, agent_id = await scanner(world)
    made = await add(world, agent_id)
    await fire_due(world.state)
    assert await runs(world) == []
    world.clock.forward(DAY)
    with Heard(world.state) as heard:
        await fire_due(world.state)
    (run,) = await runs(world)
    assert (run["kind"], run["trigger"], run["schedule_id"], run["schedule_name"]) == (
        "scan",
        "schedule",
        made["id"],
        "nightly",
    )
    assert Entity.RUN in {e.entity for e in heard.events if isinstance(e, Changed)}
    work = await agent.poll(duties=["discovery", "scan"])
    assert work["orders"] == {run["id"]: run["order"]}
    again = await world.one("schedules")
    assert again["last_run_id"] == run["id"]
    await fire_due(world.state)
    assert len(await runs(world)) == 1


async def test_what_was_missed_is_made_up_for_once(world: World) -> None:
    _, agent_id = await scanner(world)
    await add(world, agent_id)
    world.clock.forward(10 * DAY)
    await fire_due(world.state)
    await fire_due(world.state)
    assert len(await runs(world)) == 1


async def test_runs_of_a_schedule_do_not_pile_up(world: World) -> None:
    agent, agent_id = await scanner(world)
    await add(world, agent_id)
    await agent.poll(duties=["discovery", "scan"], leaving=True)
    for _ in range(3):
        world.clock.forward(DAY)
        await fire_due(world.state)
    (run,) = await runs(world)
    assert run["state"] == "pending"
    said = (await world.one("schedules"))["skipped"]
    assert said == "alpha is offline, and the run before waits for it"
    titles = [e["title"] for e in await world.items("timeline")]
    assert titles.count(f"nightly was skipped: {said}") == 1
    # The agent comes, and takes its time.
    await agent.poll(duties=["discovery", "scan"])
    await agent.progress(run["id"], "running")
    world.clock.forward(DAY)
    await fire_due(world.state)
    assert (await world.one("schedules"))["skipped"] == "the run before has not ended"
    await agent.progress(run["id"], "failed", reason="no network")
    world.clock.forward(DAY)
    await fire_due(world.state)
    assert len(await runs(world)) == 2
    assert (await world.one("schedules"))["skipped"] == ""


async def test_servers_on_one_database_begin_a_due_run_once(world: World) -> None:
    _, agent_id = await scanner(world)
    for n in range(5):
        await add(world, agent_id, name=f"n{n}")
    world.clock.forward(DAY)
    await asyncio.gather(*(fire_due(world.state) for _ in range(4)))
    assert len(await runs(world)) == 5


@any_database
async def test_an_agent_that_scans_no_more_is_not_asked(world: World) -> None:
    agent, agent_id = await scanner(world)
    made = await add(world, agent_id)
    await agent.poll(duties=["discovery"])
    world.clock.forward(DAY)
    await fire_due(world.state)
    assert await runs(world) == []
    assert "does not scan networks" in (await world.one("schedules"))["skipped"]
    # It can still be switched off.
    answer = await world.ask("PATCH", f"schedules/{made['id']}", json={"enabled": False})
    assert answer.status_code == 200


@any_database
async def test_a_schedule_stays_with_an_agent_that_was_installed_anew(world: World) -> None:
    from tests.server.world import machine

    agent, agent_id = await scanner(world)
    await agent.report(machine())
    await add(world, agent_id)
    await agent.poll(leaving=True)
    new = await world.agent()
    await new.poll(duties=["discovery", "scan"])
    await new.report(machine())
    (row,) = await world.items("agents")
    assert (await world.one("schedules"))["agent_id"] == row["id"]


async def test_a_run_outlives_its_schedule(world: World) -> None:
    _, agent_id = await scanner(world)
    made = await add(world, agent_id)
    world.clock.forward(DAY)
    await fire_due(world.state)
    await world.ask("DELETE", f"schedules/{made['id']}")
    (run,) = await runs(world)
    assert (run["schedule_id"], run["schedule_name"]) == (None, None)
    assert await world.count(tables.schedule) == 0
