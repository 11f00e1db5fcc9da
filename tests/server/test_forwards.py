"""Reports of forwards: stored, listed, told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mooring.model import wire
from mooring.model.event import Changed, Entity, Operation
from mooring.model.forward import (
    Diagnosis,
    Forwards,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
)
from mooring.model.report import Report
from mooring.server.db import tables
from mooring.server.upkeep import forget_old, note_silent_agents
from tests.server.remotes import BUILD, dropped, forward, remote, reported
from tests.server.world import NOON, Heard, Reporter, World, any_database, machine


async def program(world: World, name: str = "laptop") -> Reporter:
    """A program that forwards: an agent without a host."""
    agent = await world.agent()
    await agent.poll(name=name, duties=["forward"])
    return agent


async def titles(world: World) -> list[str]:
    """The timeline's titles of remote hosts and forwards, oldest first."""
    found = await world.items("timeline", sort="at")
    return [e["title"] for e in found if e["entity"] in ("remote_host", "forward")]


# --- stored and listed


async def test_a_remote_host_and_its_forwards_are_listed_as_they_were_reported(
    world: World,
) -> None:
    agent = await program(world)
    taken = forward(
        9000, "shop", state=ForwardState.CONFLICT, detail="nginx (pid 7) has it", connections=0
    )
    used = forward(8080, connections=7, bytes_in=10, bytes_out=20)
    await agent.report(reported(remote(used, taken, last_drop=dropped())))
    row = await world.one("remote-hosts")
    assert row == await world.get(f"remote-hosts/{row['id']}")
    assert (row["address"], row["state"], row["generation"]) == (BUILD, "live", 1)
    assert (row["agent_name"], row["agent_online"], row["gone_at"]) == ("laptop", True, None)
    assert (row["forward_count"], row["forward_states"]) == (2, {"listening": 1, "conflict": 1})
    assert row["last_drop"]["pattern"] == "network_interruption"
    assert row["diagnosis"]["evidence"] == ["Docker answers in 3 ms"]
    assert row["totals"]["outages"] == {"network_interruption": 2, "stale_link": 1}
    assert row["totals"]["listening"]["counts"] == [5, 3, 1]
    listening, conflict = await world.items("forwards", remote_host_id=row["id"])
    assert listening == await world.get(f"forwards/{listening['id']}")
    assert (listening["local"], listening["remote"]) == ("127.0.0.1:8080", "127.0.0.1:8080")
    assert (listening["bytes_in"], listening["bytes_out"], listening["connections"]) == (10, 20, 7)
    assert listening["remote_address"] == BUILD
    assert listening["agent_online"] is True
    assert listening["agent_id"] == row["agent_id"]
    assert (conflict["state"], conflict["detail"]) == ("conflict", "nginx (pid 7) has it")
    # A program that only forwards has no interfaces, and makes no host.
    assert await world.items("hosts") == []


async def test_a_repeated_or_older_report_changes_nothing(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080))), number=5)
    before = await world.items("forwards"), await world.items("remote-hosts")
    with Heard(world.state) as heard:
        for number in (5, 4):
            assert await agent.report(reported(), number=number) == "seen"
    assert heard.events == []
    assert (await world.items("forwards"), await world.items("remote-hosts")) == before


async def test_the_same_again_is_not_told(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080), history=(Moment(NOON, "opened"),))))
    with Heard(world.state) as heard:
        await agent.report(reported(remote(forward(8080), history=(Moment(NOON, "opened"),))))
    assert heard.events == []


async def test_what_a_report_no_longer_holds_is_gone_and_comes_back_as_itself(
    world: World,
) -> None:
    agent = await program(world)
    both = reported(remote(forward(8080), forward(9090, "db")), remote(host="ssh://b"))
    await agent.report(both)
    first = await world.items("forwards")
    await agent.report(reported(remote(forward(9090, "db"))))
    assert [f["local"] for f in await world.items("forwards")] == ["127.0.0.1:9090"]
    (old,) = await world.items("forwards", gone=True)
    assert (old["local"], old["gone_at"] is not None) == ("127.0.0.1:8080", True)
    assert [r["address"] for r in await world.items("remote-hosts", gone=True)] == ["ssh://b"]
    await agent.report(reported())
    assert await world.items("forwards") == []
    assert await world.items("remote-hosts", gone=False) == []
    await agent.report(both)
    again = await world.items("forwards")
    assert [f["id"] for f in again] == [f["id"] for f in first]
    assert await world.items("remote-hosts", gone=True) == []


async def test_a_bad_item_is_set_aside_and_costs_nothing_else(world: World) -> None:
    agent = await program(world)
    body = reported(remote(forward(8080), history=(Moment(NOON, "opened"),)))
    report = json.loads(wire.encode(Report("forwards", agent.outbox, 1, NOON, body)))
    (one,) = report["forwards"]["remotes"]
    one["remote"]["forwards"].append({**one["remote"]["forwards"][0], "state": "maybe"})
    one["history"].append({"at": "noon", "what": "opened"})
    one["totals"]["listening"] = {"bounds": [2, 1], "counts": [1, 1, 1], "total": 1}
    answer = await agent.post("reports", content=json.dumps(report))
    assert answer.json() == {"result": "stored", "set_aside": 3}
    assert [f["local"] for f in await world.items("forwards")] == ["127.0.0.1:8080"]
    assert (await world.one("remote-hosts"))["totals"]["drift"] == 1
    aside = await world.items("set-aside")
    assert sorted(a["kind"] for a in aside) == ["forward", "moment", "spread"]
    (agent_row,) = await world.items("agents")
    assert {(a["host_id"], a["agent_id"]) for a in aside} == {(None, agent_row["id"])}
    await agent.report(body, number=2)
    assert await world.items("set-aside") == []


async def test_forwards_are_found_by_what_they_are(world: World) -> None:
    agent = await program(world)
    await agent.report(
        reported(
            remote(
                forward(80, "Web", bytes_in=5),
                forward(443, "web", bytes_in=None, bytes_out=None),
                forward(53, "dns", protocol="udp", state=ForwardState.HELD),
                forward(7, "sctp", local="", remote="7", state=ForwardState.UNSUPPORTED),
            ),
            remote(forward(8080, "other"), host="ssh://b", state=LinkState.BACKOFF),
        )
    )

    async def found(**asked: Any) -> list[str]:
        return [f["container"] for f in await world.items("forwards", **asked)]

    assert await found() == ["sctp", "dns", "Web", "web", "other"]
    assert await found(sort="-bytes", limit=1) == ["Web"]
    assert await found(protocol="udp") == ["dns"]
    assert await found(state="unsupported") == ["sctp"]
    assert await found(q="WEB") == ["Web", "web"]
    assert await found(q="127.0.0.1:8080") == ["other"]
    assert await found(network_id="other") == []
    assert len(await found(network_id=world.home)) == 5
    (other,) = await world.items("remote-hosts", state="backoff")
    assert await found(remote_host_id=other["id"]) == ["other"]
    assert [r["address"] for r in await world.items("remote-hosts", q="build")] == [BUILD]
    assert len(await world.items("remote-hosts", agent_id=other["agent_id"])) == 2
    assert await world.items("remote-hosts", network_id="other") == []


@pytest.mark.parametrize(
    "sort",
    ["local", "container", "state", "since", "connections", "bytes", "bytes_in", "bytes_out"],
)
async def test_forwards_are_paged_by_every_column_that_they_are_sorted_by(
    world: World, sort: str
) -> None:
    agent = await program(world)
    many = [
        forward(8000 + n, f"c{n % 3}", connections=n % 2, bytes_in=None if n % 2 else n)
        for n in range(7)
    ]
    await agent.report(reported(remote(*many)))
    for way in ("", "-"):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            asked = {"limit": 3, "sort": way + sort, **cursor}
            page = await world.get("forwards", params=asked)
            seen += [f["local"] for f in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert sorted(seen) == [f.local for f in many]


# --- history


async def test_overlapping_histories_give_each_moment_once_newest_first(world: World) -> None:
    agent = await program(world)
    moments = [Moment(NOON + n // 2, "opened", f"127.0.0.1:{n}/tcp", "web") for n in range(30)]
    for end in (10, 10, 25, 30):
        await agent.report(reported(remote(history=tuple(moments[max(0, end - 20) : end]))))
    row = await world.one("remote-hosts")
    path = f"remote-hosts/{row['id']}/history"
    assert [m["place"] for m in await world.items(path)] == [m.place for m in reversed(moments)]
    page = await world.get(path, params={"limit": 20})
    rest = await world.get(path, params={"limit": 20, "cursor": page["next"]})
    assert (page["total"], len(rest["items"]), rest["next"]) == (30, 10, None)
    assert (await world.one(path, q="127.0.0.1:7/tcp"))["container"] == "web"
    assert (await world.ask("GET", "remote-hosts/none/history")).status_code == 404


async def test_old_moments_are_forgotten_save_those_that_the_next_report_brings_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.server.db.forwards.MAX_REPORTED_HISTORY", 3)
    monkeypatch.setattr("mooring.server.db.forwards.MAX_MOMENTS", 6)
    agent = await program(world)
    old = [Moment(NOON - 200 * 86400 + n, "opened", str(n)) for n in range(5)]
    new = [Moment(NOON + n, "opened", str(n + 100)) for n in range(8)]
    await agent.report(
        reported(remote(history=tuple(old)), remote(host="ssh://b", history=(*old, *new)))
    )
    await forget_old(world.state)
    places = {}
    for row in await world.items("remote-hosts"):
        found = await world.items(f"remote-hosts/{row['id']}/history", sort="at")
        places[row["address"]] = [m["place"] for m in found]
    assert places == {BUILD: ["2", "3", "4"], "ssh://b": [m.place for m in new[2:]]}


async def test_what_is_long_gone_is_forgotten(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080)), remote(forward(8081), host="ssh://b")))
    await agent.report(reported(remote()))
    world.clock.forward(91 * 86400)
    await forget_old(world.state)
    assert await world.count(tables.forward) == 0
    assert [r["address"] for r in await world.items("remote-hosts")] == [BUILD]


async def test_of_very_many_forwards_that_are_gone_the_newest_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.server.db.forwards.MAX_GONE", 3)
    agent = await program(world)
    stays = forward(7999, "stays")
    for n in range(6):
        await agent.report(
            reported(remote(forward(8000 + n), stays), remote(forward(9000), host="ssh://b"))
        )
        world.clock.forward(1)
    await agent.report(reported(remote(stays), remote(host="ssh://b")))
    await forget_old(world.state)
    gone = [f["local"].rpartition(":")[2] for f in await world.items("forwards", gone=True)]
    assert gone == ["8003", "8004", "8005", "9000"]
    assert (await world.one("forwards"))["container"] == "stays"


async def test_what_went_wrong_and_is_over_is_told_from_what_is_wrong_now(world: World) -> None:
    agent = await program(world)
    for now in (True, False):
        found = Diagnosis(Pattern.NETWORK, ("lost once",), (), now=now)
        await agent.report(reported(remote(diagnosis=found)))
        assert (await world.one("remote-hosts"))["diagnosis"]["now"] is now


# --- told


async def test_the_first_link_of_a_program_is_not_called_back(world: World) -> None:
    agent = await program(world)
    no_link = {"generation": 0, "detail": "refused"}
    steps = (
        (remote(state=LinkState.BACKOFF, **no_link),),
        (remote(),),
        (remote(state=LinkState.STOPPED),),
        (remote(),),
        (),
        (remote(state=LinkState.CONNECTING, generation=0),),
        (remote(),),
        (remote(state=LinkState.BACKOFF, detail="reset"),),
        (remote(generation=2),),
    )
    for step in steps:
        await agent.report(reported(*step))
    assert await titles(world) == [
        f"{BUILD} is forwarded",
        f"Link to {BUILD} is live",
        f"Forwarding of {BUILD} stopped",
        f"Link to {BUILD} is live",
        f"{BUILD} is forwarded no longer",
        f"{BUILD} is forwarded again",
        f"Link to {BUILD} is live",
        f"Link to {BUILD} lost: reset",
        f"Link to {BUILD} is back",
    ]


async def test_the_timeline_tells_that_an_agent_comes_goes_and_falls_silent(world: World) -> None:
    agent = await program(world, "vm")
    await agent.poll(name="vm", duties=["forward"], leaving=True)
    await agent.poll(name="vm", duties=["forward"])
    world.clock.forward(61)
    await note_silent_agents(world.state)
    found = await world.items("timeline", sort="at")
    assert [e["title"] for e in found] == [
        "vm",
        "Agent vm went offline",
        "Agent vm is online",
        "Agent vm fell silent",
    ]


async def test_the_timeline_tells_of_the_link_and_of_each_forward(world: World) -> None:
    agent = await program(world)
    steps = (
        remote(state=LinkState.CONNECTING, generation=0),
        remote(forward(80)),
        remote(forward(80, state=ForwardState.HELD), state=LinkState.SUSPECT),
        remote(forward(80, state=ForwardState.HELD), state=LinkState.BACKOFF, detail="reset"),
        remote(forward(80, state=ForwardState.HELD), state=LinkState.CONNECTING),
        remote(forward(80, state=ForwardState.HELD), state=LinkState.BACKOFF, detail="again"),
        remote(forward(80), generation=2, last_drop=dropped(3.5)),
        remote(forward(80), generation=3, last_drop=dropped(0.26, NOON)),
        remote(forward(80, state=ForwardState.CONFLICT, detail="nginx has it"), generation=3),
        remote(forward(80, remote="172.17.0.2:80"), generation=3),
        remote(forward(80, remote="172.17.0.3:80"), generation=3),
        remote(generation=3),
        remote(state=LinkState.BLOCKED, detail="the key is denied", generation=3),
        remote(state=LinkState.STOPPED, generation=3),
    )
    for step in steps:
        await agent.report(reported(step))
    await agent.report(reported())
    await agent.report(reported(remote(generation=3)))
    web = f"Forward 127.0.0.1:80 to web on {BUILD}"
    assert await titles(world) == [
        f"{BUILD} is forwarded",
        f"Link to {BUILD} is live",
        f"{web} opened",
        f"Link to {BUILD} lost: reset",
        f"Link to {BUILD} is back",
        f"Link to {BUILD} was away for 0.26 s (network interruption)",
        f"{web}: conflict: nginx has it",
        f"{web} opened",
        f"{web} leads to 172.17.0.3:80",
        f"{web} closed",
        f"Link to {BUILD} blocked: the key is denied",
        f"Forwarding of {BUILD} stopped",
        f"{BUILD} is forwarded no longer",
        f"{BUILD} is forwarded again",
    ]


async def test_counters_are_told_once_to_whoever_looks_and_stay_off_the_timeline(
    world: World,
) -> None:
    agent = await program(world)
    await agent.report(reported(remote(*(forward(8000 + n) for n in range(50)))))
    before = await titles(world)
    with Heard(world.state) as heard:
        await agent.report(
            reported(
                remote(
                    *(forward(8000 + n, connections=n, bytes_in=n) for n in range(50)), ping_ms=9
                )
            )
        )
    row = await world.one("remote-hosts")
    assert heard.events == [Changed(Entity.REMOTE_HOST, Operation.CHANGED, row["id"], world.home)]
    assert row["ping_ms"] == 9
    assert await titles(world) == before


async def test_very_many_changes_are_told_as_one(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote()))
    with Heard(world.state) as heard:
        await agent.report(
            reported(
                remote(
                    *(forward(8000 + n) for n in range(1000)),
                    *(forward(9000 + n, state=ForwardState.CONFLICT) for n in range(20)),
                )
            )
        )
    assert len(heard.events) == 2
    assert await titles(world) == [
        f"{BUILD} is forwarded",
        f"Forwards of {BUILD}: 20 conflict, 1000 opened",
    ]
    page = await world.get("forwards", params={"limit": 1000})
    assert (page["total"], len(page["items"])) == (1020, 1000)


# --- whose they are


async def test_a_program_that_was_killed_does_not_look_live(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080))))
    row = await world.one("remote-hosts")
    (of_agent,) = await world.items("agents")
    world.clock.forward(61)
    with Heard(world.state) as heard:
        await note_silent_agents(world.state)
    assert heard.events == [Changed(Entity.AGENT, Operation.CHANGED, of_agent["id"], world.home)]
    now = await world.one("remote-hosts")
    assert (row["agent_online"], now["agent_online"]) == (True, False)
    (was,) = await world.items("forwards")
    assert now["agent_last_seen"] == was["agent_last_seen"] == of_agent["last_seen"]


async def test_two_programs_that_forward_one_host_are_told_apart(world: World) -> None:
    one, other = await program(world, "laptop"), await program(world, "desk")
    await one.report(reported(remote(forward(8080))))
    await other.report(reported(remote(forward(8080), state=LinkState.BACKOFF)))
    found = {r["agent_name"]: r["state"] for r in await world.items("remote-hosts")}
    assert found == {"laptop": "live", "desk": "backoff"}
    assert len(await world.items("forwards")) == 2


async def test_a_remote_host_that_is_gone_can_be_forgotten_and_one_that_is_there_cannot(
    world: World,
) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080), history=(Moment(NOON, "opened"),))))
    row = await world.one("remote-hosts")
    path = f"remote-hosts/{row['id']}"
    assert (await world.ask("DELETE", path, by="member")).status_code == 403
    refused = await world.ask("DELETE", path, by="admin")
    assert refused.status_code == 409
    assert "is forwarded by laptop" in refused.json()["detail"]
    await agent.report(reported())
    with Heard(world.state) as heard:
        assert (await world.ask("DELETE", path, by="admin")).status_code == 204
    assert heard.events == [Changed(Entity.REMOTE_HOST, Operation.DELETED, row["id"], world.home)]
    assert (await world.ask("GET", path)).status_code == 404
    assert (await world.ask("DELETE", path)).status_code == 404
    assert await world.count(tables.forward) + await world.count(tables.moment) == 0


async def test_the_remote_hosts_of_an_agent_go_with_it(world: World) -> None:
    agent = await program(world)
    await agent.report(reported(remote(forward(8080))))
    row = await world.one("remote-hosts")
    with Heard(world.state) as heard:
        await world.ask("DELETE", f"agents/{row['agent_id']}")
    told = [(e.entity, e.operation) for e in heard.events if isinstance(e, Changed)]
    assert told == [
        (Entity.AGENT, Operation.DELETED),
        (Entity.REMOTE_HOST, Operation.DELETED),
    ]
    assert await world.items("remote-hosts") == []


async def test_an_agent_that_was_installed_anew_goes_on_with_its_remote_hosts(
    world: World,
) -> None:
    old = await world.agent()
    await old.poll(duties=["discovery", "forward"])
    await old.report(machine())
    await old.report(reported(remote(forward(8080)), remote(host="ssh://b")))
    first = await world.items("remote-hosts")
    await old.poll(leaving=True)
    new = await world.agent()
    # What it forwards may be told before it is known whose machine it is.
    await new.report(reported(remote(host="ssh://b")))
    await new.report(machine())
    await new.report(reported(remote(forward(8080)), remote(host="ssh://b")))
    again = await world.items("remote-hosts")
    assert [r["address"] for r in again] == ["ssh://b", BUILD]
    by_address = {r["address"]: r["id"] for r in first}
    assert again[1]["id"] == by_address[BUILD]
    assert len(await world.items("agents")) == 1


# --- duties


async def test_an_agent_says_what_its_duties_are(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    assert (await world.one("agents"))["duties"] == ["discovery"]
    with Heard(world.state) as heard:
        await agent.poll(duties=["discovery", "forward", "forward"])
        await agent.poll(duties=["discovery", "forward"])
    row = await world.one("agents")
    assert row["duties"] == ["discovery", "forward"]
    assert heard.events == [Changed(Entity.AGENT, Operation.CHANGED, row["id"], world.home)]


@any_database
@pytest.mark.parametrize("duties", [["dishes"], ["discovery"] * 11, "discovery", [1], None])
async def test_duties_that_nobody_knows_are_refused(world: World, duties: Any) -> None:
    agent = await world.agent()
    said = {"outbox": agent.outbox, "version": "1", "name": "a", "duties": duties}
    answer = await agent.post("agents/poll", json=said)
    assert answer.status_code == 422


async def test_a_look_is_not_asked_of_a_program_that_only_forwards(world: World) -> None:
    agent = await world.agent()
    # Its first report may come before its first poll.
    await agent.report(reported(remote()))
    row = await world.one("agents")
    for _ in range(2):
        answer = await world.ask("POST", "runs", json={"agent_id": row["id"]})
        assert answer.status_code == 409
        assert "its duty is forward" in answer.json()["detail"]
        await agent.poll(name="laptop", duties=["forward"])
    assert (await world.one("agents"))["name"] == "laptop"
    assert await world.items("runs") == []


@any_database
async def test_an_empty_report_is_one(world: World) -> None:
    agent = await program(world)
    assert await agent.report(Forwards(())) == "stored"
    assert await world.items("remote-hosts") == []
