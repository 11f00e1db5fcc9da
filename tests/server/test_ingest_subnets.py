"""What of a report hosts share: subnets, and the networks of container engines."""

from __future__ import annotations

from mooring.model.container import EngineState
from mooring.model.event import Changed, Entity, Operation
from mooring.model.net import InterfaceKind, SubnetKind
from mooring.model.report import Engines
from mooring.server.db import tables
from tests.server.world import (
    DOCKER,
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
)

# --- subnets


async def test_two_hosts_share_a_lan_and_each_has_its_own_docker_bridge(world: World) -> None:
    for n, name in enumerate(("alpha", "beta"), 5):
        agent = await world.agent()
        await agent.report(docker_machine(name, f"10.0.0.{n}"))
    subnets = await world.items("subnets")
    lan = [s for s in subnets if s["cidr"] == "10.0.0.0/24"]
    assert [(s["host_count"], s["host_id"]) for s in lan] == [(2, None)]
    bridges = [s for s in subnets if s["cidr"] == "172.17.0.0/16"]
    assert sorted(s["host_name"] for s in bridges) == ["alpha", "beta"]
    assert {s["host_count"] for s in bridges} == {1}


async def test_dockers_word_on_its_bridge_stands_when_the_machine_reports_again(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.report(docker_machine())
    before = {s["cidr"]: s for s in await world.items("subnets")}["172.17.0.0/16"]
    assert (before["kind"], before["name"]) == ("virtual_bridge", None)
    await agent.report(Engines((engine(networks=[docker_network()]),)))
    told = {s["cidr"]: s for s in await world.items("subnets")}["172.17.0.0/16"]
    assert told["id"] == before["id"]
    assert (told["kind"], told["name"], told["gateway"]) == (
        "docker_bridge",
        "bridge",
        "172.17.0.1",
    )
    with Heard(world.state) as heard:
        await agent.report(docker_machine())
    after = {s["cidr"]: s for s in await world.items("subnets")}["172.17.0.0/16"]
    assert (after["kind"], after["name"]) == ("docker_bridge", "bridge")
    assert not heard.events


async def test_a_subnet_goes_when_the_last_host_has_left_it(world: World) -> None:
    one, two = await world.agent(), await world.agent()
    here = (interface("eth0", "10.0.0.5/24"),)
    there = (interface("eth0", "10.7.0.5/24"),)
    await one.report(machine("alpha", here))
    await two.report(machine("beta", here))

    async def present() -> set[str]:
        cidrs = {s["cidr"] for s in await world.items("subnets")}
        return cidrs & {"10.0.0.0/24", "10.7.0.0/24"}

    moved = (subnet("10.7.0.0/24"),)
    world.clock.forward(60)
    await one.report(machine("alpha", there, moved))
    assert await present() == {"10.0.0.0/24", "10.7.0.0/24"}
    world.clock.forward(60)
    with Heard(world.state) as heard:
        await two.report(machine("beta", there, moved))
    assert await present() == {"10.7.0.0/24"}
    gone = [e for e in heard.of(Changed) if isinstance(e, Changed)]
    assert (Entity.SUBNET, Operation.DELETED) in {(e.entity, e.operation) for e in gone}


async def test_the_subnet_of_a_deleted_host_goes_with_it(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    (host,) = await world.items("hosts")
    await world.ask("DELETE", f"hosts/{host['id']}")
    assert not await world.items("subnets")


async def test_a_hosts_own_subnet_goes_with_its_interface(world: World) -> None:
    agent = await world.agent()
    await agent.report(docker_machine())
    await agent.report(machine())
    assert "172.17.0.0/16" not in {s["cidr"] for s in await world.items("subnets")}


async def test_an_address_lies_in_the_subnet_of_its_own_interface(world: World) -> None:
    """A bridge that is the host's own and a LAN may have one CIDR."""
    agent = await world.agent()
    clash = machine(
        interfaces=(
            interface("eth0", "192.168.122.7/24"),
            interface("virbr0", "192.168.122.1/24", kind=InterfaceKind.BRIDGE),
        ),
        subnets=(
            subnet("192.168.122.0/24", interface="eth0"),
            subnet("192.168.122.0/24", SubnetKind.VIRTUAL_BRIDGE, interface="virbr0"),
        ),
    )
    await agent.report(clash)
    kinds = {s["id"]: s["kind"] for s in await world.items("subnets")}
    rows = await world.rows(tables.address)
    assert {row["ip"]: kinds[row["subnet_id"]] for row in rows} == {
        "192.168.122.7": "lan",
        "192.168.122.1": "virtual_bridge",
    }


async def test_a_macvlan_network_does_not_make_a_macvlan_of_the_lan(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    network = docker_network("10.0.0.0/24", "lan", "macvlan", SubnetKind.MACVLAN)
    await agent.report(Engines((engine(networks=[network]),)))
    lan = {s["cidr"]: s for s in await world.items("subnets")}["10.0.0.0/24"]
    assert (lan["kind"], lan["source"], lan["gateway"]) == ("lan", "machine", "10.0.0.1")
    # Nor when Docker was asked before any machine was seen on that LAN.
    other = await world.agent()
    await other.report(machine("beta", (loopback(),), ()))
    network = docker_network("10.3.0.0/24", "lan", "macvlan", SubnetKind.MACVLAN)
    await other.report(Engines((engine(networks=[network]),)))
    await agent.report(machine(interfaces=(interface("eth0", "10.3.0.5/24"),), subnets=(
        subnet("10.3.0.0/24"),)))  # fmt: skip
    lan = {s["cidr"]: s for s in await world.items("subnets")}["10.3.0.0/24"]
    assert (lan["kind"], lan["source"]) == ("lan", "machine")


async def test_a_shared_network_that_no_engine_tells_of_any_more_goes_after_a_day(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.report(machine())
    overlay = docker_network("10.20.0.0/24", "swarm", "overlay", SubnetKind.OVERLAY)
    await agent.report(Engines((engine(networks=[overlay]),)))
    for _ in range(3):
        world.clock.forward(6 * 3600)
        await agent.report(Engines((engine(),)))
        await agent.report(machine())
    assert "10.20.0.0/24" in {s["cidr"] for s in await world.items("subnets")}
    world.clock.forward(12 * 3600)
    await agent.report(machine())
    assert "10.20.0.0/24" not in {s["cidr"] for s in await world.items("subnets")}


async def test_one_host_that_cannot_tell_a_subnets_kind_takes_nothing_from_others(
    world: World,
) -> None:
    one, two = await world.agent(), await world.agent()
    await one.report(machine("alpha"))
    with Heard(world.state) as heard:
        await two.report(
            machine(
                "beta",
                (interface("eth0", "10.0.0.6/24"),),
                (subnet("10.0.0.0/24", SubnetKind.UNKNOWN),),
            )
        )
    lan = await world.one("subnets", q="10.0.0.0/24")
    assert (lan["kind"], lan["gateway"], lan["host_count"]) == ("lan", "10.0.0.1", 2)
    assert Entity.SUBNET not in {e.entity for e in heard.events if isinstance(e, Changed)}


# --- engines


async def test_an_engine_that_did_not_answer_keeps_its_containers_and_networks(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.report(docker_machine())
    podman = engine(
        container("sidecar"),
        socket=PODMAN,
        networks=[docker_network("10.88.0.0/16", "podman", kind=SubnetKind.PODMAN_BRIDGE)],
    )
    await agent.report(Engines((engine(container("web"), networks=[docker_network()]), podman)))
    before = await world.items("subnets")
    for state in EngineState:
        if state is EngineState.ANSWERED:
            continue
        world.clock.forward(60)
        await agent.report(Engines((dead(state=state), podman)))
        assert [c["name"] for c in await world.items("containers")] == ["sidecar", "web"]
        assert [s["cidr"] for s in await world.items("subnets")] == [s["cidr"] for s in before]
    # Neither do both at once lose anything.
    await agent.report(Engines((dead(), dead(PODMAN))))
    assert len(await world.items("containers")) == 2
    # The first to answer again says what is there.
    await agent.report(Engines((engine(container("db"), networks=[docker_network()]), podman)))
    assert [c["name"] for c in await world.items("containers")] == ["db", "sidecar"]


async def test_a_network_that_an_answering_engine_no_longer_has_goes(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    two = [docker_network(), docker_network("172.18.0.0/16", "shop_default")]
    await agent.report(Engines((engine(networks=two), dead(PODMAN, EngineState.DENIED))))
    await agent.report(Engines((engine(networks=two[:1]), dead(PODMAN, EngineState.DENIED))))
    cidrs = {s["cidr"] for s in await world.items("subnets")}
    assert "172.17.0.0/16" in cidrs
    assert "172.18.0.0/16" not in cidrs


async def test_one_container_name_in_two_engines_is_two_containers(world: World) -> None:
    agent = await world.agent()
    await agent.report(Engines((engine(container("web")), engine(container("web"), socket=PODMAN))))
    found = await world.items("containers")
    assert {c["engine"] for c in found} == {DOCKER, PODMAN}
