"""UDP in frames, over the program that would run on the remote host; here it runs beside us."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from mooring.core.tasks import Tasks
from mooring.forward import udp
from mooring.forward.plan import plan
from mooring.forward.transport import Gate, Stream, Tally
from mooring.forward.tunnels import Tunnels
from mooring.model.forward import Place, Target, Wanted
from tests.forward.fakes import Host, Link, free_port, until


class Answers(asyncio.DatagramProtocol):
    """Answers each datagram with its name and from where it came."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport
        self.transport.sendto(f"{self.name} {addr[1]} ".encode() + data, addr)


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """A UDP program; yields its port."""
    loop = asyncio.get_running_loop()
    made, _ = await loop.create_datagram_endpoint(
        lambda: Answers("dns"), local_addr=("127.0.0.1", 0)
    )
    yield made.get_extra_info("sockname")[1]
    made.close()


class Lab:
    """Tunnels with a link on which UDP ports can be opened."""

    def __init__(self, tasks: Tasks) -> None:
        self.host = Host()
        self.gate = Gate()
        self.tunnels = Tunnels(self.gate, tasks, lambda why: None)
        self.links: list[Link] = []

    def live(self) -> Link:
        self.links.append(Link(self.host))
        self.gate.open(self.links[-1])
        return self.links[-1]

    async def forward(self, *targets: int) -> list[int]:
        """Forward free ports to these; answers them."""
        wanted = [
            Wanted(
                Place("udp", "127.0.0.1", free_port(socket.SOCK_DGRAM)),
                Target("127.0.0.1", target), "id", "dns", 53, 1.0,
            )
            for target in targets
        ]  # fmt: skip
        assert await self.tunnels.apply(plan(wanted, self.tunnels.actual)) == {}
        return [each.place.port for each in wanted]

    def tally(self, port: int) -> Tally:
        return self.tunnels.listeners[Place("udp", "127.0.0.1", port)].tally


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Tasks("test") as tasks:
        made = Lab(tasks)
        yield made
        await made.tunnels.close()
    for link in made.links:
        await link.close()


class Client:
    """A UDP client that is sure to be another than others: its own port."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))

    async def ask(self, data: bytes, *, tries: int = 1, within: float = 2.0) -> bytes:
        loop = asyncio.get_running_loop()
        for _ in range(tries):
            await loop.sock_sendall(self.socket, data)
            try:
                async with asyncio.timeout(within):
                    return await loop.sock_recv(self.socket, 65535)
            except TimeoutError:
                continue
        raise AssertionError("no answer")

    def close(self) -> None:
        self.socket.close()


async def test_a_datagram_goes_there_and_its_answer_comes_back(lab: Lab, server: int) -> None:
    lab.live()
    (port,) = await lab.forward(server)
    client = Client(port)
    answer = await client.ask(b"who?")
    assert answer.startswith(b"dns ")
    assert answer.endswith(b" who?")
    assert await client.ask(b"x" * 40_000) != b""
    tally = lab.tally(port)
    assert (tally.connections, tally.bytes_out) == (1, 40_004)
    assert (tally.bytes_in or 0) > 40_004
    client.close()


async def test_each_client_gets_its_own_answers_and_its_own_socket_there(
    lab: Lab, server: int
) -> None:
    lab.live()
    (port,) = await lab.forward(server)
    clients = [Client(port) for _ in range(20)]
    answers = await asyncio.gather(*(c.ask(b"%d" % n) for n, c in enumerate(clients)))
    assert [a.split()[2] for a in answers] == [b"%d" % n for n in range(20)]
    assert len({a.split()[1] for a in answers}) == 20
    for client in clients:
        client.close()


async def test_many_ports_are_served_by_one_remote_program(lab: Lab, server: int) -> None:
    link = lab.live()
    ports = await lab.forward(*[server] * 30)
    clients = [Client(port) for port in ports]
    await asyncio.gather(*(client.ask(b"x") for client in clients))
    assert len(link.ran) == 1
    for client in clients:
        client.close()


async def test_datagrams_that_come_while_the_link_is_down_are_sent_when_it_is_back(
    lab: Lab, server: int
) -> None:
    (port,) = await lab.forward(server)
    client = Client(port)
    asking = asyncio.gather(client.ask(b"early"))
    await until(lambda: lab.tally(port).connections == 1)
    lab.live()
    (answer,) = await asking
    assert answer.endswith(b" early")
    client.close()


async def test_a_client_is_served_over_the_next_link_too(lab: Lab, server: int) -> None:
    first = lab.live()
    (port,) = await lab.forward(server)
    client = Client(port)
    await client.ask(b"one")
    lab.gate.shut()
    first.kill()
    lab.live()
    assert (await client.ask(b"two", tries=15, within=0.2)).endswith(b" two")
    assert lab.tally(port).connections == 1
    client.close()


class Breaks(Link):
    """A link that breaks when a program has just been started over it."""

    async def open_process(self, command: str) -> Stream:
        reader, writer = await super().open_process("cat")
        reader.set_exception(ConnectionResetError("the remote side closed it"))  # type: ignore[attr-defined]
        return reader, writer


async def test_a_link_that_breaks_before_the_remote_program_has_greeted_ends_no_relay(
    lab: Lab, server: int
) -> None:
    (port,) = await lab.forward(server)
    lab.gate.open(breaks := Breaks(lab.host))
    lab.links.append(breaks)
    await until(lambda: breaks.ran)
    await asyncio.sleep(0.05)
    lab.gate.shut()
    lab.live()
    client = Client(port)
    assert (await client.ask(b"two", tries=15, within=0.2)).endswith(b" two")
    client.close()


async def test_a_remote_program_that_ends_is_started_again_on_the_same_link(
    lab: Lab, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "BACKOFF", replace(udp.BACKOFF, first=0.01))
    link = lab.live()
    (port,) = await lab.forward(server)
    client = Client(port)
    await client.ask(b"one")
    link._streams[-1].transport.abort()
    assert (await client.ask(b"two", tries=15, within=0.2)).endswith(b" two")
    assert len(link.ran) == 2
    client.close()


async def test_a_port_that_leads_elsewhere_sends_there_from_then_on(lab: Lab, server: int) -> None:
    loop = asyncio.get_running_loop()
    made, _ = await loop.create_datagram_endpoint(
        lambda: Answers("other"), local_addr=("127.0.0.1", 0)
    )
    lab.live()
    (port,) = await lab.forward(server)
    client = Client(port)
    assert (await client.ask(b"x")).startswith(b"dns ")
    place = Place("udp", "127.0.0.1", port)
    target = Target("127.0.0.1", made.get_extra_info("sockname")[1])
    new = replace(lab.tunnels.actual[place], target=target)
    await lab.tunnels.apply(plan([new], lab.tunnels.actual))
    assert (await client.ask(b"x")).startswith(b"other ")
    client.close()
    made.close()


async def test_a_port_without_a_program_behind_it_disturbs_no_other(lab: Lab, server: int) -> None:
    lab.live()
    nobody, fine = await lab.forward(free_port(socket.SOCK_DGRAM), server)
    lost, client = Client(nobody), Client(fine)
    for _ in range(3):
        with pytest.raises(AssertionError):
            await lost.ask(b"x", within=0.05)
    assert (await client.ask(b"y")).endswith(b" y")
    lost.close()
    client.close()


async def test_clients_beyond_the_bound_cost_the_one_silent_for_longest(
    lab: Lab, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "MAX_CLIENTS", 3)
    lab.live()
    (port,) = await lab.forward(server)
    clients = [Client(port) for _ in range(5)]
    for client in clients:
        await client.ask(b"x")
    relay = lab.tunnels._relay
    assert len(relay._clients) == len(relay._by_number) == 3
    before = lab.tally(port).connections
    await clients[4].ask(b"x")
    assert lab.tally(port).connections == before
    await clients[0].ask(b"x")
    assert lab.tally(port).connections == before + 1
    for client in clients:
        client.close()


async def test_a_remote_host_without_python_is_told_of(lab: Lab, server: int) -> None:
    lab.host.path = "/nothing/here"
    lab.live()
    (port,) = await lab.forward(server)
    await until(lambda: lab.tally(port).detail)
    assert "it needs python3 on the remote host" in lab.tally(port).detail


async def test_a_port_that_is_let_go_forgets_its_clients(lab: Lab, server: int) -> None:
    lab.live()
    (port,) = await lab.forward(server)
    client = Client(port)
    await client.ask(b"x")
    await lab.tunnels.apply(plan([], lab.tunnels.actual))
    assert lab.tunnels._relay._by_number == {}
    assert lab.tunnels._relay._ports == set()
    client.close()
