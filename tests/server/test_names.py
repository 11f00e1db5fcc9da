"""How names are sorted: as people count, in lists and their pages, in every database."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mooring.model.report import Engines
from mooring.server.db import tables
from mooring.server.names import LONGEST, name_order
from tests.server.scanned import port, scan, seen
from tests.server.test_lists import add_hosts, all_of
from tests.server.world import World, container, engine, interface, machine

SORTED = [
    "10.0.0.9",
    "10.0.0.10",
    "10.0.1.1",
    "192.168.0.1",
    "fd00::9",
    "fd00::10",
    "fd00:1::",
    "host",
    "host-2",
    "host2",
    "Host3",
    "host10",
    "host10.example.org",
    "host123456789",
    "host1234567890",
    "Zoé1",
    "zoe2",
]


def shuffled(names: list[str]) -> list[str]:
    return random.Random(1).sample(names, len(names))


def test_names_are_sorted_as_people_count() -> None:
    assert sorted(shuffled(SORTED), key=name_order) == SORTED


def test_networks_are_sorted_by_their_numbers() -> None:
    cidrs = ["10.0.0.0/8", "10.0.0.0/16", "10.2.0.0/16", "10.10.0.0/16", "fd00::/64", "fd00:1::/64"]
    assert sorted(shuffled(cidrs), key=name_order) == cidrs


@pytest.mark.parametrize("name", ["", "1" * 400, "1a" * 200, "ﷺ" * 253, "0" * 253, "fe80::1%eth0"])
def test_every_name_has_an_order_that_a_column_takes(name: str) -> None:
    assert len(name_order(name)) <= LONGEST


async def test_pages_follow_one_another_in_that_order(world: World) -> None:
    await add_hosts(world, shuffled(SORTED))
    for limit in (1, 3):
        up = await all_of(world, "hosts", limit=limit, sort="name")
        assert [host["name"] for host in up] == SORTED
        down = await all_of(world, "hosts", limit=limit, sort="-name")
        assert [host["name"] for host in down] == SORTED[::-1]


async def test_names_of_one_order_are_each_shown_once(world: World) -> None:
    names = ["a1", "a01", "A1", "á1", *("x" * LONGEST + str(n) for n in range(4))]
    await add_hosts(world, [name[:LONGEST] for name in names])
    shown = await all_of(world, "hosts", limit=1, sort="name")
    assert len({host["id"] for host in shown}) == len(shown) == len(names)


async def test_a_long_name_of_any_letters_has_a_page_after_it(world: World) -> None:
    await add_hosts(world, ["\U0001f5a8" * 252 + str(n) for n in range(3)])
    assert len(await all_of(world, "hosts", limit=1, sort="name")) == 3


async def test_what_has_another_name_is_elsewhere_in_its_list(world: World) -> None:
    async def listed(path: str) -> list[str]:
        return [item["name"] for item in await world.items(path, sort="name")]

    async def renamed(path: str, row_id: str) -> None:
        answer = await world.ask("PATCH", f"{path}/{row_id}", json={"name": "x10"})
        assert answer.status_code == 200, answer.text

    reporter = await world.agent()
    await reporter.report(machine("x1", (interface("eth10"), interface("eth9"))))
    agent = await world.one("agents")
    for path, more in (("networks", {}), ("agents", {"network_id": world.home})):
        for name in ("x9", "x11"):
            answer = await world.ask("POST", path, json={"name": name, **more})
            assert answer.status_code == 201, answer.text
    await renamed("networks", world.home)
    assert await listed("networks") == ["x9", "x10", "x11"]
    await renamed("agents", agent["id"])
    assert await listed("agents") == ["x9", "x10", "x11"]
    await add_hosts(world, ["x9", "x11"])
    await renamed("hosts", agent["host_id"])
    assert await listed("hosts") == ["x9", "x10", "x11"]
    assert await listed("interfaces") == ["eth9", "eth10"]

    await reporter.report(Engines((engine(*map(container, ("x9", "x11", "x12"))),)))
    assert await listed("containers") == ["x9", "x11", "x12"]
    one = container("x12")
    again = type(one)(one.id, "x10", one.image, one.state)
    await reporter.report(Engines((engine(container("x9"), container("x11"), again),)))
    assert await listed("containers") == ["x9", "x10", "x11"]


async def test_ports_and_subnets_are_sorted_by_the_numbers_of_their_addresses(world: World) -> None:
    reporter = await world.agent()
    ips = ("10.0.0.100", "10.0.0.9", "10.0.0.10")
    hosts = [seen(ip, f"aa:00:00:00:00:0{n}", port(22)) for n, ip in enumerate(ips)]
    await reporter.report(scan("10.0.0.0/24", *hosts))
    await reporter.report(scan("9.0.0.0/24", seen("9.0.0.1", "aa:00:00:00:00:09")))
    assert await column(world, "ports", "ip") == ["10.0.0.9", "10.0.0.10", "10.0.0.100"]
    assert await column(world, "subnets", "cidr") == ["9.0.0.0/24", "10.0.0.0/24"]
    # One of them gets another address: its port is there now.
    moved = seen("10.0.0.99", "aa:00:00:00:00:01", port(22))
    await reporter.report(scan("10.0.0.0/24", hosts[0], moved, hosts[2]))
    assert await column(world, "ports", "ip") == ["10.0.0.10", "10.0.0.99", "10.0.0.100"]


async def column(world: World, path: str, name: str) -> list[Any]:
    return [item[name] for item in await world.items(path, sort=name)]


async def test_whatever_is_stored_has_its_order(world: World) -> None:
    reporter = await world.agent()
    await reporter.report(machine())
    await reporter.report(Engines((engine(container("web")),)))
    await reporter.report(scan("10.0.0.0/24", seen("10.0.0.9", "aa:00:00:00:00:01", port(22))))
    for table in tables.metadata.tables.values():
        for order in (c.name for c in table.c if c.name.endswith("_order")):
            for row in await world.rows(table):
                assert row[order] == name_order(row[order.removesuffix("_order")])
