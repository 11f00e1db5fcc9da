"""Scan reports: who is known again, what of them is kept, what the timeline says of it."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.core.ids import new_id
from mooring.model.event import Changed, Entity
from mooring.model.net import InterfaceKind, SubnetKind
from mooring.model.report import RunMark
from mooring.model.scan import Depth
from mooring.server.db import tables
from tests.server.scanned import port, scan, seen
from tests.server.world import Heard, Reporter, World, interface, loopback, machine, subnet

A, B, ROUTER = "aa:00:00:00:00:01", "aa:00:00:00:00:02", "aa:00:00:00:00:ff"
LAN = "10.0.0.0/24"


async def scanner(world: World) -> Reporter:
    """An agent on a machine in 10.0.0.0/24."""
    agent = await world.agent()
    await agent.poll(duties=["discovery", "scan"])
    await agent.report(machine())
    return agent


async def hosts(world: World) -> dict[str, Any]:
    """All but the scanner's own, by name."""
    return {h["name"]: h for h in await world.items("hosts") if h["hostname"] != "alpha"}


async def titles(world: World) -> list[str]:
    """The timeline since the last look at it, oldest first."""
    before = getattr(world, "_read", set())
    events = [e for e in await world.items("timeline") if e["id"] not in before]
    world._read = before | {e["id"] for e in events}  # type: ignore[attr-defined]
    return [e["title"] for e in reversed(events)]


async def test_a_host_that_is_found_has_a_place_a_name_and_a_maker(world: World) -> None:
    agent = await scanner(world)
    await titles(world)
    found = seen("10.0.0.40", A, vendor="Raspberry Pi", names=("pi.local",), round_trip_ms=0.4)
    await agent.report(scan(LAN, found, seen("10.0.0.41", B)))
    pi = (await hosts(world))["pi.local"]
    assert (pi["addresses"], pi["mac"], pi["vendor"], pi["source"]) == (
        ["10.0.0.40"],
        A,
        "Raspberry Pi",
        "scan",
    )
    (lan,) = [s for s in await world.items("subnets") if s["cidr"] == LAN]
    assert lan["host_count"] == 3
    assert (await world.one("interfaces", host_id=pi["id"]))["mac"] == A
    assert await titles(world) == [
        "new host pi.local at 10.0.0.40 (Raspberry Pi)",
        "new host 10.0.0.41",
    ]


async def test_a_scan_that_is_told_again_changes_nothing(world: World) -> None:
    agent = await scanner(world)
    body = scan(LAN, seen("10.0.0.40", A, port(22, "ssh")), seen("10.0.0.41", None, port(80)))
    await agent.report(body)
    tables_of_it = (tables.host, tables.interface, tables.address, tables.port)
    before = [await world.rows(table) for table in tables_of_it]
    await titles(world)
    with Heard(world.state) as heard:
        await agent.report(body)
    assert [await world.rows(table) for table in tables_of_it] == before
    assert heard.of(Changed) == []
    assert await titles(world) == []


async def test_a_host_that_moved_is_the_same_with_its_name_and_its_ports(world: World) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(5001, "synology-dsm"))))
    (nas,) = (await hosts(world)).values()
    await world.ask("PATCH", f"hosts/{nas['id']}", json={"name": "nas"})
    await titles(world)
    await agent.report(scan(LAN, seen("10.0.0.77", A, port(5001, "synology-dsm"))))
    (moved,) = (await hosts(world)).values()
    assert (moved["id"], moved["name"], moved["addresses"]) == (nas["id"], "nas", ["10.0.0.77"])
    (one,) = await world.rows(tables.port)
    assert (one["ip"], one["gone_at"]) == ("10.0.0.77", None)
    assert await titles(world) == ["nas is now at 10.0.0.77, and was at 10.0.0.40"]


async def test_two_hosts_that_swap_addresses_are_told_apart(world: World) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.1", A), seen("10.0.0.2", B)))
    ids = {h["mac"]: h["id"] for h in (await hosts(world)).values()}
    await agent.report(scan(LAN, seen("10.0.0.2", A), seen("10.0.0.1", B)))
    now = (await hosts(world)).values()
    assert {h["mac"]: (h["id"], h["addresses"]) for h in now} == {
        A: (ids[A], ["10.0.0.2"]),
        B: (ids[B], ["10.0.0.1"]),
    }
    # Back again: the rows of the first time.
    await agent.report(scan(LAN, seen("10.0.0.1", A), seen("10.0.0.2", B)))
    assert await world.count(tables.address) == 7  # three of the scanner


async def test_behind_a_router_a_host_is_known_by_its_address(world: World) -> None:
    agent = await scanner(world)
    far = "10.20.0.0/24"
    await agent.report(scan(far, seen("10.20.0.5"), seen("10.20.0.6")))
    before = {h["addresses"][0]: h["id"] for h in (await hosts(world)).values()}
    await agent.report(scan(far, seen("10.20.0.6")))
    await agent.report(scan(far, seen("10.20.0.5"), seen("10.20.0.6")))
    assert {h["addresses"][0]: h["id"] for h in (await hosts(world)).values()} == before
    (made,) = [s for s in await world.items("subnets") if s["cidr"] == far]
    assert (made["kind"], made["host_count"]) == ("lan", 2)


async def test_a_hardware_address_that_is_seen_later_makes_no_second_host(world: World) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40")))
    (first,) = (await hosts(world)).values()
    await agent.report(scan(LAN, seen("10.0.0.40", A)))
    # And an agent behind a router sees none again.
    await agent.report(scan(LAN, seen("10.0.0.40")))
    (same,) = (await hosts(world)).values()
    assert (same["id"], same["mac"], same["addresses"]) == (first["id"], A, ["10.0.0.40"])
    (one,) = await world.items("interfaces", host_id=same["id"])
    assert one["mac"] == A


@pytest.mark.parametrize("blocks", [1, 3])
async def test_a_router_that_answers_for_many_is_not_all_of_them(world: World, blocks: int) -> None:
    agent = await scanner(world)
    each = 12 // blocks
    for n in range(blocks):
        ips = [f"10.{n + 1}.0.{i + 1}" for i in range(each)]
        await agent.report(scan(f"10.{n + 1}.0.0/24", *(seen(ip, ROUTER) for ip in ips)))
    # Of three blocks, the first two are within what a host with many addresses may have.
    assert len(await hosts(world)) == (12 if blocks == 1 else 1 + 4)


async def test_the_scanner_and_others_that_report_stay_who_they_are(world: World) -> None:
    agent = await scanner(world)
    other = await world.agent()
    await other.poll(name="beta")
    card = interface("eth0", "10.0.0.6/24", mac="02:00:00:00:00:06")
    await other.report(machine("beta", (loopback(), card)))
    before = {h["name"]: h["id"] for h in await world.items("hosts")}
    body = scan(
        LAN,
        seen("10.0.0.5", None, port(22, "ssh")),  # itself
        seen("10.0.0.6", "02:00:00:00:00:99", port(80)),  # through a bridge with a MAC of its own
        seen("10.0.0.9", "02:00:00:00:00:06", names=("elsewhere",)),  # an address it did not tell
    )
    await agent.report(body)
    after = await world.items("hosts")
    assert {h["name"]: h["id"] for h in after} == before
    assert {h["name"]: h["addresses"][0] for h in after} == {
        "alpha": "10.0.0.5",
        "beta": "10.0.0.6",
    }
    ports = await world.rows(tables.port)
    assert {(p["host_id"], p["number"]) for p in ports} == {
        (before["alpha"], 22),
        (before["beta"], 80),
    }
    # What an agent says of its machine takes nothing from what a scan saw of it.
    await other.report(machine("beta", (loopback(), card)))
    assert await world.rows(tables.port) == ports


async def test_a_host_that_gets_an_agent_is_adopted(world: World) -> None:
    agent = await scanner(world)
    found = seen("10.0.0.40", A, port(22, "ssh"), vendor="Intel", names=("box",))
    # Its wireless card was taken for another host.
    await agent.report(scan(LAN, found, seen("10.0.0.41", B, port(80, "nginx"))))
    box = (await hosts(world))["box"]
    await world.ask("PATCH", f"hosts/{box['id']}", json={"name": "the box"})
    other = await world.agent()
    await other.poll(name="box")
    cards = (
        interface("eth0", "10.0.0.40/24", mac=A),
        interface("wlan0", "10.0.0.41/24", mac=B, kind=InterfaceKind.WIRELESS),
    )
    await other.report(machine("box", (loopback(), *cards)))
    (now,) = (await hosts(world)).values()
    assert (now["id"], now["name"], now["vendor"], now["source"]) == (
        box["id"],
        "the box",
        "Intel",
        "machine",
    )
    assert {i["name"] for i in await world.items("interfaces", host_id=box["id"])} == {
        "lo",
        "eth0",
        "wlan0",
    }
    assert sorted(p["number"] for p in await world.rows(tables.port)) == [22, 80]
    assert {p["host_id"] for p in await world.rows(tables.port)} == {box["id"]}
    rows = await world.count(tables.host)
    await agent.report(scan(LAN, found, seen("10.0.0.41", B, port(80, "nginx"))))
    assert await world.count(tables.host) == rows
    assert len(await world.items("interfaces", host_id=box["id"])) == 3


async def test_what_does_not_answer_any_more_is_gone_and_comes_back(world: World) -> None:
    agent = await scanner(world)
    both = scan(LAN, seen("10.0.0.40", A, names=("nas",)), seen("10.0.0.41", B))
    await agent.report(both)
    nas = (await hosts(world))["nas"]
    await titles(world)
    # Not all of the block was asked: nothing is known of the others.
    await agent.report(scan(LAN, seen("10.0.0.41", B), whole=False))
    assert (await hosts(world))["nas"]["addresses"] == ["10.0.0.40"]
    await agent.report(scan(LAN, seen("10.0.0.41", B)))
    assert (await hosts(world))["nas"]["addresses"] == []
    await agent.report(both)
    assert (await hosts(world))["nas"]["id"] == nas["id"]
    assert await titles(world) == [
        "nas does not answer any more, at 10.0.0.40",
        "nas answers again, at 10.0.0.40",
    ]


async def test_ports_that_were_looked_at_and_are_not_open_are_gone(world: World) -> None:
    agent = await scanner(world)
    full = ((1, 65535),)
    first = seen("10.0.0.40", A, port(22, "ssh"), port(9999), depth=Depth.FULL, names=("nas",))
    await agent.report(scan(LAN, first, looked_at=full))
    await titles(world)

    async def open_ports() -> list[int]:
        rows = await world.rows(tables.port)
        return sorted(row["number"] for row in rows if row["gone_at"] is None)

    # Only who is there.
    await agent.report(scan(LAN, seen("10.0.0.40", A)))
    assert await open_ports() == [22, 9999]
    # The light set does not hold 9999.
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(5001, "synology-dsm"))))
    assert await open_ports() == [5001, 9999]
    await agent.report(scan(LAN, seen("10.0.0.40", A, depth=Depth.FULL), looked_at=full))
    assert await open_ports() == []
    await agent.report(scan(LAN, first, looked_at=full))
    assert await open_ports() == [22, 9999]
    assert await world.count(tables.port) == 3
    assert await titles(world) == [
        "nas: port 5001/tcp opened (Synology DSM)",
        "nas: port 22/tcp closed (SSH)",
        "nas: port 5001/tcp closed (Synology DSM)",
        "nas: port 9999/tcp closed",
        "nas: port 22/tcp opened (SSH)",
        "nas: port 9999/tcp opened",
    ]


async def test_a_scan_on_its_way_takes_nothing_back_that_was_known(world: World) -> None:
    agent = await scanner(world)
    known = seen("10.0.0.40", A, port(80, "nginx", tls=True), vendor="Intel", names=("nas",))
    await agent.report(scan(LAN, known))
    await titles(world)
    before = await world.one("ports"), (await hosts(world))["nas"]
    # It is found, its port is found, and only then is it asked what it is.
    for body in (seen("10.0.0.40", A), seen("10.0.0.40", A, port(80)), known):
        await agent.report(scan(LAN, body))
        assert (await world.one("ports"), (await hosts(world))["nas"]) == before
    assert await titles(world) == []


async def test_a_port_that_was_asked_and_shows_nothing_loses_the_name_of_what_was_there(
    world: World,
) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80, "nginx", tls=True, says="hello"))))
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80))))
    assert (await world.one("ports"))["service"] == "nginx"
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80, asked=True))))
    found = await world.one("ports")
    names = ("service", "title", "category", "version", "confidence", "services", "tls", "says")
    assert [found[name] for name in names] == [None, None, None, "", None, [], False, ""]
    assert await world.items("services") == []


async def test_a_port_that_was_left_alone_keeps_its_name_and_says_why_when_it_has_none(
    world: World,
) -> None:
    agent = await scanner(world)
    told = port(9100, "nginx", says="HTTP 200")
    await agent.report(scan(LAN, seen("10.0.0.40", A, told)))
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(9100, says="not asked"))))
    found = await world.one("ports")
    assert (found["service"], found["says"]) == ("nginx", "HTTP 200")
    await agent.report(scan(LAN, seen("10.0.0.41", "aa:00:00:00:00:41", port(9100, says="not"))))
    found = await world.items("ports")
    assert [one["says"] for one in found] == ["HTTP 200", "not"]


async def test_another_service_on_a_port_is_told(world: World) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80), names=("nas",))))
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80, "nginx"))))
    await titles(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(80, "synology-dsm"))))
    assert await titles(world) == ["nas: port 80/tcp is Synology DSM"]


async def test_a_first_scan_that_finds_very_many_is_a_line_a_block(world: World) -> None:
    agent = await scanner(world)
    await titles(world)
    many = [seen(f"10.9.0.{n}", f"aa:00:00:00:01:{n:02x}") for n in range(1, 201)]
    with Heard(world.state) as heard:
        await agent.report(scan("10.9.0.0/24", *many))
    assert await titles(world) == ["10.9.0.0/24", "200 new hosts in 10.9.0.0/24"]
    assert len(heard.events) < 200
    opened = [seen(str(h.ip), h.mac, port(22, "ssh")) for h in many]
    await agent.report(scan("10.9.0.0/24", *opened))
    assert await titles(world) == []
    await agent.report(scan("10.9.0.0/24", *(seen(str(h.ip), h.mac, port(80)) for h in many)))
    assert await titles(world) == ["ports of 200 hosts: 200 opened, 200 closed in 10.9.0.0/24"]
    await agent.report(scan("10.9.0.0/24"))
    assert await titles(world) == ["200 hosts came, went or moved in 10.9.0.0/24"]


async def test_a_block_lies_in_the_subnet_that_is_known_best(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    card = interface("eth0", "10.0.0.5/22", mac="02:00:00:00:00:05")
    own = interface("docker0", "172.17.0.1/16", kind=InterfaceKind.BRIDGE)
    nets = (subnet("10.0.0.0/22"), subnet("172.17.0.0/16", SubnetKind.DOCKER_BRIDGE))
    await agent.report(machine("alpha", (loopback(), card, own), nets))
    subnets = await world.count(tables.subnet)
    await agent.report(scan("10.0.3.0/24", seen("10.0.3.9"), subnet="10.0.0.0/22"))
    await agent.report(scan("10.0.2.0/24", seen("10.0.2.9")))
    await agent.report(scan("172.17.0.0/24", seen("172.17.0.2", "02:42:ac:11:00:02")))
    assert await world.count(tables.subnet) == subnets
    counts = {s["cidr"]: s["host_count"] for s in await world.items("subnets")}
    assert (counts["10.0.0.0/22"], counts["172.17.0.0/16"]) == (3, 2)


async def test_containers_of_two_machines_are_not_one_for_having_the_same_address(
    world: World,
) -> None:
    body = scan("172.17.0.0/24", seen("172.17.0.2", "02:42:ac:11:00:02"))
    for n in (5, 6):
        agent = await world.agent()
        await agent.poll()
        own = interface("docker0", "172.17.0.1/16", kind=InterfaceKind.BRIDGE)
        nets = (subnet("10.0.0.0/24"), subnet("172.17.0.0/16", SubnetKind.DOCKER_BRIDGE))
        card = interface("eth0", f"10.0.0.{n}/24", mac=f"02:00:00:00:00:0{n}")
        await agent.report(machine(f"docker{n}", (card, own), nets))
        await agent.report(body)
    assert [h["addresses"] for h in await world.items("hosts", q="172.17.0.2")] == [
        ["172.17.0.2"]
    ] * 2


async def test_hosts_of_ipv6_are_one_with_those_of_ipv4(world: World) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A)))
    await agent.report(scan("fd00::/64", seen("fd00::40", A), seen("fd00::41", B)))
    found = await hosts(world)
    assert found["10.0.0.40"]["addresses"] == ["10.0.0.40", "fd00::40"]
    assert found["fd00::41"]["mac"] == B


async def test_a_scan_is_complete_with_its_last_report_and_adds_up_its_blocks(world: World) -> None:
    agent = await scanner(world)
    run = new_id()
    await agent.progress(run, "running")
    last = [RunMark(run, "request", 0, final=True)]
    one = scan(LAN, seen("10.0.0.40", A, port(22, "ssh")), seen("10.0.0.41", B))
    mark = [RunMark(run, "request", 0)]
    await agent.report(scan(LAN, seen("10.0.0.40", A)), runs=mark)
    await agent.report(one, runs=mark)
    assert (await world.get(f"runs/{run}"))["state"] == "running"
    await agent.report(scan("10.0.1.0/24", seen("10.0.1.1")), runs=last)
    done = await world.get(f"runs/{run}")
    assert done["state"] == "complete"
    stored = {"hosts": 3, "ports": 1, "services": 1, "scan_set_aside": 0}
    assert done["summary"] == stored


async def test_a_host_that_is_open_on_all_ports_is_one_until_a_scan_finds_it_is_not(
    world: World,
) -> None:
    agent = await scanner(world)
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(1), depth=Depth.NONE, all_open=True)))
    assert (await hosts(world))["10.0.0.40"]["all_open"]
    await agent.report(scan(LAN, seen("10.0.0.40", A)))
    assert (await hosts(world))["10.0.0.40"]["all_open"]
    await agent.report(scan(LAN, seen("10.0.0.40", A, port(22))))
    assert not (await hosts(world))["10.0.0.40"]["all_open"]


async def test_the_ports_of_a_block_are_told_by_name(world: World) -> None:
    agent = await scanner(world)
    with Heard(world.state) as heard:
        await agent.report(scan(LAN, seen("10.0.0.40", A, port(22, "ssh"))))
    kinds = {event.entity for event in heard.of(Changed)}  # type: ignore[union-attr]
    assert {Entity.HOST, Entity.PORT} <= kinds


async def test_a_single_address_behind_a_router_lies_in_a_network_and_in_a_better_one_later(
    world: World,
) -> None:
    agent = await scanner(world)
    await agent.report(scan("10.20.0.7/32", seen("10.20.0.7")))

    async def counts() -> dict[str, int]:
        return {s["cidr"]: s["host_count"] for s in await world.items("subnets")}

    assert (await counts())["10.20.0.0/24"] == 1
    other = await world.agent()
    await other.poll(name="far")
    card = interface("eth0", "10.20.1.1/22", mac="02:00:00:00:00:77")
    await other.report(machine("far", (loopback(), card), (subnet("10.20.0.0/22"),)))
    await agent.report(scan("10.20.0.0/24", seen("10.20.0.7")))
    found = await counts()
    assert (found["10.20.0.0/22"], found["10.20.0.0/24"]) == (2, 0)
    (host,) = await world.items("hosts", q="10.20.0.7")
    assert host["addresses"] == ["10.20.0.7"]
