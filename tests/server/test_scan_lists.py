"""What scans found, as it is listed, searched, drawn and exported."""

from __future__ import annotations

import csv
import io
import ipaddress
from functools import partial
from typing import Any

import pytest

from mooring.model.container import Attachment, PublishedPort
from mooring.model.report import Engines
from mooring.model.scan import Depth
from mooring.server.api.scan_shapes import MapWorkloads
from mooring.server.api.shapes import Map
from mooring.server.workloads import leads_to
from tests.server.scanned import port, scan, seen, service
from tests.server.world import (
    World,
    any_database,
    container,
    docker_machine,
    docker_network,
    engine,
)

A, B = "aa:00:00:00:00:01", "aa:00:00:00:00:02"
ANY = ipaddress.ip_address("0.0.0.0")


async def found(world: World) -> None:
    """A Docker host that publishes a container, and a host beside it, both scanned."""
    agent = await world.agent()
    await agent.poll(duties=["discovery", "scan"])
    await agent.report(docker_machine())
    web = container(
        "web",
        image="redis:7",
        ports=(PublishedPort("tcp", 80, ANY, 8080),),
        attachments=(Attachment("bridge", ipaddress.ip_address("172.17.0.2")),),
        services=(service("redis", category="database"),),
        compose_project="shop",
    )
    await agent.report(Engines((engine(web, networks=[docker_network()]),)))
    nas = seen(
        "10.0.0.40",
        A,
        port(22, "ssh"),
        port(80, service("nginx", version="1.22")),
        port(9999),
        names=("nas",),
        vendor="Synology",
        services=(service("synology-dsm", category="storage"),),
    )
    here = seen("10.0.0.5", None, port(22, "ssh"), port(8080, "redis"))
    await agent.report(scan("10.0.0.0/24", nas, here, looked_at=((1, 65535),)))
    inside = seen("172.17.0.2", "02:42:ac:11:00:02", port(80, "redis"))
    await agent.report(scan("172.17.0.0/24", inside, subnet="172.17.0.0/16"))


async def ids(world: World) -> dict[str, str]:
    return {h["name"]: h["id"] for h in await world.items("hosts")}


async def test_ports_are_listed_with_their_host_and_what_is_there(world: World) -> None:
    await found(world)
    hosts = await ids(world)
    ports = await world.items("ports", host_id=hosts["nas"])
    assert [(p["number"], p["title"], p["version"]) for p in ports] == [
        (22, "SSH", ""),
        (80, "nginx", "1.22"),
        (9999, None, ""),
    ]
    assert ports[0]["services"][0]["evidence"][0]["seen"] == "hello from ssh"
    assert {(p["host_name"], p["ip"], p["network_id"]) for p in ports} == {
        ("nas", "10.0.0.40", world.home)
    }
    assert ports[1] == await world.get(f"ports/{ports[1]['id']}")


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"service": "ssh"}, [22, 22]),
        ({"number": 80}, [80, 80]),
        ({"protocol": "udp"}, []),
        ({"q": "nginx"}, [80]),
        ({"q": "9999"}, [9999]),
        ({"gone": "true"}, []),
        ({"sort": "-number"}, [9999, 8080, 80, 80, 22, 22]),
        ({"network_id": "other"}, []),
    ],
)
async def test_ports_are_filtered_searched_and_sorted(
    world: World, asked: dict[str, Any], numbers: list[int]
) -> None:
    await found(world)
    assert [p["number"] for p in await world.items("ports", **asked)] == numbers


async def test_a_port_names_the_container_that_it_leads_to(world: World) -> None:
    await found(world)
    (web,) = await world.items("containers")
    linked = await world.items("ports", container_id=web["id"])
    assert [(p["number"], p["ip"], p["container_name"]) for p in linked] == [
        (80, "172.17.0.2", "web"),
        (8080, "10.0.0.5", "web"),
    ]
    others = [p for p in await world.items("ports") if p["id"] not in {p["id"] for p in linked}]
    assert {p["container_id"] for p in others} == {None}
    # It is gone, and so is the link; nothing was scanned again.
    agent = await world.agent()
    await agent.poll()
    assert (web["host_name"], [s["name"] for s in web["services"]]) == ("alpha", ["redis"])


def test_a_port_that_is_bound_elsewhere_leads_to_no_container() -> None:
    bound = {"protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 80, "container_port": 80}
    old = {"id": "old", "state": "exited", "attachments": [], "ports": [{**bound, "host_ip": "::"}]}
    new = {"id": "new", "state": "running", "attachments": [], "ports": [bound]}
    lan = {"protocol": "tcp", "number": 80, "ip": "10.0.0.5"}
    local = {"protocol": "tcp", "number": 80, "ip": "127.0.0.1"}
    behind = leads_to(lan, [new, old], [])
    assert behind is old
    assert leads_to(local, [old, new], []) is new
    assert leads_to({**lan, "protocol": "udp"}, [old, new], []) is None


async def test_services_are_counted_over_hosts_ports_and_containers(world: World) -> None:
    await found(world)
    counted = {s["name"]: s for s in await world.items("services")}
    assert {
        n: (s["host_count"], s["port_count"], s["container_count"]) for n, s in counted.items()
    } == {
        "nginx": (1, 1, 0),
        "redis": (2, 2, 1),
        "ssh": (2, 2, 0),
        "synology-dsm": (1, 0, 0),
    }
    assert counted["redis"]["id"] == "redis"
    first = await world.get("services", params={"sort": "-host_count", "limit": 2})
    assert [s["name"] for s in first["items"]] == ["ssh", "redis"]
    more = await world.get(
        "services", params={"sort": "-host_count", "limit": 2, "cursor": first["next"]}
    )
    assert len(more["items"]) == 2
    assert [s["name"] for s in await world.items("services", q="syno")] == ["synology-dsm"]
    assert await world.items("services", network_id="other") == []


async def test_hosts_tell_their_services_and_are_found_by_them(world: World) -> None:
    await found(world)
    nas = (await world.items("hosts", q="nas"))[0]
    assert [s["name"] for s in nas["services"]] == ["synology-dsm", "nginx", "ssh"]
    assert (nas["port_count"], nas["kind"], nas["depth"]) == (3, "storage", "light")
    assert {h["name"] for h in await world.items("hosts", service="redis")} == {
        "alpha",
        "172.17.0.2",
    }
    for words in (A, "synology", "10.0.0.40"):
        assert [h["name"] for h in await world.items("hosts", q=words)] == ["nas"], words


async def test_containers_are_filtered(world: World) -> None:
    await found(world)
    for asked, count in (
        ({"project": "shop"}, 1),
        ({"project": "other"}, 0),
        ({"state": "running", "service": "redis"}, 1),
        ({"engine": "unix:///run/podman/podman.sock"}, 0),
        ({"network_id": "other"}, 0),
        ({"q": "redis"}, 1),
    ):
        assert len(await world.items("containers", **asked)) == count, asked


async def test_a_search_finds_a_few_of_each(world: World) -> None:
    await found(world)
    search = partial(searched, world)
    assert await search("nas") == [("host", "nas", "10.0.0.40 (Synology)")]
    assert await search("redis") == [
        ("service", "Redis", "on 2 hosts"),
        ("container", "web", "redis:7 on alpha"),
    ]
    assert ("subnet", "10.0.0.0/24", "") in await search("10.0.0")
    assert ("agent", "alpha", "1") in await search("alpha")
    assert await search(" ") == []
    assert await search("nas", network_id="other") == []
    assert len(await search("1", limit=1)) <= 7


async def searched(world: World, q: str, **more: Any) -> list[tuple[str, str, str]]:
    items = (await world.get("search", params={"q": q, **more}))["items"]
    return [(f["kind"], f["title"], f["detail"]) for f in items]


@pytest.mark.parametrize(
    ("q", "found_ports"),
    [
        ("9999", ["on nas (10.0.0.40)"]),
        ("9999/tcp", ["on nas (10.0.0.40)"]),
        ("9999/UDP", []),
        ("80", ["Redis on 172.17.0.2", "nginx on nas (10.0.0.40)"]),
        ("80 redis", ["Redis on 172.17.0.2"]),
        ("nas:22", ["SSH on nas (10.0.0.40)"]),
        ("nas 22", ["SSH on nas (10.0.0.40)"]),
        ("10.0.0.40:22", ["SSH on nas (10.0.0.40)"]),
        ("22 80", []),
        ("0", []),
        ("65536", []),
        ("nginx", []),
    ],
)
async def test_a_search_for_a_port_finds_where_it_is_open(
    world: World, q: str, found_ports: list[str]
) -> None:
    await found(world)
    assert sorted(d for kind, _, d in await searched(world, q) if kind == "port") == found_ports


async def test_a_port_that_is_found_leads_to_its_host_and_many_are_counted(world: World) -> None:
    await found(world)
    hosts = await ids(world)
    answer = await world.get("search", params={"q": "9999"})
    (one,) = [f for f in answer["items"] if f["kind"] == "port"]
    assert (one["title"], one["host_id"]) == ("9999/tcp", hosts["nas"])
    answer = await world.get("search", params={"q": "80/tcp", "limit": 1})
    assert [f["kind"] for f in answer["items"]] == ["port"]
    assert answer["totals"] == {"port": 2}
    assert await searched(world, "9999", network_id="other") == []


async def test_a_search_finds_schedules_by_their_name(world: World) -> None:
    await found(world)
    agent = await world.one("agents")
    body = {
        "name": "Every night",
        "cron": "0 3 * * *",
        "targets": ["10.0.0.0/24"],
        "agent_id": agent["id"],
    }
    made = await world.ask("POST", "schedules", json=body)
    assert made.status_code == 201, made.text
    assert await searched(world, "NIGHT") == [
        ("schedule", "Every night", "0 3 * * * UTC, by alpha")
    ]
    assert await searched(world, "night", network_id="other") == []


async def test_the_map_shows_what_hosts_run(world: World) -> None:
    await found(world)
    hosts = await ids(world)
    drawn = await world.get("map/workloads")
    (box,) = [w for w in drawn["workloads"] if w["kind"] == "container"]
    assert (box["label"], box["service"], box["ports"]) == ("web", "redis", [8080])
    services = {(w["host_id"], w["service"]): w["ports"] for w in drawn["workloads"] if w != box}
    # What a container publishes is drawn with the container.
    assert services == {
        (hosts["nas"], "ssh"): [22],
        (hosts["nas"], "nginx"): [80],
        (hosts["alpha"], "ssh"): [22],
        (hosts["172.17.0.2"], "redis"): [80],
    }
    assert drawn["total"] == len(drawn["workloads"])
    # It is sent as it is drawn: nothing else would tell that it is not what the API describes.
    MapWorkloads.model_validate(drawn, strict=True)
    Map.model_validate(await world.get("map"), strict=True)
    assert (await world.get("map/workloads", params={"network_id": "other"}))["workloads"] == []
    kinds = {h["label"]: h["kind"] for h in (await world.get("map"))["hosts"]}
    assert kinds["nas"] == "storage"


async def test_a_host_that_no_scan_sees_any_more_is_listed_and_not_drawn(world: World) -> None:
    await found(world)
    (agent,) = await world.items("agents")
    reporter = await world.agent(outbox=(await world.items("reports"))[0]["outbox"])
    reporter.number = 100
    assert agent["duties"] == ["discovery", "scan"]
    await reporter.report(scan("10.0.0.0/24"))
    assert "nas" in await ids(world)
    drawn = await world.get("map")
    assert "nas" not in {h["label"] for h in drawn["hosts"]}
    assert drawn["total_hosts"] == len(drawn["hosts"])


# --- as a table


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_any_list_is_a_table_for_who_asks_for_one(world: World) -> None:
    await found(world)
    answer = await world.ask("GET", "ports?format=csv&sort=number&service=ssh")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert {(row["host_name"], row["number"], row["tls"]) for row in table(answer.text)} == {
        ("alpha", "22", "false"),
        ("nas", "22", "false"),
    }
    accepted = await world.ask("GET", "hosts", headers={"accept": "text/csv"})
    rows = {row["name"]: row for row in table(accepted.text)}
    assert rows["nas"]["addresses"] == "10.0.0.40"


@any_database
async def test_a_table_holds_all_pages_and_its_headings_when_it_is_empty(world: World) -> None:
    await found(world)
    whole = await world.ask("GET", "ports?format=csv&limit=2")
    assert len(table(whole.text)) == (await world.get("ports"))["total"] == 6
    empty = await world.ask("GET", "ports?format=csv&gone=true")
    assert empty.text.startswith("id,network_id,host_id,host_name,ip,")
    assert table(empty.text) == []


@any_database
async def test_what_is_no_list_or_refused_is_answered_as_ever(world: World) -> None:
    await found(world)
    assert (await world.get("map", params={"format": "csv"}))["hosts"]
    refused = await world.ask("GET", "hosts?format=csv&sort=colour")
    assert refused.headers["content-type"] == "application/problem+json"
    nobody = await world.ask("GET", "hosts?format=csv", by="nobody")
    assert nobody.status_code == 401


@any_database
async def test_no_cell_is_a_formula(world: World) -> None:
    agent = await world.agent()
    evil = seen("10.0.0.9", B, port(80, says='=HYPERLINK("http://x")'), names=("+1",))
    await agent.report(scan("10.0.0.0/24", evil))
    (row,) = table((await world.ask("GET", "ports?format=csv")).text)
    assert (row["says"], row["host_name"]) == ('\'=HYPERLINK("http://x")', "'+1")


async def test_how_far_a_host_was_looked_at_is_told(world: World) -> None:
    agent = await world.agent()
    await agent.report(scan("10.0.0.0/24", seen("10.0.0.9", B)))
    host = await world.one("hosts")
    assert (host["depth"], host["ports_at"]) == ("none", None)
    full = seen("10.0.0.9", B, depth=Depth.FULL)
    await agent.report(scan("10.0.0.0/24", full, looked_at=((1, 65535),)))
    await agent.report(scan("10.0.0.0/24", seen("10.0.0.9", B, depth=Depth.LIGHT)))
    host = await world.one("hosts")
    assert host["depth"] == "full"
    assert host["ports_at"] is not None
