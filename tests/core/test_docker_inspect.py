"""What a list of containers lacks, and one container's own answer has."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core import docker_json
from mooring.core.docker_inspect import Inspected, complete, inspected, lacks
from mooring.model.container import Container, EngineKind, PublishedPort

PODMAN = Path(__file__).parents[1] / "data" / "docker" / "podman-4.3"
DOCKER = Path(__file__).parents[1] / "data" / "docker" / "engine-20.10"
WEB = Container("a" * 64, "web", "nginx:1.25", "running", ports=(PublishedPort("tcp", 80),))


def podmans() -> dict[str, Container]:
    """The containers of the recorded Podman as they are told in the end."""
    listed, _ = docker_json.containers((PODMAN / "containers.json").read_bytes())
    own = {c.id: (PODMAN / "containers" / f"{c.id}.json").read_bytes() for c in listed}
    return {c.name: complete(c, inspected(own[c.id])) for c in listed}


def test_podman_s_list_has_of_a_published_range_the_first_and_the_container_all() -> None:
    listed, _ = docker_json.containers((PODMAN / "containers.json").read_bytes())
    assert [p.host_port for c in listed if c.name == "ranged" for p in c.ports] == [19005]
    assert podmans()["ranged"].ports == tuple(
        PublishedPort("tcp", port, None, 19000 + port) for port in range(5, 9)
    )


def test_podman_s_health_is_known() -> None:
    health = {name: c.health for name, c in podmans().items()}
    assert health == {"web": "healthy", "db": "starting", "ranged": "starting"} | {
        "never-started": None
    }


def test_a_port_that_is_published_for_one_address_has_it() -> None:
    assert podmans()["web"].ports == (
        PublishedPort("udp", 53, ip_address("127.0.0.1"), 18053),
        PublishedPort("tcp", 80, None, 18080),
    )


def test_nothing_more_is_asked_of_a_docker_whose_list_says_all() -> None:
    listed, _ = docker_json.containers((DOCKER / "containers.json").read_bytes())
    assert not any(lacks(c, EngineKind.DOCKER) for c in listed)


@pytest.mark.parametrize("image", ["sha256:" + "ab" * 32, "ab" * 32, "0123456789ab"])
def test_an_image_that_has_lost_its_name_is_asked_for(image: str) -> None:
    nameless = replace(WEB, image=image)
    assert lacks(nameless, EngineKind.DOCKER)
    told = inspected(json.dumps({"Config": {"Image": "redis:7"}}).encode())
    assert complete(nameless, told) == replace(WEB, image="redis:7")


def test_an_answer_that_says_nothing_takes_nothing_away() -> None:
    healthy = replace(WEB, health="healthy")
    assert complete(healthy, inspected(b'{"Config": {}}')) == healthy


def test_an_exposed_port_is_one_that_is_not_published() -> None:
    said = {"Config": {}, "NetworkSettings": {"Ports": {"6379/tcp": None}}}
    assert inspected(json.dumps(said).encode()).ports == (PublishedPort("tcp", 6379),)


@pytest.mark.parametrize("place", ["0/tcp", "65536/tcp", "x/tcp", "80", "80/", "80/t c", ""])
def test_a_port_that_makes_no_sense_is_left_out(place: str) -> None:
    ports = {place: [{"HostIp": "", "HostPort": "1"}], "81/tcp": [{"HostPort": "x"}]}
    good = {"82/tcp": [{"HostIp": "", "HostPort": "82"}]}
    said = {"Config": {}, "NetworkSettings": {"Ports": {**ports, **good}}}
    assert inspected(json.dumps(said).encode()).ports == (PublishedPort("tcp", 82, None, 82),)


def test_ports_without_end_are_bounded() -> None:
    ports = {f"{n}/tcp": [{"HostPort": str(n)}] for n in range(1, 60_000)}
    said = {"Config": {}, "NetworkSettings": {"Ports": ports}}
    assert len(inspected(json.dumps(said).encode()).ports) == docker_json.MAX_PORTS


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"Config": junk, "State": junk, "NetworkSettings": junk}) | junk)
def test_whatever_is_answered_is_read_or_told_to_be_of_another_shape(said: Any) -> None:
    with contextlib.suppress(docker_json.WrongShape):
        assert isinstance(inspected(json.dumps(said).encode()), Inspected)
