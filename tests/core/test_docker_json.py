"""Engines' JSON, recorded and made up, as our nouns."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.core import docker_json
from mooring.core.docker_json import WrongShape
from mooring.model import wire
from mooring.model.container import Engine, EngineKind, EngineState, PublishedPort
from mooring.model.net import SubnetKind
from mooring.model.report import Engines, Report

DATA = Path(__file__).parents[1] / "data" / "docker"
ID = "ab" * 32


def recorded(engine: str, name: str) -> bytes:
    return (DATA / engine / f"{name}.json").read_bytes()


def container(**fields: Any) -> dict[str, Any]:
    return {"Id": ID, "Names": ["/web"], "Image": "nginx", "State": "running", **fields}


def network(**fields: Any) -> dict[str, Any]:
    return {"Id": ID, "Name": "back", "Driver": "bridge", **fields}


def read(*items: Any) -> Any:
    return docker_json.containers(json.dumps(items).encode())


def read_networks(*items: Any, kind: EngineKind = EngineKind.DOCKER) -> Any:
    return docker_json.networks(json.dumps(items).encode(), kind)


def with_subnets(*config: Any, **fields: Any) -> dict[str, Any]:
    return network(IPAM={"Config": list(config)}, **fields)


# --- versions


def test_an_engine_of_2023_is_spoken_to_in_its_own_api() -> None:
    version = docker_json.version(recorded("engine-20.10", "version"))
    assert (version.kind, version.version) == (EngineKind.DOCKER, "20.10.24+dfsg1")
    assert version.spoken == "1.41"


def test_an_engine_that_demands_a_newer_api_than_old_clients_speak_gets_it() -> None:
    assert docker_json.version(recorded("constructed-engine-29", "version")).spoken == "1.52"


def test_podman_is_known_by_its_components() -> None:
    version = docker_json.version(recorded("constructed-podman-5", "version"))
    assert (version.kind, version.version) == (EngineKind.PODMAN, "5.6.2")
    assert version.spoken == "1.41"


@pytest.mark.parametrize(
    ("api", "least", "spoken"),
    [
        ("1.60", "1.44", "1.52"),
        ("1.60", "1.55", "1.55"),
        ("1.24", None, "1.24"),
        ("1.9", "", "1.9"),
        ("2.0", "1.40", "1.52"),
    ],
)
def test_the_api_spoken_is_the_newest_that_both_know(
    api: str, least: str | None, spoken: str
) -> None:
    answer = json.dumps({"ApiVersion": api, "MinAPIVersion": least, "Version": "x"}).encode()
    assert docker_json.version(answer).spoken == spoken


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"ApiVersion": "new"}',
        b'{"ApiVersion": 1.41}',
        b'{"ApiVersion": "1.41", "Components": "many"}',
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_version_is_of_a_wrong_shape(answer: bytes) -> None:
    with pytest.raises(WrongShape, match="expected a"):
        docker_json.version(answer)


# --- containers


def test_every_container_of_a_recorded_engine_is_read() -> None:
    found, aside = docker_json.containers(recorded("engine-20.10", "containers"))
    assert aside == ()
    assert len(found) == 30
    by_name = {c.name: c for c in found}
    web = by_name["shop-web-1"]
    assert (web.compose_project, web.compose_service) == ("shop", "web")
    assert (web.image, web.state, web.health) == ("lab:busybox", "running", None)
    assert [a.network for a in web.attachments] == ["shop_default"]
    assert web.attachments[0].ip in ip_network("172.30.0.0/24")
    assert web.attachments[0].ip6 in ip_network("fd00:30::/64")
    assert re.fullmatch("[0-9a-f]{64}", web.attachments[0].endpoint or "")
    assert {name: c.state for name, c in by_name.items() if c.state != "running"} == {
        "never-started": "created",
        "paused": "paused",
        "ended": "exited",
    }


def test_a_port_published_for_both_families_comes_twice() -> None:
    found, _ = docker_json.containers(recorded("engine-20.10", "containers"))
    ports = next(c.ports for c in found if c.name == "shop-web-1")
    assert ports == (
        PublishedPort("tcp", 80, ip_address("0.0.0.0"), 18000),
        PublishedPort("tcp", 80, ip_address("::"), 18000),
        PublishedPort("udp", 9000),
    )


def test_health_is_read_from_the_status_of_an_older_engine() -> None:
    found, _ = docker_json.containers(recorded("engine-20.10", "containers"))
    assert {c.name: c.health for c in found if c.health} == {
        "healthy": "healthy",
        "unhealthy": "unhealthy",
        "starting": "starting",
    }


def test_a_container_that_others_link_to_keeps_its_own_name() -> None:
    assert b"/linked/shop" in recorded("engine-20.10", "containers")
    found, _ = docker_json.containers(recorded("engine-20.10", "containers"))
    assert "healthy" in {c.name for c in found}


def test_a_container_on_the_hosts_network_has_no_ports_of_its_own() -> None:
    found, _ = docker_json.containers(recorded("engine-20.10", "containers"))
    host = next(c for c in found if c.name == "on-host")
    assert host.ports == ()
    assert [(a.network, a.ip, a.mac) for a in host.attachments] == [("host", None, None)]


def test_a_newer_engine_is_read() -> None:
    (web, job), aside = docker_json.containers(recorded("constructed-engine-29", "containers"))
    assert aside == ()
    assert (web.name, web.health, web.compose_service) == ("blog-web-1", "healthy", "web")
    assert web.attachments[0].mac == "02:42:ac:14:00:02"
    assert web.ports[-1] == PublishedPort("tcp", 443)
    assert (job.health, job.ports) == (None, ())


def test_podman_is_read_with_its_compose_labels_and_nulls() -> None:
    (app, infra), aside = docker_json.containers(recorded("constructed-podman-5", "containers"))
    assert aside == ()
    assert (app.name, app.compose_project, app.compose_service) == ("wiki_app_1", "wiki", "app")
    assert app.ports[0] == PublishedPort("tcp", 80, None, 8081)
    assert (infra.ports, infra.attachments, infra.labels) == ((), (), ())


def test_a_container_without_names_is_called_by_its_id() -> None:
    for names in (None, [], [""], ["/"]):
        (found,), _ = read(container(Names=names))
        assert found.name == ID[:12]


def test_bad_items_are_set_aside_and_the_rest_kept() -> None:
    good = container(Id="cd" * 32)
    bad = [
        None,
        7,
        "x",
        [],
        {},
        container(Id="not an id"),
        container(Id=ID.upper()),
        container(Names="web"),
        container(Labels=["a"]),
        container(Labels={"a": 1}),
        container(State=None),
        container(NetworkSettings=[]),
        container(Created="yesterday"),
    ]
    found, aside = read(*bad, good)
    assert [c.id for c in found] == ["cd" * 32]
    assert [a.kind for a in aside] == ["container"] * len(bad)
    assert all(a.reason for a in aside)


def test_of_two_containers_with_one_id_the_first_stays() -> None:
    found, aside = read(container(Image="one"), container(Image="two"))
    assert [c.image for c in found] == ["one"]
    assert "a second container" in aside[0].reason


@pytest.mark.parametrize(
    "port",
    [
        None,
        [],
        {},
        {"PrivatePort": 0, "Type": "tcp"},
        {"PrivatePort": 65536, "Type": "tcp"},
        {"PrivatePort": -1, "Type": "tcp"},
        {"PrivatePort": "80", "Type": "tcp"},
        {"PrivatePort": 80, "PublicPort": 99999, "Type": "tcp"},
        {"PrivatePort": 80, "Type": "<script>"},
        {"PrivatePort": 80, "PublicPort": 80, "Type": "tcp", "IP": "256.0.0.1"},
        {"PrivatePort": 80, "PublicPort": 80, "Type": "tcp", "IP": "fe80::1%eth0"},
    ],
)
def test_a_bad_port_costs_only_itself(port: Any) -> None:
    (found,), (aside,) = read(container(Ports=[port, {"PrivatePort": 53, "Type": "UDP"}]))
    assert found.ports == (PublishedPort("udp", 53),)
    assert aside.kind == "port"
    assert "of container web" in aside.reason


def test_a_bad_attachment_costs_only_itself() -> None:
    networks = {
        "good": {"IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd00::2", "MacAddress": "nonsense"},
        "bare": None,
        "bad": {"IPAddress": "10.0.0.300"},
        "worse": [],
    }
    (found,), aside = read(container(NetworkSettings={"Networks": networks}))
    assert [(a.network, a.ip, a.mac) for a in found.attachments] == [
        ("bare", None, None),
        ("good", ip_address("10.0.0.2"), None),
    ]
    assert [a.kind for a in aside] == ["attachment", "attachment"]


def test_two_looks_at_the_same_give_the_same_whatever_the_order() -> None:
    ports = [{"PrivatePort": n, "PublicPort": 9000 - n, "Type": "tcp"} for n in (80, 22, 443)]
    labels = {"b": "2", "a": "1"}
    once, _ = read(container(Ports=ports, Labels=labels))
    again, _ = read(container(Ports=ports[::-1] * 2, Labels=dict(reversed(labels.items()))))
    assert once == again


def test_texts_and_labels_are_bounded_and_hold_no_nul() -> None:
    labels = {f"label{n:05}{'x' * 1000}": "v\0" * 10_000 for n in range(300)}
    (found,), _ = read(
        container(Names=["/" + "n" * 5000], Image="i" * 5000, Status="s" * 5000, Labels=labels)
    )
    assert len(found.labels) == docker_json.MAX_LABELS
    assert {len(k) for k, _ in found.labels} == {docker_json.MAX_LABEL_NAME}
    assert {len(v) for _, v in found.labels} == {docker_json.MAX_LABEL_VALUE}
    assert "\0" not in found.labels[0][1]
    assert (len(found.name), len(found.image)) == (docker_json.MAX_NAME, docker_json.MAX_LINE)


def test_where_a_report_grows_tight_labels_go_before_containers() -> None:
    labels = {f"label{n}": "v" * 900 for n in range(4)}
    found, aside = read(*(container(Id=f"{n:064x}", Labels=labels) for n in range(4000)))
    assert len(found) == 4000
    assert len(found[0].labels) == 4
    assert found[-1].labels == ()
    assert {a.kind for a in aside} == {"labels", "item"}
    assert len(encoded(found)) < docker_json.MAX_CONTAINERS_BYTES


def test_more_containers_than_a_report_holds_are_set_aside_and_counted() -> None:
    found, aside = read(*(container(Id=f"{n:064x}") for n in range(8000)))
    assert len(found) > 6000
    assert len(aside) == 101
    assert aside[-1].item == f"{8000 - len(found) - 100} more"
    assert len(encoded(found)) < docker_json.MAX_CONTAINERS_BYTES


def test_ports_are_counted() -> None:
    ports = [{"PrivatePort": n, "Type": "tcp"} for n in range(1, 3001)]
    (found,), (aside,) = read(container(Ports=ports))
    assert len(found.ports) == docker_json.MAX_PORTS
    assert aside.item == "1000 more of web"


# --- networks


def test_every_network_of_a_recorded_engine_is_read() -> None:
    found, aside = docker_json.networks(recorded("engine-20.10", "networks"))
    assert aside == ()
    by_name = {n.name: n for n in found}
    assert by_name["bridge"].bridge == "docker0"
    assert by_name["shop_back"].bridge == "shopback0"
    shop = by_name["shop_default"]
    assert shop.bridge == f"br-{shop.id[:12]}"
    assert [(str(s.cidr), s.kind, s.interface, s.name) for s in shop.subnets] == [
        ("172.30.0.0/24", SubnetKind.DOCKER_BRIDGE, shop.bridge, "shop_default"),
        ("fd00:30::/64", SubnetKind.DOCKER_BRIDGE, shop.bridge, "shop_default"),
    ]
    for name in ("host", "none"):
        assert (by_name[name].subnets, by_name[name].bridge) == ((), None)


def test_each_driver_has_its_kind_of_subnet() -> None:
    found, aside = docker_json.networks(recorded("constructed-engine-29", "networks"))
    assert aside == ()
    blog, office, ingress, canbus = found
    assert [s.kind for s in blog.subnets] == [SubnetKind.DOCKER_BRIDGE] * 2
    assert [(s.kind, s.interface) for s in office.subnets] == [(SubnetKind.MACVLAN, "eth0.10")]
    assert [(s.kind, s.interface) for s in ingress.subnets] == [(SubnetKind.OVERLAY, None)]
    assert (canbus.driver, canbus.subnets) == ("mooring/can:latest", ())


def test_a_gateway_may_lie_outside_of_its_subnet() -> None:
    (blog, *_), _ = docker_json.networks(recorded("constructed-engine-29", "networks"))
    assert [str(s.gateway) for s in blog.subnets] == ["172.20.0.1", "fe80::1"]


def test_podmans_default_network_has_the_name_that_its_containers_use() -> None:
    found, aside = docker_json.networks(
        recorded("constructed-podman-5", "networks"), EngineKind.PODMAN
    )
    assert aside == ()
    assert [n.name for n in found] == ["podman", "wiki_internal"]
    assert {s.kind for n in found for s in n.subnets} == {SubnetKind.PODMAN_BRIDGE}
    assert [n.bridge for n in found] == [None, None]
    assert [s.gateway for s in found[1].subnets] == [None]


@pytest.mark.parametrize(
    ("gateway", "read_as"),
    [
        ("fd00::1/64", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("", None),
        (None, None),
        ("<nil>", None),
    ],
)
def test_a_gateway_is_read_with_and_without_its_prefix(
    gateway: str | None, read_as: str | None
) -> None:
    (found,), aside = read_networks(with_subnets({"Subnet": "fd00::/64", "Gateway": gateway}))
    assert aside == ()
    assert found.subnets[0].gateway == (ip_address(read_as) if read_as else None)


@pytest.mark.parametrize("gateway", ["nowhere", "10.0.0.300", "10.0.0.1", "fe80::1%eth0"])
def test_a_bad_gateway_costs_only_itself(gateway: str) -> None:
    (found,), (aside,) = read_networks(with_subnets({"Subnet": "fd00::/64", "Gateway": gateway}))
    assert (len(found.subnets), found.subnets[0].gateway) == (1, None)
    assert (aside.kind, aside.item) == ("gateway", gateway)


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"Subnet": ""},
        {"Subnet": "10.0.0.300/33"},
        {"Subnet": "10.0.0.0/33"},
        {"Subnet": "10.0.0.0"},
        {"Subnet": "fe80::%eth0/64"},
        {"Subnet": "1" * 10_000 + "/8"},
        {"Subnet": 10},
    ],
)
def test_a_bad_subnet_is_set_aside_and_its_network_kept(config: Any) -> None:
    (found,), (aside,) = read_networks(with_subnets(config, {"Subnet": "10.1.0.0/16"}))
    assert [str(s.cidr) for s in found.subnets] == ["10.1.0.0/16"]
    assert aside.kind == "subnet"
    assert "of network back" in aside.reason


def test_host_bits_are_let_go_as_older_engines_meant_them() -> None:
    (found,), aside = read_networks(with_subnets({"Subnet": "10.1.2.3/16"}))
    assert ([str(s.cidr) for s in found.subnets], aside) == (["10.1.0.0/16"], ())


def test_a_network_without_address_management_has_no_subnets() -> None:
    for ipam in (None, {}, {"Config": None}, {"Config": []}):
        (found,), aside = read_networks(network(IPAM=ipam))
        assert (found.subnets, aside) == ((), ())


def test_a_bridge_named_as_no_interface_can_be_is_not_believed() -> None:
    option = {"com.docker.network.bridge.name": "../../etc/a name"}
    (found,), _ = read_networks(network(Options=option))
    assert found.bridge == f"br-{ID[:12]}"


def test_the_default_bridge_is_docker0_also_where_the_option_is_not_told() -> None:
    (found,), _ = read_networks(network(Name="bridge", Options=None))
    assert found.bridge == "docker0"


def test_bad_networks_are_set_aside_and_the_rest_kept() -> None:
    bad = [None, [], {}, network(Id=""), network(Id="a b"), network(Name=None), network(Options=[])]
    found, aside = read_networks(*bad, network(Id="cd" * 32))
    assert [n.id for n in found] == ["cd" * 32]
    assert len(aside) == len(bad)


# --- anything at all


def encoded(containers: Any = (), networks: Any = ()) -> bytes:
    """In a report, as a server gets it."""
    engine = Engine(
        "unix:///x", EngineState.ANSWERED, containers=containers, networks=networks, version="1"
    )
    return wire.encode(Report("containers", "o" * 32, 1, 1.0, Engines((engine,))))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["10.0.0.0/8", "fe80::1%e/64", "running", ID, "tcp", "/web", "1.41"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=20,
)


def shaped(*keys: str) -> Any:
    return st.dictionaries(st.sampled_from(keys), JSON, max_size=len(keys))


ITEMS = st.lists(
    JSON
    | shaped("Id", "Names", "Image", "State", "Ports", "Labels", "NetworkSettings", "Health")
    | st.builds(container, Ports=JSON, Labels=JSON, Status=JSON, Created=JSON)
    | st.builds(
        container,
        Id=st.text("0123456789abcdef", min_size=12, max_size=12),
        Ports=st.lists(shaped("PrivatePort", "PublicPort", "Type", "IP")),
        NetworkSettings=st.fixed_dictionaries({"Networks": st.dictionaries(st.text(), JSON)}),
    )
    | st.builds(network, IPAM=JSON, Options=JSON)
    | st.builds(with_subnets, shaped("Subnet", "Gateway"), JSON, Driver=st.text(max_size=9)),
    max_size=6,
)


@pytest.mark.slow
@settings(deadline=None)
@given(ITEMS)
def test_a_list_of_anything_is_read_and_what_is_read_fits_into_a_report(items: list[Any]) -> None:
    answer = json.dumps(items).encode()
    containers, aside = docker_json.containers(answer)
    networks, more = docker_json.networks(answer)
    assert len(containers) + sum(a.kind == "container" for a in aside) == len(items)
    assert len(networks) + sum(a.kind == "network" for a in more) == len(items)
    report = wire.decode(encoded(containers, networks))
    assert isinstance(report.body, Engines)
    assert report.set_aside == ()
    assert report.body.engines[0].containers == containers
    assert report.body.engines[0].networks == networks


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_read_or_is_of_a_wrong_shape(answer: bytes) -> None:
    for read_it in (docker_json.version, docker_json.containers, docker_json.networks):
        with suppress(WrongShape):
            read_it(answer)
    assert len(docker_json.message(answer)) <= 300


def test_an_error_is_told_in_the_engines_own_words() -> None:
    assert docker_json.message(b'{"message":"no such\\n image"}\n') == "no such image"
    assert (
        docker_json.message(b"client version 1.2 is too old\n") == "client version 1.2 is too old"
    )
    assert docker_json.message(b"") == ""
    assert docker_json.message(b'{"message": 7}') == ""
