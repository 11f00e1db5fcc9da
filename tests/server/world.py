"""A server in this process, the agents that report to it and the people who look at it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import ColumnElement, Table, func, select, true

from mooring.core.ids import new_id
from mooring.model import wire
from mooring.model.can import CanWiring
from mooring.model.container import (
    Container,
    Engine,
    EngineKind,
    EngineNetwork,
    EngineState,
)
from mooring.model.event import Event
from mooring.model.forward import Forwards
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    Neighbour,
    NeighbourState,
    Route,
    Subnet,
    SubnetKind,
)
from mooring.model.report import Body, Engines, Report, RunMark, SetAside
from mooring.model.scan import Scan
from mooring.server import auth
from mooring.server.db import keys, networks
from mooring.server.state import State

NOON = 1_800_000_000.0
DOCKER = "unix:///var/run/docker.sock"
SUBJECTS: dict[type[Body], str] = {
    Machine: "machine",
    Engines: "containers",
    Forwards: "forwards",
    CanWiring: "can",
}
PODMAN = "unix:///run/podman/podman.sock"

any_database = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
"""For what no database has a part in: once is enough."""


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


class World:
    """``await world.get("hosts")`` asks as an owner; ``agent()`` makes somebody who reports.

    ``app`` is a server's app, made once for all tests, since its routes take a while to be built:
    it is given the state of this world.
    """

    def __init__(self, state: State, app: FastAPI) -> None:
        self.state = state
        self.app = app
        app.state.mooring = state
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://mooring.test",
        )
        self.secrets: dict[str, str] = {}
        self.home = ""

    async def __aenter__(self) -> Self:
        async with self.state.database.write() as connection:
            self.home = (await networks.ensure_home(connection, self.clock()))["id"]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    @property
    def clock(self) -> Clock:
        assert isinstance(self.state.clock, Clock)
        return self.state.clock

    # --- keys

    async def key(self, role: str = "viewer", **more: Any) -> str:
        """The text of a new key; ``network_id`` makes it an agent's."""
        values = {"network_id": None, "expires_at": None, "name": role, **more}
        kind = "agent" if values["network_id"] else "user"
        async with self.state.database.write() as connection:
            secret, row = await auth.create_key(
                connection, kind=kind, role=role, now=self.clock(), **values
            )
            # So that its first use need not be noted, in a transaction of its own.
            await keys.used(connection, row["id"], self.clock())
        return secret

    async def headers(self, role: str) -> dict[str, str]:
        """What a request of this role carries; ``agent`` is one of the network home."""
        if role == "nobody":
            return {}
        if role not in self.secrets:
            self.secrets[role] = (
                await self.key(name="agent", network_id=self.home)
                if role == "agent"
                else await self.key(role)
            )
        return bearer(self.secrets[role])

    # --- requests

    async def ask(
        self, method: str, path: str, *, by: str = "owner", **more: Any
    ) -> httpx2.Response:
        headers = {**await self.headers(by), **more.pop("headers", {})}
        url = path if path.startswith("/") else f"/api/v1/{path}"
        return await self.http.request(method, url, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """The JSON of a 200."""
        answer = await self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def items(self, path: str, **params: Any) -> list[Any]:
        found: list[Any] = (await self.get(path, params={"limit": 1000, **params}))["items"]
        return found

    async def one(self, path: str, **params: Any) -> Any:
        (found,) = await self.items(path, **params)
        return found

    async def agent(self, **more: Any) -> Reporter:
        network = more.pop("network_id", self.home)
        return Reporter(self, await self.key(name="agent", network_id=network), **more)

    # --- what is stored

    async def rows(self, table: Table, *where: ColumnElement[bool]) -> list[dict[str, Any]]:
        query = select(table).where(true(), *where).order_by(*table.primary_key)
        async with self.state.database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def count(self, table: Table) -> int:
        async with self.state.database.read() as connection:
            query = select(func.count()).select_from(table)
            return (await connection.execute(query)).scalar_one()


class Reporter:
    """An agent as the server sees it: it numbers its reports, and says them."""

    def __init__(self, world: World, key: str, outbox: str | None = None) -> None:
        self.world = world
        self.key = key
        self.outbox = outbox or new_id()
        self.number = 0

    async def post(self, path: str, **more: Any) -> httpx2.Response:
        return await self.world.http.post(f"/api/v1/{path}", headers=bearer(self.key), **more)

    async def send(
        self,
        body: Body,
        *,
        number: int | None = None,
        runs: Iterable[RunMark] = (),
        set_aside: Iterable[SetAside] = (),
    ) -> httpx2.Response:
        if number is None:
            self.number += 1
            number = self.number
        subject = f"scan:{body.block}" if isinstance(body, Scan) else SUBJECTS[type(body)]
        report = Report(
            subject, self.outbox, number, self.world.clock(), body, tuple(runs), tuple(set_aside)
        )
        return await self.post("reports", content=wire.encode(report))

    async def report(self, body: Body, **more: Any) -> str:
        """Send a report that is taken; answers ``stored`` or ``seen``."""
        answer = await self.send(body, **more)
        assert answer.status_code == 200, answer.text
        result: str = answer.json()["result"]
        return result

    async def poll(self, **said: Any) -> Any:
        body = {"outbox": self.outbox, "version": "1", "name": "alpha", **said}
        answer = await self.post("agents/poll", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def progress(self, run: str, state: str, **said: Any) -> httpx2.Response:
        body = {"outbox": self.outbox, "state": state, **said}
        return await self.post(f"runs/{run}/progress", json=body)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


class Heard:
    """What a bus told while ``with`` lasted."""

    def __init__(self, state: State) -> None:
        self._subscription = state.bus.subscribe(size=100_000)

    def __enter__(self) -> Self:
        self._subscription.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._subscription.__exit__(*error)

    @property
    def events(self) -> list[Event]:
        return list(self._subscription._events)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


# --- what machines look like


def interface(
    name: str,
    *ips: str,
    kind: InterfaceKind = InterfaceKind.ETHERNET,
    mac: str | None = None,
    **more: Any,
) -> Interface:
    """An interface that is up: ``interface("eth0", "10.0.0.5/24")``."""
    addresses = tuple(Address(i.ip, i.network.prefixlen) for i in map(ipaddress.ip_interface, ips))
    values: dict[str, Any] = {"index": 2, "mtu": 1500, "state": InterfaceState.UP, **more}
    return Interface(name=name, kind=kind, mac=mac, addresses=addresses, **values)


def loopback() -> Interface:
    return interface("lo", "127.0.0.1/8", "::1/128", kind=InterfaceKind.LOOPBACK, index=1)


def bridge(name: str, ip: str) -> Interface:
    return interface(name, ip, kind=InterfaceKind.BRIDGE, mac="02:42:00:00:00:01", index=9)


def subnet(cidr: str, kind: SubnetKind = SubnetKind.LAN, **more: Any) -> Subnet:
    return Subnet(ipaddress.ip_network(cidr), kind, **more)


def machine(
    hostname: str = "alpha",
    interfaces: Sequence[Interface] | None = None,
    subnets: Sequence[Subnet] | None = None,
    **more: Any,
) -> Machine:
    """A machine: by default one with a loopback and an address in 10.0.0.0/24."""
    if interfaces is None:
        interfaces = (loopback(), interface("eth0", "10.0.0.5/24", mac=mac(hostname)))
    if subnets is None:
        subnets = (
            subnet("127.0.0.0/8", SubnetKind.LOOPBACK, interface="lo"),
            subnet("10.0.0.0/24", interface="eth0", gateway=ipaddress.ip_address("10.0.0.1")),
        )
    values: dict[str, Any] = {
        "identity": f"identity of {hostname}",
        "os": OperatingSystem("Debian GNU/Linux 12", "Linux 6.1", "x86_64"),
        "routes": (Route(4, None, ipaddress.ip_address("10.0.0.1"), "eth0", 100),),
        "neighbours": (
            Neighbour(
                ipaddress.ip_address("10.0.0.1"), "eth0", NeighbourState.REACHABLE, mac("router")
            ),
        ),
        "capabilities": (Capability("netlink", True),),
    }
    return Machine(
        hostname=hostname,
        interfaces=tuple(interfaces),
        subnets=tuple(subnets),
        **(values | more),
    )


def mac(of: str) -> str:
    """A hardware address that is always the same for the same name."""
    return "02:" + of.encode().ljust(5, b"\0")[-5:].hex(":")


def docker_machine(hostname: str = "alpha", ip: str = "10.0.0.5") -> Machine:
    """A machine with Docker's default bridge, as it looks before Docker was asked."""
    return machine(
        hostname,
        (
            loopback(),
            interface("eth0", f"{ip}/24", mac=mac(hostname)),
            bridge("docker0", "172.17.0.1/16"),
        ),
        (
            subnet("127.0.0.0/8", SubnetKind.LOOPBACK, interface="lo"),
            subnet("10.0.0.0/24", interface="eth0"),
            subnet("172.17.0.0/16", SubnetKind.VIRTUAL_BRIDGE, interface="docker0"),
        ),
    )


def wide(count: int, hostname: str = "wide") -> Machine:
    """A machine with very many interfaces, each with an address in a subnet of its own."""
    interfaces = [loopback()]
    subnets = [subnet("127.0.0.0/8", SubnetKind.LOOPBACK, interface="lo")]
    for n in range(count):
        net = f"10.{n >> 8}.{n & 255}"
        interfaces.append(interface(f"eth{n}", f"{net}.1/24", f"fd00:0:0:{n:x}::1/64", index=n + 2))
        subnets.append(subnet(f"{net}.0/24", interface=f"eth{n}"))
        subnets.append(subnet(f"fd00:0:0:{n:x}::/64", interface=f"eth{n}"))
    return machine(hostname, interfaces, subnets)


def container(name: str, **more: Any) -> Container:
    digits = name.encode().hex().ljust(64, "0")[:64]
    return Container(digits, name, more.pop("image", "nginx:1.27"), "running", **more)


def engine(
    *containers: Container,
    socket: str = DOCKER,
    networks: Sequence[EngineNetwork] = (),
    kind: EngineKind = EngineKind.DOCKER,
) -> Engine:
    return Engine(
        socket,
        EngineState.ANSWERED,
        kind,
        "27.0",
        elapsed_ms=3.0,
        containers=containers,
        networks=tuple(networks),
    )


def dead(socket: str = DOCKER, state: EngineState = EngineState.TIMED_OUT) -> Engine:
    return Engine(socket, state, detail="asking the engine: no answer within 5 s", elapsed_ms=5000)


def docker_network(
    cidr: str = "172.17.0.0/16",
    name: str = "bridge",
    driver: str = "bridge",
    kind: SubnetKind = SubnetKind.DOCKER_BRIDGE,
) -> EngineNetwork:
    gateway = next(ipaddress.ip_network(cidr).hosts())
    return EngineNetwork(
        name.encode().hex(), name, driver, (subnet(cidr, kind, name=name, gateway=gateway),)
    )
