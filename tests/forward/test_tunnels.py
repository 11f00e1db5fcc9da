"""Listeners that outlive the link: what is held, refused, retargeted, let go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from mooring.core.tasks import Tasks
from mooring.forward.plan import Plan, plan
from mooring.forward.transport import Gate
from mooring.forward.tunnels import Limits, Tunnels
from mooring.model.forward import Place, Target, Wanted
from tests.forward.fakes import Host, Link, free_port, hear, program, until


@dataclass
class Lab:
    """Tunnels to a host on which two programs listen, at its ports 80 and 81."""

    host: Host
    gate: Gate
    tunnels: Tunnels
    tasks: Tasks
    troubles: list[str] = field(default_factory=list)

    def live(self) -> Link:
        link = Link(self.host)
        self.host.links.append(link)
        self.gate.open(link)
        return link


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with program("one") as one, program("two") as two, Tasks("test") as tasks:
        host = Host()
        host.programs = {80: one, 81: two}
        gate = Gate()
        troubles: list[str] = []
        tunnels = Tunnels(gate, tasks, troubles.append, Limits(hold=0.5, held=3))
        yield Lab(host, gate, tunnels, tasks, troubles)
        await tunnels.close()


def want(port: int, target: int = 80, container: str = "web", protocol: str = "tcp") -> Wanted:
    place = Place(protocol, "127.0.0.1", port)
    return Wanted(place, Target("127.0.0.1", target), "id", container, target, 1.0)


async def apply(lab: Lab, *wanted: Wanted) -> dict[Place, str]:
    return await lab.tunnels.apply(plan(wanted, lab.tunnels.actual))


async def test_a_connection_is_carried_both_ways_and_half_closed(lab: Lab) -> None:
    lab.live()
    port = free_port()
    await apply(lab, want(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readline() == b"one\n"
    writer.write(b"question")
    assert await reader.readexactly(8) == b"question"
    writer.write_eof()
    assert await reader.read() == b"bye"
    writer.close()
    tally = lab.tunnels.listeners[want(port).place].tally
    await until(lambda: tally.active == 0)
    assert (tally.connections, tally.bytes_in, tally.bytes_out) == (1, 15, 8)


async def test_while_the_link_is_down_a_connection_is_accepted_held_and_then_served(
    lab: Lab,
) -> None:
    port = free_port()
    await apply(lab, want(port))
    heard = lab.tasks.start("client", hear(port))
    await until(lambda: lab.tunnels.held == 1)
    lab.live()
    assert await heard == "one"
    assert lab.tunnels.held == 0
    assert lab.tunnels.counts.waited == 1


async def test_what_a_held_client_says_meanwhile_arrives(lab: Lab) -> None:
    port = free_port()
    await apply(lab, want(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"early")
    writer.write_eof()
    await until(lambda: lab.tunnels.held == 1)
    lab.live()
    assert await reader.read() == b"one\nearlybye"
    writer.close()


async def test_a_connection_is_not_held_for_longer_than_its_time(lab: Lab) -> None:
    port = free_port()
    await apply(lab, want(port))
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionResetError):
        await hear(port)
    assert asyncio.get_running_loop().time() - began >= 0.5
    tally = lab.tunnels.listeners[want(port).place].tally
    assert tally.detail == "holding a connection for the link: it was not back within 0.5 s"
    assert lab.tunnels.counts.failed == 1


async def test_connections_that_are_held_in_vain_are_logged_once_in_an_outage(lab: Lab) -> None:
    port = free_port()
    with capture_logs() as logged:
        tunnels = Tunnels(lab.gate, lab.tasks, lab.troubles.append, Limits(hold=0.1))
        await tunnels.apply(plan([want(port)], {}))
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await hear(port)
        await tunnels.close()
    (told,) = (entry for entry in logged if entry["event"] == "held_in_vain")
    assert (told["why"], told["held"]) == ("it was not back within 0.1 s", 1)


async def test_no_more_connections_are_held_than_the_bound(lab: Lab) -> None:
    port = free_port()
    await apply(lab, want(port))
    held = [lab.tasks.start("client", hear(port)) for _ in range(3)]
    await until(lambda: lab.tunnels.held == 3)
    with pytest.raises(ConnectionResetError):
        await hear(port)
    lab.live()
    assert await asyncio.gather(*held) == ["one"] * 3


async def test_when_the_remote_side_refuses_only_that_client_is_reset(lab: Lab) -> None:
    lab.live()
    port, other = free_port(), free_port()
    await apply(lab, want(port, 99), want(other))
    with pytest.raises(ConnectionResetError):
        await hear(port)
    tally = lab.tunnels.listeners[want(port).place].tally
    assert tally.refused == 1
    assert tally.detail == "connecting to 127.0.0.1:99: connection refused"
    assert await hear(other) == "one"
    assert lab.troubles == []


async def test_a_failure_is_forgotten_when_the_next_connection_passes(lab: Lab) -> None:
    lab.live()
    port = free_port()
    one = lab.host.programs.pop(80)
    await apply(lab, want(port))
    with pytest.raises(ConnectionResetError):
        await hear(port)
    tally = lab.tunnels.listeners[want(port).place].tally
    assert tally.detail
    lab.host.programs[80] = one
    assert await hear(port) == "one"
    await until(lambda: not tally.detail)


async def test_a_container_that_listens_on_nothing_is_said_to(lab: Lab) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As Docker's proxy does when the container refuses it.
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    lab.live()
    lab.host.programs[82] = server.sockets[0].getsockname()[1]
    port = free_port()
    await apply(lab, want(port, 82))
    tally = lab.tunnels.listeners[want(port).place].tally
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.write_eof()
    await until(lambda: "closed there without a word" in tally.detail)
    assert "whether anything in web listens on port 82" in tally.detail
    writer.close()
    server.close()


async def test_a_client_that_says_and_hears_nothing_is_no_fault(lab: Lab) -> None:
    lab.live()
    port = free_port()
    await apply(lab, want(port))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    tally = lab.tunnels.listeners[want(port).place].tally
    await until(lambda: tally.connections == 1 and not tally.active)
    assert tally.detail == ""


async def test_what_is_logged_of_a_port_names_its_host(lab: Lab) -> None:
    with capture_logs() as logged:
        tunnels = Tunnels(lab.gate, lab.tasks, lab.troubles.append, host="ssh://build")
        port = free_port()
        await tunnels.apply(plan([want(port)], {}))
        await tunnels.close()
    assert {(e["event"], e["host"]) for e in logged} == {
        ("forward_opened", "ssh://build"),
        ("forward_closed", "ssh://build"),
    }


async def test_a_link_found_dead_is_told_of_and_the_client_served_by_the_next(lab: Lab) -> None:
    dead = lab.live()
    dead.kill()
    port = free_port()
    await apply(lab, want(port))
    heard = lab.tasks.start("client", hear(port))
    await until(lambda: lab.troubles)
    assert lab.troubles == ["using the link: reset by peer"]
    assert not heard.done()
    lab.live()
    assert await heard == "one"


async def test_a_link_that_turned_out_good_is_tried_again_by_who_found_it_hanging(
    lab: Lab,
) -> None:
    link = lab.live()
    link._dead = True
    port = free_port()
    await apply(lab, want(port))
    heard = lab.tasks.start("client", hear(port))
    await until(lambda: lab.troubles)
    link._dead = False
    lab.gate.open(link)
    assert await heard == "one"


async def test_a_port_that_goes_to_another_container_refuses_nobody_in_between(lab: Lab) -> None:
    lab.live()
    port = free_port()
    await apply(lab, want(port, 80, "old"))
    heard: list[str] = []

    async def ask_on() -> None:
        while "two" not in heard:
            heard.append(await hear(port))

    asking = lab.tasks.start("client", ask_on())
    await until(lambda: heard)
    before = lab.tunnels.listeners[want(port).place].socket
    await apply(lab, want(port, 81, "new"))
    await asking
    assert heard[-1] == "two"
    assert lab.tunnels.listeners[want(port).place].socket is before
    assert lab.tunnels.actual[want(port).place].container == "new"


async def test_a_connection_that_is_carried_outlives_its_port(lab: Lab) -> None:
    lab.live()
    port = free_port()
    await apply(lab, want(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    await apply(lab)
    with pytest.raises(ConnectionRefusedError):
        await hear(port)
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    writer.close()


async def test_a_taken_port_names_the_program_and_stops_no_other(lab: Lab) -> None:
    lab.live()
    free = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        failed = await apply(lab, want(taken), want(free))
        (place,) = failed
        assert place.port == taken
        assert "is taken by" in failed[place]
        assert "(process " in failed[place]
        assert failed[place].endswith(f"such as --remap 80={taken + 1}")
        assert await hear(free) == "one"
    assert await apply(lab, want(taken), want(free)) == {}
    assert await hear(taken) == "one"


async def test_an_address_that_is_not_of_this_machine_is_told(lab: Lab) -> None:
    elsewhere = replace(want(80), place=Place("tcp", "192.0.2.1", free_port()))
    failed = await apply(lab, elsewhere)
    assert failed == {elsewhere.place: "192.0.2.1 is not an address of this machine: see --bind"}


async def test_every_port_is_let_go_at_once_and_none_is_opened_afterwards(lab: Lab) -> None:
    ports = [free_port() for _ in range(50)]
    wanted = [want(port) for port in dict.fromkeys(ports)]
    await apply(lab, *wanted)
    assert len(lab.tunnels.listeners) == len(wanted)
    began = asyncio.get_running_loop().time()
    await lab.tunnels.close()
    assert asyncio.get_running_loop().time() - began < 0.5
    assert lab.tunnels.listeners == {}
    assert await lab.tunnels.apply(Plan(open=(want(ports[0]),))) == {}
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await hear(port)


async def test_a_client_that_is_gone_before_it_is_served_harms_nobody(lab: Lab) -> None:
    port = free_port()
    await apply(lab, want(port))
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.abort()
    await until(lambda: lab.tunnels.held == 3)
    lab.live()
    await until(lambda: lab.tunnels.held == 0)
    assert await hear(port) == "one"
