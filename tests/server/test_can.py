"""Reports of CAN buses: stored, listed, told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mooring.model import wire
from mooring.model.can import Calls, Recovered, Weight
from mooring.model.container import Attachment
from mooring.model.event import Changed, Entity, Operation
from mooring.model.event import Recovered as Mended
from mooring.model.report import Body, Engines, Report
from mooring.server.upkeep import forget_old
from tests.server.buses import bus, counted, endpoint, mended, wiring, wrong
from tests.server.world import NOON, Heard, Reporter, World, container, engine, machine

NOUNS = ("can-buses", "can-drivers", "can-recoveries")


async def gateway(world: World, name: str = "gw") -> Reporter:
    """An agent of a machine with CAN."""
    agent = await world.agent()
    await agent.poll(name=name, duties=["discovery", "can"])
    return agent


async def titles(world: World) -> list[str]:
    """The timeline's titles of CAN, oldest first."""
    found = await world.items("timeline", sort="at")
    return [e["title"] for e in found if e["entity"] in ("can_bus", "can_driver")]


# --- stored and listed


async def test_a_bus_and_its_endpoints_are_listed_as_they_were_reported(world: World) -> None:
    agent = await gateway(world)
    await agent.report(machine("gw"))
    members = (
        endpoint("1a", received=10, sent=3, dropped=1),
        endpoint("2b", received=5, access="ro", state="joining"),
    )
    await agent.report(
        wiring(
            bus("vcan0", *members, rules_present=6),
            bus("can0", physical=True, state="bus-off"),
            findings=(
                wrong("vcan0", "2 rules missing"),
                wrong("endpoint 1a0000000000", "vx1a is down"),
                wrong("vxLeft", "ours, and belongs to nothing that is known"),
            ),
            recoveries=(mended(), mended(Recovered.DEVICE, "vcan0")),
        )
    )
    can0, vcan0 = await world.items("can-buses")
    assert vcan0 == await world.get(f"can-buses/{vcan0['id']}")
    assert (vcan0["device"], vcan0["condition"], vcan0["state"]) == ("vcan0", "faulty", "")
    assert (can0["physical"], can0["state"], can0["condition"]) == (True, "bus-off", "healthy")
    assert (vcan0["rules_wanted"], vcan0["rules_present"]) == (8, 6)
    assert [vcan0[name] for name in ("received", "sent", "dropped")] == [15, 3, 1]
    assert (vcan0["agent_name"], vcan0["agent_online"], vcan0["gone_at"]) == ("gw", True, None)
    assert vcan0["host_id"] == (await world.one("hosts"))["id"]
    assert vcan0["networks"] == ["a" * 64]
    assert vcan0["endpoints"][1] == {
        "id": members[1].id,
        "network": "a" * 64,
        "container": None,
        "state": "joining",
        "interface": "vx2b",
        "access": "ro",
        "received": 5,
        "sent": 0,
        "dropped": 0,
    }
    assert [f["what"] for f in vcan0["findings"]] == ["2 rules missing", "vx1a is down"]
    driver = await world.one("can-drivers")
    assert driver == await world.get(f"can-drivers/{driver['id']}")
    assert [f["subject"] for f in driver["findings"]] == ["vxLeft"]
    assert (driver["version"], driver["modules"]["vxcan"]) == ("0.3.0", True)
    assert driver["totals"]["recoveries"] == {"device": 1, "rules": 2}
    assert driver["totals"]["calls"][1]["ok"] is False
    second, first = await world.items("can-recoveries")
    assert (first["kind"], first["subject"], second["kind"]) == ("rules", "4 rules", "device")
    assert first["can_bus_id"] == vcan0["id"]


async def test_a_repeated_or_older_report_changes_nothing(world: World) -> None:
    agent = await gateway(world)
    report = wiring(bus("vcan0", endpoint("1a", received=7)), recoveries=(mended(),))
    await agent.report(report, number=5)
    before = [await world.items(noun) for noun in NOUNS]
    with Heard(world.state) as heard:
        for number in (5, 4):
            assert await agent.report(wiring(), number=number) == "seen"
    assert heard.events == []
    assert [await world.items(noun) for noun in NOUNS] == before


async def test_the_same_again_is_not_told(world: World) -> None:
    agent = await gateway(world)
    report = wiring(bus("vcan0", endpoint("1a", received=7)), recoveries=(mended(),))
    await agent.report(report)
    with Heard(world.state) as heard:
        await agent.report(report)
    assert heard.events == []
    assert len(await world.items("can-recoveries")) == 1


async def test_a_bus_that_a_report_no_longer_holds_is_gone_and_comes_back_as_itself(
    world: World,
) -> None:
    agent = await gateway(world)
    both = wiring(bus("vcan0"), bus("vcan1"))
    await agent.report(both)
    first = await world.items("can-buses")
    await agent.report(wiring(bus("vcan1")))
    assert (await world.one("can-buses", gone=False))["device"] == "vcan1"
    assert (await world.one("can-buses", gone=True))["device"] == "vcan0"
    await agent.report(both)
    again = await world.items("can-buses", gone=False)
    assert [b["id"] for b in again] == [b["id"] for b in first]


async def test_a_bad_item_is_set_aside_and_costs_nothing_else(world: World) -> None:
    agent = await gateway(world)
    body = wiring(bus("vcan0", endpoint("1a")), recoveries=(mended(),))
    report = json.loads(wire.encode(Report("can", agent.outbox, 1, NOON, body)))
    health = report["can"]["health"]
    health["buses"].append({**health["buses"][0], "device": ""})
    health["buses"][0]["endpoints"].append({"id": "2b"})
    report["can"]["recoveries"].append({"kind": "mood"})
    answer = await agent.post("reports", content=json.dumps(report))
    assert answer.json() == {"result": "stored", "set_aside": 3}
    stored = await world.one("can-buses")
    assert [e["id"][:2] for e in stored["endpoints"]] == ["1a"]
    aside = await world.items("set-aside")
    assert sorted(a["kind"] for a in aside) == ["bus", "endpoint", "recovery"]
    await agent.report(body, number=2)
    assert await world.items("set-aside") == []


async def test_buses_are_found_by_what_they_are(world: World) -> None:
    one, other = await gateway(world), await gateway(world, "lab")
    await one.report(machine("gw"))
    await one.report(
        wiring(
            bus("vcan0", endpoint("1a", received=5)),
            bus("can0", state="bus-off"),
            findings=(wrong("can0", "the controller is bus-off"),),
        )
    )
    await other.report(wiring(bus("vcan0", present=False), bus("Vcan1", up=False)))
    agents = {a["name"]: a["id"] for a in await world.items("agents")}

    async def found(**asked: Any) -> list[str]:
        rows = await world.items("can-buses", **asked)
        return [f"{b['device']} on {b['agent_name']}" for b in rows]

    assert sorted(await found()) == ["Vcan1 on lab", "can0 on gw", "vcan0 on gw", "vcan0 on lab"]
    assert (await found(sort="-received", limit=1)) == ["vcan0 on gw"]
    assert (await found(condition="missing")) == ["vcan0 on lab"]
    assert (await found(condition="down")) == ["Vcan1 on lab"]
    assert (await found(condition="faulty")) == ["can0 on gw"]
    assert (await found(condition="healthy")) == ["vcan0 on gw"]
    assert (await found(q="VCAN1")) == ["Vcan1 on lab"]
    assert (await found(q="vcan0 lab")) == ["vcan0 on lab"]
    assert (await found(q="bus-off")) == ["can0 on gw"]
    assert (await found(agent_id=agents["gw"])) == ["can0 on gw", "vcan0 on gw"]
    host = (await world.one("hosts"))["id"]
    assert (await found(host_id=host)) == ["can0 on gw", "vcan0 on gw"]
    assert (await found(network_id="other")) == []
    assert len(await found(network_id=world.home)) == 4
    driver = await world.one("can-drivers", agent_id=agents["lab"])
    assert driver["agent_name"] == "lab"
    assert driver["host_id"] is None
    assert await world.items("can-drivers", network_id="other") == []


@pytest.mark.parametrize(
    ("noun", "sort"),
    [
        *(
            ("can-buses", sort)
            for sort in ("device", "condition", "state", "received", "sent", "dropped")
        ),
        ("can-buses", "first_seen"),
        ("can-recoveries", "at"),
        ("can-recoveries", "kind"),
    ],
)
async def test_lists_are_paged_by_every_column_that_they_are_sorted_by(
    world: World, noun: str, sort: str
) -> None:
    agent = await gateway(world)
    await agent.report(
        wiring(
            *(bus(f"vcan{n}", endpoint("1a", received=n % 3), up=n % 2 == 0) for n in range(7)),
            recoveries=tuple(mended(device=f"vcan{n}", at=NOON - n // 3) for n in range(7)),
        )
    )
    for way in ("", "-"):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await world.get(noun, params={"limit": 3, "sort": way + sort, **cursor})
            seen += [row["device"] for row in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert sorted(seen) == [f"vcan{n}" for n in range(7)]


# --- figures


async def test_the_frames_of_a_bus_grow_when_endpoints_leave_and_rules_are_made_anew(
    world: World,
) -> None:
    agent = await gateway(world)
    seen = []
    for members in (
        (endpoint("1a", received=10, sent=4), endpoint("2b", received=20)),
        (endpoint("1a", received=15, sent=4), endpoint("2b", received=20)),
        (endpoint("1a", received=3, sent=1),),
        (endpoint("1a", received=3, sent=1), endpoint("3c", received=2, dropped=6)),
        (),
    ):
        await agent.report(wiring(bus("vcan0", *members)))
        row = await world.one("can-buses")
        seen.append((row["received"], row["sent"], row["dropped"]))
    assert seen == [(30, 4, 0), (35, 4, 0), (38, 5, 0), (40, 5, 6), (40, 5, 6)]


async def test_figures_beyond_all_sense_cost_no_report(world: World) -> None:
    agent = await gateway(world)
    members = [endpoint(f"{n}", received=2**53) for n in range(1100)]
    for _ in range(2):
        assert await agent.report(wiring(bus("vcan0", *members))) == "stored"
    assert (await world.one("can-buses"))["received"] == 2**53


async def test_counters_are_told_to_whoever_looks_and_stay_off_the_timeline(world: World) -> None:
    agent = await gateway(world)
    await agent.report(wiring(bus("vcan0", endpoint("1a")), bus("vcan1")))
    before = await titles(world)
    with Heard(world.state) as heard:
        await agent.report(wiring(bus("vcan0", endpoint("1a", received=5)), bus("vcan1")))
    vcan0, _ = await world.items("can-buses")
    assert heard.events == [Changed(Entity.CAN_BUS, Operation.CHANGED, vcan0["id"], world.home)]
    later = counted(calls=(Calls("NetworkDriver.Join", True, 41, 0.75),))
    with Heard(world.state) as heard:
        await agent.report(
            wiring(bus("vcan0", endpoint("1a", received=5)), bus("vcan1"), totals=later)
        )
    driver = await world.one("can-drivers")
    assert heard.events == [Changed(Entity.CAN_DRIVER, Operation.CHANGED, driver["id"], world.home)]
    assert await titles(world) == before


# --- recoveries


async def test_overlapping_reports_give_each_recovery_once_newest_first(world: World) -> None:
    agent = await gateway(world)
    many = [mended(Recovered.PAIR, str(n), f"vcan{n % 2}", NOON + n // 2) for n in range(30)]
    for end in (10, 10, 25, 30):
        await agent.report(wiring(bus("vcan0"), recoveries=tuple(many[max(0, end - 20) : end])))
    found = await world.items("can-recoveries")
    assert [r["subject"] for r in found] == [r.subject for r in reversed(many)]
    vcan0 = await world.one("can-buses")
    on_it = await world.items("can-recoveries", can_bus_id=vcan0["id"])
    assert [r["subject"] for r in on_it] == [r.subject for r in reversed(many[::2])]
    assert {r["can_bus_id"] for r in found if r["device"] == "vcan1"} == {None}
    assert (await world.one("can-recoveries", q="vcan0 12"))["subject"] == "12"
    assert len(await world.items("can-recoveries", agent_id=vcan0["agent_id"])) == 30
    assert await world.items("can-recoveries", agent_id="none") == []
    assert await world.items("can-recoveries", network_id="none") == []
    page = await world.get("can-recoveries", params={"limit": 20})
    rest = await world.get("can-recoveries", params={"limit": 20, "cursor": page["next"]})
    assert (page["total"], len(rest["items"]), rest["next"]) == (30, 10, None)


async def test_old_recoveries_are_forgotten_save_those_that_the_next_report_brings_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.server.db.can.MAX_REPORTED_RECOVERIES", 3)
    monkeypatch.setattr("mooring.server.db.can.MAX_RECOVERIES", 6)
    one, other = await gateway(world), await gateway(world, "lab")
    old = [mended(subject=str(n), at=NOON - 200 * 86400 + n) for n in range(5)]
    new = [mended(subject=str(n + 100), at=NOON + n) for n in range(8)]
    await one.report(wiring(recoveries=tuple(old)))
    await other.report(wiring(recoveries=(*old, *new)))
    await forget_old(world.state)
    found = await world.items("can-recoveries", sort="at")
    kept = {
        name: [r["subject"] for r in found if r["agent_name"] == name] for name in ("gw", "lab")
    }
    assert kept == {"gw": ["2", "3", "4"], "lab": [r.subject for r in new[2:]]}


async def test_buses_that_are_long_gone_are_forgotten_and_of_many_the_newest_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.server.db.can.MAX_GONE", 2)
    agent = await gateway(world)
    for n in range(4):
        await agent.report(wiring(bus("stays"), bus(f"vcan{n}")))
        world.clock.forward(1)
    await agent.report(wiring(bus("stays")))
    await forget_old(world.state)
    assert [b["device"] for b in await world.items("can-buses", gone=True)] == ["vcan2", "vcan3"]
    world.clock.forward(91 * 86400)
    await forget_old(world.state)
    assert (await world.one("can-buses"))["device"] == "stays"


# --- told


async def test_the_timeline_tells_of_the_bus_its_endpoints_and_each_recovery(world: World) -> None:
    agent = await gateway(world)
    one, two = endpoint("0123456789abcdef"), endpoint("2b")
    steps = (
        wiring(bus("vcan0")),
        wiring(bus("vcan0", one, endpoint("2b", state="created"))),
        wiring(bus("vcan0", one, two)),
        wiring(bus("vcan0", one, two), findings=(wrong("vcan0", "8 rules missing"),)),
        wiring(bus("vcan0", one, two, present=False)),
        wiring(
            bus("vcan0", one, two),
            recoveries=(
                mended(Recovered.DEVICE, "vcan0"),
                mended(Recovered.PAIR, one.id),
                mended(Recovered.ENDPOINT, two.id),
                mended(Recovered.RULES, "8 rules"),
                mended(Recovered.LEFTOVER, "vxLeft", device=""),
            ),
        ),
        wiring(
            bus("vcan0", two),
            findings=(wrong("vcan0", "a trifle", Weight.WARNING),),
            recoveries=(mended(Recovered.RULES, "8 rules"),),
        ),
        wiring(bus("vcan0", two), driver=""),
        wiring(bus("vcan0", *(endpoint(f"f{n}") for n in range(9)), up=False)),
        wiring(),
        wiring(bus("vcan0", up=False)),
    )
    for step in steps:
        await agent.report(step)
    vcan0 = "CAN bus vcan0 on gw"
    assert await titles(world) == [
        "CAN driver on gw answers",
        f"{vcan0} appeared",
        f"{vcan0}: endpoint 0123456789ab joined",
        f"{vcan0}: endpoint 2b0000000000 joined",
        f"{vcan0} is faulty (8 rules missing)",
        f"{vcan0} is missing",
        f"{vcan0} is healthy again",
        f"{vcan0}: its interface made again",
        f"{vcan0}: the pair of endpoint 0123456789ab made again",
        f"{vcan0}: endpoint 2b0000000000 known again",
        f"{vcan0}: 8 rules made again",
        "CAN on gw: vxLeft taken away, which was left over",
        f"{vcan0}: endpoint 0123456789ab left",
        "CAN driver on gw does not answer",
        "CAN driver on gw answers again",
        f"{vcan0} is down",
        f"{vcan0}: 9 endpoints joined, endpoint 2b0000000000 left",
        f"{vcan0} is gone",
        f"{vcan0} appeared again, and is down",
    ]


async def test_each_recovery_is_told_to_whoever_counts_them(world: World) -> None:
    agent = await gateway(world)
    await agent.report(wiring(bus("vcan0")))
    for recoveries in ((mended(),), (mended(), mended(Recovered.DEVICE, "vcan0"))):
        with Heard(world.state) as heard:
            await agent.report(wiring(bus("vcan0"), recoveries=recoveries))
        (told,) = heard.of(Mended)
        assert isinstance(told, Mended)
        assert told.capability == "can"
    assert told.what == "CAN bus vcan0 on gw: its interface made again"


async def test_very_many_recoveries_are_told_as_one_for_each_bus(world: World) -> None:
    agent = await gateway(world)
    await agent.report(wiring(bus("vcan0"), bus("vcan1")))
    before = len(await titles(world))
    many = tuple(
        mended(kind, str(n), f"vcan{n % 2}")
        for n in range(60)
        for kind in (Recovered.PAIR, Recovered.RULES)
    )
    with Heard(world.state) as heard:
        await agent.report(wiring(bus("vcan0"), bus("vcan1"), recoveries=many))
    assert len(heard.of(Mended)) == 120
    assert (await titles(world))[before:] == [
        f"CAN bus vcan{n} on gw: mended 30 × pair, 30 × rules" for n in (0, 1)
    ]


async def test_very_many_changes_of_buses_are_left_out_of_the_timeline(world: World) -> None:
    agent = await gateway(world)
    with Heard(world.state) as heard:
        await agent.report(wiring(*(bus(f"vcan{n}") for n in range(150))))
    assert len([e for e in heard.events if isinstance(e, Changed)]) == 151
    assert await titles(world) == ["CAN driver on gw answers"]


# --- whose they are


@pytest.mark.parametrize("first", ["buses", "machine"])
async def test_who_reports_buses_alone_is_on_the_host_of_its_machine(
    world: World, first: str
) -> None:
    reporter, discovery, copy = [await world.agent() for _ in range(3)]
    await reporter.poll(name="gw", duties=["can"])
    told = wiring(bus("vcan0"), identity=machine("gw").identity)
    if first == "machine":
        await discovery.report(machine("gw"))
    await reporter.report(told)
    if first == "buses":
        assert (await world.one("can-buses"))["host_id"] is None
        await discovery.report(machine("gw"))
    host = (await world.one("hosts"))["id"]
    assert (await world.one("can-buses", host_id=host))["host_id"] == host
    assert (await world.one("can-drivers"))["host_id"] == host
    await discovery.poll(name="gw")
    await copy.report(machine("copy", identity=machine("gw").identity))
    assert len(await world.items("hosts")) == 2
    # Which of two machines of one identity it is, nobody can say.
    assert (await world.one("can-buses"))["host_id"] is None


async def test_an_endpoint_has_the_name_of_its_container(world: World) -> None:
    agent = await gateway(world)
    await agent.report(machine("gw"))
    one, other = endpoint("1a"), endpoint("2b")
    place = Attachment("bus0", endpoint=one.id)
    await agent.report(
        Engines((engine(container("web", attachments=(Attachment("bridge"), place))),)),
    )
    await agent.report(wiring(bus("vcan0", one, other)))
    listed = await world.one("can-buses")
    assert listed == await world.get(f"can-buses/{listed['id']}")
    assert [e["container"] for e in listed["endpoints"]] == ["web", None]
    await agent.report(Engines((engine(),)))
    assert [e["container"] for e in (await world.one("can-buses"))["endpoints"]] == [None, None]


async def test_the_buses_of_an_agent_go_with_it(world: World) -> None:
    agent = await gateway(world)
    await agent.report(wiring(bus("vcan0"), recoveries=(mended(),)))
    row = await world.one("can-buses")
    with Heard(world.state) as heard:
        await world.ask("DELETE", f"agents/{row['agent_id']}")
    told = [(e.entity, e.operation) for e in heard.events if isinstance(e, Changed)]
    assert told == [(Entity.AGENT, Operation.DELETED), (Entity.CAN_BUS, Operation.DELETED)]
    for noun in NOUNS:
        assert await world.items(noun) == []
    assert (await world.ask("GET", f"can-buses/{row['id']}")).status_code == 404
    assert (await world.ask("GET", "can-drivers/none")).status_code == 404


@pytest.mark.parametrize("first", ["machine", "can"])
async def test_an_agent_that_was_installed_anew_goes_on_with_its_buses(
    world: World, first: str
) -> None:
    old = await gateway(world)
    await old.report(machine("gw"))
    earlier, later = mended(at=NOON - 50), mended(at=NOON - 40)
    await old.report(wiring(bus("vcan0"), bus("vcan1"), recoveries=(earlier, later)))
    buses = await world.items("can-buses")
    driver = await world.one("can-drivers")
    await old.poll(leaving=True)
    new = await world.agent()
    reports: list[Body] = [
        machine("gw"),
        wiring(bus("vcan0"), bus("vcan1"), recoveries=(later, mended())),
    ]
    # What it wires may be told before it is known whose machine it is.
    for report in reports if first == "machine" else reports[::-1]:
        await new.report(report)
    again = await world.items("can-buses")
    assert [b["device"] for b in again] == ["vcan0", "vcan1"]
    assert {b["agent_id"] for b in again} == {(await world.one("agents"))["id"]}
    if first == "machine":
        assert [b["id"] for b in again] == [b["id"] for b in buses]
        assert (await world.one("can-drivers"))["id"] == driver["id"]
    assert len(await world.items("can-drivers")) == 1
    assert len(await world.items("can-recoveries")) == 3


async def test_a_look_is_not_asked_of_who_only_wires(world: World) -> None:
    agent = await world.agent()
    # Its first report may come before its first poll.
    await agent.report(wiring())
    row = await world.one("agents")
    assert row["duties"] == ["can"]
    answer = await world.ask("POST", "runs", json={"agent_id": row["id"]})
    assert answer.status_code == 409
    assert "its duty is can" in answer.json()["detail"]
