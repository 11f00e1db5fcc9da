"""A report on its way into the tables: whole or not at all, once, and telling what changed."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest

from mooring.core.ids import new_id
from mooring.model.container import PublishedPort
from mooring.model.event import Changed, Entity, Operation
from mooring.model.net import InterfaceKind, InterfaceState
from mooring.model.report import Engines, RunMark, SetAside
from mooring.server.db import tables
from tests.server.faults import failing
from tests.server.world import (
    NOON,
    PODMAN,
    Heard,
    World,
    container,
    dead,
    docker_machine,
    docker_network,
    engine,
    interface,
    loopback,
    machine,
    subnet,
    wide,
)

ALL = [table for table in tables.metadata.sorted_tables if table is not tables.key]


async def everything(world: World) -> dict[str, Any]:
    return {table.name: await world.rows(table) for table in ALL}


# --- whole or not at all


@pytest.mark.slow
async def test_a_report_is_stored_whole_or_not_at_all_wherever_the_database_fails(
    world: World, logs: list[Any]
) -> None:
    agent = await world.agent()
    run = new_id()
    aside = SetAside("route", "…", "no such route")
    other = machine(
        interfaces=(loopback(), interface("eth1", "10.9.0.5/24", "10.0.0.9/24")),
        subnets=(subnet("10.9.0.0/24"),),
    )
    bodies = [
        (docker_machine(), [RunMark(run, "start", NOON)], [aside]),
        (Engines((engine(container("web"), networks=[docker_network()]),)), [], []),
        (other, [RunMark(new_id(), "request", NOON)], []),
        (Engines((engine(container("db")),)), [RunMark(run, "start", NOON, final=True)], []),
    ]
    await agent.poll()  # the key's first use is noted in a transaction of its own
    for number, (body, runs, set_aside) in enumerate(bodies, 1):
        more: dict[str, Any] = {"number": number, "runs": runs, "set_aside": set_aside}
        before = await everything(world)
        with Heard(world.state) as heard:
            for at in range(200):
                with failing(world.state.database, at) as happened:
                    answer = await agent.send(body, **more)
                if not happened:
                    break
                assert answer.status_code == 500
                # What had been stored by any attempt would still be there.
                if at % 10 == 0:
                    assert await everything(world) == before
                assert not heard.events
        assert at > 10
        # The number was not taken by any of the failures.
        assert answer.json()["result"] == "stored"
        assert (await everything(world))["subject"] != before["subject"]
        assert heard.events
    logs.clear()


# --- numbers


async def test_a_repeated_number_is_seen_and_changes_nothing(world: World) -> None:
    agent = await world.agent()
    assert await agent.report(machine(), number=7) == "stored"
    before = await everything(world)
    world.clock.forward(60)
    with Heard(world.state) as heard:
        assert await agent.report(machine("other"), number=7) == "seen"
    assert await everything(world) == before
    assert not heard.events


async def test_an_older_number_is_seen_and_changes_nothing(world: World) -> None:
    agent = await world.agent()
    assert await agent.report(machine(), number=7) == "stored"
    before = await everything(world)
    assert await agent.report(machine("other"), number=6) == "seen"
    assert await everything(world) == before


async def test_numbers_are_of_one_subject_and_of_one_outbox(world: World) -> None:
    one, two = await world.agent(), await world.agent()
    assert await one.report(machine(), number=5) == "stored"
    assert await one.report(Engines(()), number=3) == "stored"
    assert await two.report(machine("beta"), number=4) == "stored"


async def test_the_reports_that_came_are_listed(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    (listed,) = await world.items("reports")
    assert (listed["subject"], listed["number"], listed["outbox"]) == ("machine", 1, agent.outbox)
    assert listed["bytes"] > 100


# --- interfaces


async def test_an_interface_that_vanished_is_gone_and_comes_back_as_the_same(world: World) -> None:
    agent = await world.agent()
    both = (interface("eth0", "10.0.0.5/24"), interface("eth1", "10.0.0.6/24", index=3))
    await agent.report(machine(interfaces=both))
    first = await world.items("interfaces")

    world.clock.forward(60)
    with Heard(world.state) as heard:
        await agent.report(machine(interfaces=both[:1]))
    assert [i["name"] for i in await world.items("interfaces")] == ["eth0"]
    assert (await world.one("hosts"))["interface_count"] == 1
    assert (await world.one("hosts"))["addresses"] == ["10.0.0.5"]
    gone = next(i["id"] for i in first if i["name"] == "eth1")
    assert Changed(Entity.INTERFACE, Operation.DELETED, gone, world.home) in heard.events

    world.clock.forward(60)
    await agent.report(machine(interfaces=both))
    again = await world.items("interfaces")
    assert [i["id"] for i in again] == [i["id"] for i in first]
    assert [i["first_seen"] for i in again] == [i["first_seen"] for i in first]
    assert [[a["ip"] for a in i["addresses"]] for i in again] == [["10.0.0.5"], ["10.0.0.6"]]


async def test_what_an_interface_is_told_to_be_is_what_is_read(world: World) -> None:
    agent = await world.agent()
    told = interface(
        "eth0.7",
        "10.0.0.5/24",
        "2001:db8::5/64",
        kind=InterfaceKind.VLAN,
        mac="02:00:00:00:00:07",
        state=InterfaceState.LOWER_DOWN,
        mtu=9000,
        master="br0",
        parent="eth0",
        vlan=7,
    )
    await agent.report(machine(interfaces=(told,)))
    read = await world.one("interfaces")
    columns = ("name", "kind", "state", "mac", "mtu", "master", "parent", "vlan")
    assert {c: read[c] for c in columns} == {c: getattr(told, c) for c in columns}
    assert [(a["ip"], a["prefix"]) for a in read["addresses"]] == [
        ("10.0.0.5", 24),
        ("2001:db8::5", 64),
    ]


async def test_one_address_on_two_interfaces_and_two_peers_of_one_address_are_stored(
    world: World,
) -> None:
    agent = await world.agent()
    twice = (interface("a", "10.0.0.5/24"), interface("b", "10.0.0.5/24"))
    assert await agent.report(machine(interfaces=twice)) == "stored"
    assert await world.count(tables.address) == 2


# --- what is set aside


async def test_what_is_set_aside_is_shown_with_its_reason_until_it_is_right(world: World) -> None:
    agent = await world.agent()
    bad = SetAside("subnet", '{"cidr": "10.0.0.300/33"}', "not a CIDR")
    with Heard(world.state) as heard:
        await agent.report(machine(), set_aside=[bad])
    host = await world.one("hosts")
    shown = await world.one("set-aside", host_id=host["id"])
    assert (shown["kind"], shown["item"], shown["reason"]) == (bad.kind, bad.item, bad.reason)
    assert host["set_aside_count"] == 1
    assert Changed(Entity.SET_ASIDE, Operation.CHANGED, host["id"], world.home) in heard.events
    # What another subject sets aside stands beside it.
    await agent.report(Engines(()), set_aside=[SetAside("container", "x", "no id")])
    assert len(await world.items("set-aside")) == 2
    await agent.report(machine())
    assert [s["kind"] for s in await world.items("set-aside")] == ["container"]


async def test_every_address_has_its_subnet_whatever_was_set_aside(world: World) -> None:
    agent = await world.agent()
    seen = machine(
        interfaces=(
            loopback(),
            interface("eth0", "10.0.0.5/24", "fe80::5/64", "192.168.7.7/32"),
            interface("eth1", "10.0.0.6/25", "2001:db8::1/64"),
        ),
        subnets=(),
    )
    await agent.report(seen)
    addresses = await world.rows(tables.address)
    subnets = {row["id"]: row for row in await world.rows(tables.subnet)}
    assert len(addresses) == 7
    for row in addresses:
        cidr = ipaddress.ip_interface(f"{row['ip']}/{row['prefix']}").network
        assert subnets[row["subnet_id"]]["cidr"] == str(cidr)
    kinds = {row["cidr"]: row["kind"] for row in subnets.values()}
    assert kinds["127.0.0.0/8"] == "loopback"
    assert kinds["fe80::/64"] == "link_local"
    assert kinds["10.0.0.0/24"] == "unknown"


# --- what is told


async def test_a_new_host_makes_one_host_event_and_not_a_thousand(world: World) -> None:
    agent = await world.agent()
    with Heard(world.state) as heard:
        await agent.report(wide(150))
    told = [e for e in heard.of(Changed) if isinstance(e, Changed)]
    hosts = [e for e in told if e.entity is Entity.HOST]
    assert [e.operation for e in hosts] == [Operation.CREATED]
    assert not [e for e in told if e.entity is Entity.INTERFACE]
    # Its 302 subnets are told to whoever looks, and do not flood the timeline.
    assert len([e for e in told if e.entity is Entity.SUBNET]) == 302
    assert len(await world.items("timeline")) < 10


async def test_an_unchanged_report_tells_nothing(world: World) -> None:
    agent = await world.agent()
    ports = (
        PublishedPort("tcp", 80, ipaddress.ip_address("0.0.0.0"), 8080),
        PublishedPort("udp", 53),
    )
    web = container("web", ports=ports, labels=(("a", "b"),), created_at=NOON - 0.125)
    bodies = [
        docker_machine(),
        Engines((engine(web, networks=[docker_network()]), dead(PODMAN))),
    ]
    for body in bodies * 2:
        await agent.report(body)
    timeline = await world.count(tables.event)
    for body in bodies * 2:
        world.clock.forward(60)
        with Heard(world.state) as heard:
            assert await agent.report(body) == "stored"
        assert not heard.events
    assert await world.count(tables.event) == timeline
    host = await world.one("hosts")
    assert host["last_seen"] > host["first_seen"]
    assert all(i["last_seen"] == host["last_seen"] for i in await world.items("interfaces"))


async def test_a_containers_uptime_is_stored_and_not_told(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    await agent.report(Engines((engine(container("web", status="Up 1 minute")),)))
    with Heard(world.state) as heard:
        await agent.report(Engines((engine(container("web", status="Up 2 minutes")),)))
    assert (await world.one("containers"))["status"] == "Up 2 minutes"
    assert not heard.events


async def test_a_reboot_that_renumbers_interfaces_tells_nothing(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine(interfaces=(interface("eth0", "10.0.0.5/24", index=2),)))
    with Heard(world.state) as heard:
        await agent.report(machine(interfaces=(interface("eth0", "10.0.0.5/24", index=3),)))
    assert not heard.events


async def test_a_change_to_very_many_parts_is_told_of_the_host_alone(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    host = (await world.one("hosts"))["id"]
    many = Engines((engine(*(container(f"c{n}") for n in range(150))),))
    with Heard(world.state) as heard:
        await agent.report(many)
    assert Changed(Entity.HOST, Operation.CHANGED, host, world.home) in heard.events
    assert not [e for e in heard.events if isinstance(e, Changed) and e.entity is Entity.CONTAINER]


async def test_what_an_engine_answers_is_told_when_it_changes(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    await agent.report(Engines((engine(),)))
    (row,) = await world.items("agents")
    with Heard(world.state) as heard:
        await agent.report(Engines((dead(),)))
    assert Changed(Entity.AGENT, Operation.CHANGED, row["id"], world.home) in heard.events
    assert (await world.one("agents"))["engines"][0]["state"] == "timed_out"


# --- many at once


@pytest.mark.slow
async def test_a_thousand_interfaces_are_stored(world: World) -> None:
    agent = await world.agent()
    assert await agent.report(wide(1000)) == "stored"
    host = await world.one("hosts")
    assert host["interface_count"] == 1001
    assert await world.count(tables.address) == 2002
    assert await agent.report(wide(1000)) == "stored"


@pytest.mark.slow
async def test_twenty_agents_of_one_network_report_at_once(world: World) -> None:
    """Each has its own Docker bridge and all share the LAN; nobody is refused or waits in vain."""
    agents = [await world.agent() for _ in range(20)]

    async def both(n: int) -> list[str]:
        name, agent = f"host{n}", agents[n]
        network = docker_network()
        return [
            await agent.report(docker_machine(name, f"10.0.0.{n + 5}")),
            await agent.report(Engines((engine(container("web"), networks=[network]),))),
            await agent.report(docker_machine(name, f"10.0.0.{n + 5}")),
        ]

    answers = await asyncio.gather(*(both(n) for n in range(20)))
    assert answers == [["stored"] * 3] * 20
    subnets = await world.items("subnets")
    assert len([s for s in subnets if s["cidr"] == "10.0.0.0/24"]) == 1
    assert len([s for s in subnets if s["cidr"] == "172.17.0.0/16"]) == 20
    assert {s["kind"] for s in subnets if s["cidr"] == "172.17.0.0/16"} == {"docker_bridge"}
    assert len(await world.items("hosts")) == 20


async def test_an_agents_first_words_may_all_come_at_once(world: World) -> None:
    """It polls, tells of its run and reports, each on a connection of its own."""
    for _ in range(5):
        agent = await world.agent()
        run = new_id()
        mark = RunMark(run, "start", NOON)
        poll, progress, report = await asyncio.gather(
            agent.poll(active_runs=[run]),
            agent.progress(run, "starting"),
            agent.send(machine(agent.outbox), runs=[mark]),
        )
        assert poll == {"runs": [], "cancelled": [], "orders": {}}
        assert progress.status_code == 204
        assert report.json() == {"result": "stored", "set_aside": 0}
        (row,) = await world.rows(tables.agent, tables.agent.c.outbox == agent.outbox)
        (stored,) = await world.rows(tables.run, tables.run.c.id == run)
        assert (stored["agent_id"], stored["state"]) == (row["id"], "running")


async def test_a_report_sent_twice_at_once_is_stored_once(world: World) -> None:
    agent = await world.agent()
    answers = await asyncio.gather(*(agent.report(machine(), number=1) for _ in range(8)))
    assert sorted(answers) == ["seen"] * 7 + ["stored"]
    assert len(await world.items("hosts")) == 1
