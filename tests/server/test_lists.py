"""Lists: limits, cursors, sorting, searching, and errors of one shape."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from sqlalchemy import delete, insert

from mooring.core.ids import new_id
from mooring.model.report import Engines
from mooring.server.db import tables
from tests.server.accounts import user
from tests.server.world import NOON, World, any_database, container, engine, interface, machine

NAMES = ["alpha", "Bravo", "charlie", "Delta", "echo", "Foxtrot", "golf"]


async def add_hosts(world: World, names: list[str], at: float = NOON) -> None:
    rows = [
        {
            "id": new_id(),
            "network_id": world.home,
            "given_name": None,
            "name": name,
            "hostname": name,
            "identity": None,
            "os": "Debian",
            "kernel": "",
            "architecture": "",
            "source": "machine",
            "first_seen": at + n * 0.1,
            "last_seen": at,
        }
        for n, name in enumerate(names)
    ]
    async with world.state.database.write() as connection:
        await connection.execute(insert(tables.host), rows)


async def walk(world: World, path: str, **params: Any) -> AsyncIterator[list[Any]]:
    cursor = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = await world.get(path, params={**params, **more})
        yield page["items"]
        cursor = page["next"]
        if cursor is None:
            return


async def all_of(world: World, path: str, **params: Any) -> list[Any]:
    return [item async for page in walk(world, path, **params) for item in page]


# --- limits


async def test_a_list_has_25_items_unless_told_and_1000_at_most(world: World) -> None:
    await add_hosts(world, [f"host{n:04}" for n in range(1005)])
    page = await world.get("hosts")
    assert (len(page["items"]), page["total"]) == (25, 1005)
    assert page["next"] is not None
    page = await world.get("hosts", params={"limit": 1000})
    assert (len(page["items"]), page["total"]) == (1000, 1005)
    rest = await world.get("hosts", params={"limit": 1000, "cursor": page["next"]})
    assert (len(rest["items"]), rest["total"], rest["next"]) == (5, 1005, None)


async def test_an_empty_list_has_no_next(world: World) -> None:
    assert await world.get("hosts") == {"items": [], "next": None, "total": 0}


async def test_a_page_after_the_last_says_how_many_there_are(world: World) -> None:
    await add_hosts(world, NAMES)
    page = await world.get("hosts", params={"limit": 5})
    async with world.state.database.write() as connection:
        await connection.execute(delete(tables.host).where(tables.host.c.name.in_(NAMES[5:])))
    rest = await world.get("hosts", params={"limit": 5, "cursor": page["next"]})
    assert rest == {"items": [], "next": None, "total": 5}


async def test_a_page_that_is_just_full_is_the_last(world: World) -> None:
    await add_hosts(world, NAMES)
    page = await world.get("hosts", params={"limit": len(NAMES)})
    assert page["next"] is None


# --- cursors


async def test_a_cursor_walks_every_row_once_while_others_are_inserted(world: World) -> None:
    await add_hosts(world, [f"host{n:02}" for n in range(40)])
    for sort in ("name", "-name", "first_seen", "-last_seen"):
        before = {host["id"] for host in await world.items("hosts")}
        seen: list[str] = []
        async for page in walk(world, "hosts", limit=11, sort=sort):
            seen += [host["id"] for host in page]
            await add_hosts(world, ["host00", "host39", "host20"], NOON - 5)
        assert len(seen) == len(set(seen))
        assert before <= set(seen)


async def test_rows_that_are_equal_are_walked_once_too(world: World) -> None:
    await add_hosts(world, ["same"] * 10)
    found = await all_of(world, "hosts", limit=3)
    assert len({host["id"] for host in found}) == len(found) == 10


SORTS = {
    "hosts": ["name", "os", "first_seen", "last_seen"],
    "networks": ["name", "created_at"],
    "subnets": ["cidr", "kind", "first_seen", "last_seen"],
    "interfaces": ["name", "index", "kind", "state"],
    "routes": ["destination", "metric", "family"],
    "neighbours": ["ip", "interface", "state"],
    "containers": ["name", "image", "state", "last_seen"],
    "agents": ["name", "first_seen", "last_seen"],
    "reports": ["stored_at", "number", "bytes"],
    "timeline": ["at"],
    "keys": ["name", "created_at", "kind", "last_used_at"],
    "users": ["name", "role", "created_at", "last_login_at"],
    "sessions": ["last_used_at", "created_at"],
    "audit": ["at"],
}


@pytest.mark.slow
async def test_every_list_can_be_walked_by_everything_it_sorts_by(world: World) -> None:
    for n, name in enumerate(("one", "Two", "three")):
        agent = await world.agent()
        world.clock.forward(1)
        await agent.report(machine(name, (interface("eth0", f"10.0.{n}.5/24"),), ()))
        await agent.report(Engines((engine(container(name)),)))
        await user(world, name, "member")
    for path, sorts in SORTS.items():
        everything = {item["id"] for item in await world.items(path)}
        assert everything
        for sort in sorts:
            up = [item["id"] for item in await all_of(world, path, limit=2, sort=sort)]
            down = [item["id"] for item in await all_of(world, path, limit=2, sort=f"-{sort}")]
            assert len(up) == len(everything), (path, sort)
            assert set(up) == everything, (path, sort)
            assert down == up[::-1], (path, sort)


async def test_names_are_sorted_without_regard_to_case(world: World) -> None:
    await add_hosts(world, NAMES[::-1])
    assert [host["name"] for host in await world.items("hosts")] == NAMES
    assert [host["name"] for host in await world.items("hosts", sort="-name")] == NAMES[::-1]


async def test_hosts_that_are_named_by_their_address_are_sorted_by_its_numbers(
    world: World,
) -> None:
    names = ["10.77.0.2", "10.77.0.18", "10.77.0.122", "192.0.2.9", "2001:db8::2", "2001:db8::10"]
    await add_hosts(world, [*names[::-1], "zebra"])
    up = [host["name"] for host in await all_of(world, "hosts", limit=2, sort="name")]
    assert up == [*names, "zebra"]
    down = [host["name"] for host in await all_of(world, "hosts", limit=2, sort="-name")]
    assert down == up[::-1]


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


NO_CURSORS = [
    ("hosts", "nonsense"),
    ("hosts", "ä"),
    ("hosts", ""),
    ("hosts", base64.urlsafe_b64encode(b"[" * 1400).decode()),
    ("hosts", cursor("name")),
    ("hosts", cursor("name", "a", 5)),
    ("hosts", cursor("name", 5, "x")),
    ("hosts", cursor("name", None, "x")),
    ("hosts", cursor("name", ["a"], "x")),
    ("hosts", cursor("name", "a\0", "x")),
    ("hosts", cursor("name", "a", "x\0")),
    ("hosts", cursor("first_seen", 1.0, "x")),
    ("hosts", cursor(5, "a", "x")),
    ("hosts?sort=first_seen", cursor("first_seen", "now", "x")),
    ("hosts?sort=first_seen", cursor("first_seen", float("nan"), "x")),
    ("hosts?sort=first_seen", cursor("first_seen", float("inf"), "x")),
    ("hosts?sort=first_seen", cursor("first_seen", True, "x")),
    ("interfaces", cursor("index", 2**70, "x")),
    ("interfaces", cursor("index", 1.5, "x")),
    ("interfaces", cursor("index", True, "x")),
]


async def test_a_cursor_that_is_none_is_a_problem(world: World) -> None:
    for place, value in NO_CURSORS:
        path, _, query = place.partition("?")
        params = {"cursor": value} | dict(part.split("=") for part in query.split("&") if part)
        answer = await world.ask("GET", path, params=params)
        assert answer.status_code == 422, value
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["title"]) == (422, HTTPStatus(422).phrase)
        assert problem["errors"][0]["where"] == "query.cursor"
        assert problem["instance"] == f"/api/v1/{path}"


# --- what is asked for


@any_database
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "query.limit"),
        ("limit=1001", "query.limit"),
        ("limit=-1", "query.limit"),
        ("limit=many", "query.limit"),
        ("limit=99999999999999999999999", "query.limit"),
        ("sort=colour", "query.sort"),
        ("sort=--name", "query.sort"),
        ("sort=-", "query.sort"),
        ("q=" + "x" * 201, "query.q"),
        ("cursor=" + "x" * 2001, "query.cursor"),
        ("network_id=" + "x" * 37, "query.network_id"),
    ],
)
async def test_what_a_list_does_not_know_is_a_problem_that_names_it(
    world: World, query: str, where: str
) -> None:
    answer = await world.ask("GET", f"hosts?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["where"] == where


async def test_a_sort_that_is_none_names_those_there_are(world: World) -> None:
    answer = await world.ask("GET", "hosts?sort=colour")
    assert answer.json()["detail"] == (
        "sort: expected one of first_seen, kind, last_seen, name, os, vendor "
        "(with - before it for descending)"
    )


async def test_a_search_finds_words_in_names_systems_and_addresses(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine("Web-1", (interface("eth0", "10.1.2.3/24"),), ()))
    other = await world.agent()
    await other.report(machine("db_1%", (interface("eth0", "10.1.2.40/24"),), ()))

    async def found(q: str) -> list[str]:
        return [host["name"] for host in await world.items("hosts", q=q)]

    assert await found("web") == ["Web-1"]
    assert await found("WEB debian") == ["Web-1"]
    assert await found("web db") == []
    assert await found("10.1.2.4") == ["db_1%"]
    assert await found("10.1.2") == ["db_1%", "Web-1"]
    # What means something to a database is a letter like others.
    assert await found("%") == ["db_1%"]
    assert await found("b_1") == ["db_1%"]
    assert await found("'") == []
    assert await found("\\") == []
    assert await found("   ") == ["db_1%", "Web-1"]
    page = await world.get("hosts", params={"q": "web"})
    assert page["total"] == 1


async def test_a_list_takes_ids_to_load_just_those(world: World) -> None:
    await add_hosts(world, NAMES)
    hosts = await world.items("hosts")
    wanted = [host["id"] for host in hosts[1:4]]
    found = await world.items("hosts", ids=",".join([*wanted, "nobody"]))
    assert [host["id"] for host in found] == wanted
    assert await world.items("hosts", ids="") == []
    many = ",".join(str(n) for n in range(1001))
    answer = await world.ask("GET", "hosts", params={"ids": many})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "ids: expected at most 1000, got 1001",
    )
    assert await world.items("hosts", ids=",".join([new_id() for _ in range(1000)])) == []


async def test_lists_are_of_one_network_host_or_subnet(world: World) -> None:
    annex = (await world.ask("POST", "networks", json={"name": "annex"})).json()["id"]
    here, there = await world.agent(), await world.agent(network_id=annex)
    await here.report(machine("alpha"))
    await there.report(machine("beta"))
    await here.report(Engines((engine(container("web")),)))
    (host,) = await world.items("hosts", network_id=annex)
    assert host["name"] == "beta"
    for path in ("subnets", "agents", "timeline"):
        assert {i["network_id"] for i in await world.items(path, network_id=annex)} == {annex}
    for path in ("interfaces", "routes", "neighbours"):
        found = await world.items(path, host_id=host["id"])
        assert found
        assert {i["host_id"] for i in found} == {host["id"]}
    assert await world.items("containers", host_id=host["id"]) == []
    lan = next(s for s in await world.items("subnets", network_id=annex) if s["kind"] == "lan")
    assert [h["name"] for h in await world.items("hosts", subnet_id=lan["id"])] == ["beta"]
    assert [n["name"] for n in await world.items("networks")] == ["annex", "home"]
    counts = ("host_count", "subnet_count", "agent_count")
    network = await world.get(f"networks/{annex}")
    assert [network[c] for c in counts] == [1, 3, 1]


async def test_a_list_is_one_picture_though_others_write(world: World) -> None:
    """The total, the rows and their facts are of one moment, in the middle of a change too."""
    await add_hosts(world, NAMES)
    async with world.state.database.read() as connection:
        hosts = await connection.execute(tables.host.select())
        assert len(hosts.all()) == len(NAMES)
        await add_hosts(world, NAMES)
        hosts = await connection.execute(tables.host.select())
        assert len(hosts.all()) == len(NAMES)


# --- what is not there


async def test_what_is_not_there_is_a_problem_that_names_it(world: World) -> None:
    for noun in ("host", "network", "subnet", "container", "agent", "run"):
        answer = await world.ask("GET", f"{noun}s/nobody")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == f"there is no {noun} with the id 'nobody'"


@any_database
async def test_an_address_that_no_route_has_is_a_problem(world: World) -> None:
    for method, path, status in (
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/hosts", 404),
        ("PUT", "/api/v1/hosts", 405),
        ("POST", "/wp-login.php", 405),
        ("BREW", "/", 405),
    ):
        answer = await world.ask(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


# --- networks


async def test_two_networks_are_never_called_the_same(world: World) -> None:
    assert (await world.ask("POST", "networks", json={"name": "Annex"})).status_code == 201
    for name in ("annex", " ANNEX "):
        answer = await world.ask("POST", "networks", json={"name": name})
        assert answer.status_code == 409
        assert answer.json()["detail"] == (f"there is a network called {name.strip()!r} already")
    for status in (201, 409):
        answer = await world.ask("POST", "networks", json={"name": "ÄUßERES LAGER"})
        assert answer.status_code == status
    answer = await world.ask("PATCH", f"networks/{world.home}", json={"name": "ANNEX"})
    assert answer.status_code == 409
    answer = await world.ask("PATCH", f"networks/{world.home}", json={"name": "HOME"})
    assert answer.json()["name"] == "HOME"


async def test_of_two_who_make_a_network_at_once_one_is_told_that_it_is_there(
    world: World,
) -> None:
    await world.items("networks")
    drafts = [{"name": name} for name in ("site", "Site", "SITE", "site")]
    answers = await asyncio.gather(*(world.ask("POST", "networks", json=d) for d in drafts))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_network_goes_with_all_that_is_in_it(world: World) -> None:
    annex = (await world.ask("POST", "networks", json={"name": "annex"})).json()["id"]
    agent = await world.agent(network_id=annex)
    await agent.report(machine())
    await agent.report(Engines((engine(container("web")),)))
    await agent.poll()
    assert (await world.ask("DELETE", f"networks/{annex}")).status_code == 204
    for path in ("hosts", "subnets", "interfaces", "containers", "agents", "reports"):
        assert await world.items(path) == []
    assert (await agent.send(machine())).status_code == 401


@any_database
@pytest.mark.parametrize("noun", ["hosts", "ports", "schedules", "users"])
async def test_a_filter_that_a_list_does_not_know_is_refused_with_those_it_knows(
    world: World, noun: str
) -> None:
    answer = await world.ask("GET", f"{noun}?q=a&colour=red")
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["where"] == "query.colour"
    assert "it knows " in fault["what"]
    assert ", limit, " in fault["what"]
    assert answer.json()["detail"].startswith("query.colour: this list knows no such word")
