"""Whatever happens: after a moment of quiet what is listened on here is what is published there.

Both transports run side by side, at an address each, while containers come and go by chance and
links, daemons and Mooring itself are cut, stopped and killed. ``MOORING_STEPS`` and
``MOORING_SEED`` ask for more steps, and for those of a run that failed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mooring.core.errors import MooringError
from mooring.forward.control import ask
from tests.lab.engine import IMAGE, Dockerd, dockerd
from tests.lab.forwarding import Whole, until
from tests.lab.remote import RemoteHost, entered, remote_host
from tests.lab.truth import Port, listening, published, running

pytestmark = [pytest.mark.real, pytest.mark.slow]

STEPS = int(os.environ.get("MOORING_STEPS", "200"))
SEED = int(os.environ.get("MOORING_SEED", "0")) or random.randrange(1, 1_000_000)
QUIET_EVERY = 50
AT_ONCE = 6
PATIENCE = 30.0
"""Seconds of quiet after which it must be right: the promise is 5, on a machine that is idle."""
NAMES = ("auth", "cache", "db", "mail", "queue", "shop", "web", "wiki")
BINDS = {"asyncssh": "127.0.0.1", "openssh": "127.0.0.2"}

CONTAINERS = {
    "start": 10, "stop": 3, "kill": 3, "restart": 2, "remove": 4, "pause": 2, "unpause": 2,
    "rename": 1, "connect": 2, "disconnect": 2,
}  # fmt: skip
FAULTS = {
    "cut": 8, "freeze": 3, "thaw": 2, "drop": 1, "heal": 1, "close sshd": 1, "open sshd": 1,
    "take a port": 2, "let a port go": 1, "stall dockerd": 0.5,
    "restart dockerd": 0.3, "kill dockerd": 0.3, "kill mooring": 0.5, "retry": 1,
}  # fmt: skip


class Mooring:
    """One program, by one transport; it may be killed and started again."""

    def __init__(self, host: RemoteHost, folder: Path, transport: str) -> None:
        self.transport = transport
        self.bind = BINDS[transport]
        self.folder = folder / transport
        self.folder.mkdir()
        self._whole = Whole(host, self.folder)

    def start(self) -> None:
        self._whole.start("--transport", self.transport, "--bind", self.bind)

    @property
    def pid(self) -> int:
        assert self._whole.process
        return self._whole.process.pid

    def kill(self) -> None:
        assert self._whole.process
        self._whole.process.kill()
        self._whole.process.wait()

    def end(self) -> None:
        self._whole.end()

    def ask(self, what: str, **more: Any) -> Any:
        return ask(self.folder / "state", what, **more)

    def log(self) -> str:
        return self._whole.log()


@dataclass
class World:
    """A remote Docker host, what runs on it, and two that forward it."""

    engine: Dockerd
    host: RemoteHost
    moorings: list[Mooring]
    pool: ThreadPoolExecutor
    chance: random.Random
    began: float = field(default_factory=time.monotonic)
    trace: list[str] = field(default_factory=list)
    taken: dict[Port, list[socket.socket]] = field(default_factory=dict)
    sshd: bool = True
    busy: dict[str, Future[None]] = field(default_factory=dict)

    def say(self, what: str) -> None:
        self.trace.append(f"{time.monotonic() - self.began:8.3f}  {what}")

    # --- what happens

    def step(self) -> None:
        """Something happens, to a container or to what lies between."""
        kinds = {**CONTAINERS, **FAULTS}
        what = self.chance.choices(list(kinds), list(kinds.values()))[0]
        name = self.chance.choice(NAMES)
        dice = self.chance.random()
        if what in CONTAINERS:
            if before := self.busy.get(name):
                wait([before])
            self.busy[name] = self.pool.submit(self._to_container, what, name, dice)
        else:
            self._between(what, dice)
        if dice < 0.5:
            time.sleep(dice / 4)

    def _to_container(self, what: str, name: str, dice: float) -> None:
        said = ""
        try:
            self._call(what, name, dice)
        except RuntimeError as error:
            # It is not there, or not so: nothing happens then.
            said = f": {str(error)[-120:].strip()}"
        except (OSError, http.client.HTTPException) as error:
            # The daemon is being restarted.
            said = f": {error!r}"
        self.say(f"{what} {name}{said}")

    def _call(self, what: str, name: str, dice: float) -> None:
        call = self.engine.call
        match what:
            case "start":
                try:
                    call("POST", f"/containers/create?name={name}", container(name, dice))
                except RuntimeError as error:
                    if " 409 " not in str(error):
                        raise
                call("POST", f"/containers/{name}/start")
            case "stop" | "restart":
                call("POST", f"/containers/{name}/{what}?t=1")
            case "remove":
                call("DELETE", f"/containers/{name}?force=1")
            case "rename":
                other = NAMES[int(dice * len(NAMES))]
                call("POST", f"/containers/{name}/rename?name={other}")
            case "connect":
                call("POST", "/networks/other/connect", {"Container": name})
            case "disconnect":
                network = "other" if dice < 0.5 else "bridge"
                call("POST", f"/networks/{network}/disconnect", {"Container": name, "Force": True})
            case _:
                call("POST", f"/containers/{name}/{what}")

    def _between(self, what: str, dice: float) -> None:
        self.say(what)
        match what:
            case "cut":
                self.host.kill_sessions()
            case "freeze":
                self.host.freeze_sessions()
            case "thaw":
                self.host.thaw_sessions()
            case "drop":
                self.host.drop()
            case "heal":
                self.host.heal()
            case "close sshd" if self.sshd:
                self.host.stop()
                self.sshd = False
            case "open sshd" if not self.sshd:
                self.host.start()
                self.sshd = True
            case "take a port":
                self._take(("tcp" if dice < 0.7 else "udp", port_of(self.chance.choice(NAMES))))
            case "let a port go" if self.taken:
                self._let_go(sorted(self.taken)[int(dice * len(self.taken))])
            case "stall dockerd":
                self.engine.freeze()
                time.sleep(dice)
                self.engine.thaw()
            case "restart dockerd" | "kill dockerd":
                self.engine.end(signal.SIGKILL if what == "kill dockerd" else signal.SIGTERM)
                self.engine.start()
            case "kill mooring":
                killed = self.moorings[int(dice * len(self.moorings))]
                killed.kill()
                killed.start()
            case "retry":
                for mooring in self.moorings:
                    with contextlib.suppress(MooringError):
                        mooring.ask("retry")

    def _take(self, port: Port) -> None:
        """Another program has a port here, where it is free."""
        kind = socket.SOCK_STREAM if port[0] == "tcp" else socket.SOCK_DGRAM
        for bind in BINDS.values():
            holder = socket.socket(socket.AF_INET, kind)
            if port[0] == "tcp":
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind((bind, port[1]))
                if port[0] == "tcp":
                    holder.listen()
            except OSError:
                holder.close()
                continue
            self.taken.setdefault(port, []).append(holder)

    def _let_go(self, port: Port) -> None:
        for holder in self.taken.pop(port):
            holder.close()

    # --- quiet

    def calm(self) -> None:
        """Nothing more happens, and what lies between is well; ports that are taken stay taken."""
        wait(self.busy.values())
        for job in self.busy.values():
            job.result()
        self.busy.clear()
        self.host.heal()
        self.host.thaw_sessions()
        if not self.sshd:
            self.host.start()
            self.sshd = True
        self.say("quiet")

    def wrong(self) -> list[str]:
        """What is not as it should be, in words; nothing when all is well."""
        containers = running(self.engine)
        want = published(containers)
        # A container whose port Docker chose is also reached by the number that it had first.
        aliases = sum(chosen(published([entry])) for entry in containers)
        found = []
        for mooring in self.moorings:
            have = self._listening(mooring)
            if missing := want - self._held(mooring) - have:
                found.append(f"{mooring.transport}: not listened on: {sorted(missing)}")
            left = have - want
            if chosen(left) < len(left) or len(left) > aliases:
                found.append(f"{mooring.transport}: left behind: {sorted(left)}")
        return found

    def _listening(self, mooring: Mooring) -> set[Port]:
        return listening(mooring.pid, mooring.bind, self.others())

    def others(self) -> list[socket.socket]:
        return [holder for holders in self.taken.values() for holder in holders]

    def _held(self, mooring: Mooring) -> set[Port]:
        """The ports that another program has where it listens."""
        return {
            port
            for port, holders in self.taken.items()
            if any(holder.getsockname()[0] == mooring.bind for holder in holders)
        }

    def settled(self) -> float:
        """Wait until all is well; the seconds that it took. Fails with what happened before."""
        began = time.monotonic()
        while found := self.wrong():
            if time.monotonic() - began > PATIENCE:
                self.fail(found)
            time.sleep(0.02)
        took = time.monotonic() - began
        self.say(f"right after {took:.2f} s")
        return took

    def reached(self) -> int:
        """Every running container is heard through its port; how many ports were tried."""
        entries = [entry for entry in running(self.engine) if entry["State"] == "running"]
        tried = 0
        for mooring in self.moorings:
            ports = {
                ("tcp", port["PublicPort"]): entry["Labels"]["says"]
                for entry in entries
                for port in entry["Ports"]
                if port["PrivatePort"] == 80 and published([{"Ports": [port]}])
            }
            for port in sorted(ports.keys() - self._held(mooring)):
                tried += 1
                said = heard_at(mooring.bind, port[1])
                if said != ports[port] and self._answers(port[1], ports[port]):
                    then = [heard_at(mooring.bind, port[1]) for _ in range(3)]
                    # As the link asks there: by Docker's proxy.
                    there = self.host.ns.call(heard_at, "127.0.0.1", port[1])
                    what = f"{mooring.transport}: {port} says {said!r}, not {ports[port]!r}"
                    self.fail([f"{what}; asked again {then}; at the loopback there {there!r}"])
        return tried

    def _answers(self, port: int, says: str) -> bool:
        """Whether the program is heard where it runs: not if its network was taken away."""
        heard = [self.host.ns.call(heard_at, self.host.ip, port) for _ in range(3)]
        self.say(f"{says} itself says {heard}")
        return heard == [says] * 3

    def fail(self, found: list[str]) -> None:
        for mooring in self.moorings:
            with contextlib.suppress(MooringError):
                found.append(f"{mooring.transport}: {mooring.ask('status')}")
        found += [f"docker ps: {entry}" for entry in running(self.engine)]
        pytest.fail("\n".join(found), pytrace=False)

    def show(self) -> None:
        """What happened: pytest shows it when the test has failed."""
        print(f"MOORING_SEED={SEED} MOORING_STEPS={STEPS}", *self.trace, sep="\n")
        for mooring in self.moorings:
            print(f"--- log of {mooring.transport}", mooring.log(), sep="\n")


def heard_at(ip: str, port: int) -> str:
    """What the program there says, or why nothing is heard."""
    data = b""
    try:
        with socket.create_connection((ip, port), timeout=20) as connection:
            while more := connection.recv(100):
                data += more
    except OSError as error:
        return repr(error)
    return data.decode().strip()


def chosen(ports: set[Port]) -> int:
    """How many of these are of the range from which Docker chooses."""
    return sum(port[1] >= 32768 for port in ports)


def port_of(name: str) -> int:
    """Two names share a port: only one of their containers can have it at a time."""
    return 8000 + NAMES.index(name) // 2


def container(name: str, dice: float) -> dict[str, Any]:
    """One that says its label at port 80 of its own; where that is published is by chance."""
    index = NAMES.index(name)
    where: dict[str, list[dict[str, str]]] = {"80/tcp": [{"HostPort": str(8100 + index)}]}
    if dice < 0.3:
        where = {
            "80/tcp": [{"HostPort": str(port_of(name))}],
            "53/udp": [{"HostPort": str(port_of(name))}],
        }
    elif dice < 0.5:
        where = {"80/tcp": [{"HostPort": ""}]}
    elif dice < 0.7:
        where["9000/tcp"] = [{"HostPort": str(9000 + 10 * index + n)} for n in range(5)]
    elif dice < 0.8:
        where = {"80/tcp": [{"HostIp": "198.18.0.2", "HostPort": str(8200 + index)}]}
    says = f"{name}-{dice:.6f}"
    return {
        "Image": IMAGE,
        "Cmd": ["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", says],
        "StopSignal": "SIGKILL",
        "Labels": {"says": says},
        "ExposedPorts": {port: {} for port in where},
        "HostConfig": {
            "PortBindings": where,
            "RestartPolicy": {"Name": "always" if 0.8 < dice < 0.9 else "no"},
        },
    }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(dockerd())
        host = stack.enter_context(remote_host(engine=engine))
        stack.enter_context(entered(host.client))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        engine.network("other", "172.30.0.0/24")
        moorings = [Mooring(host, tmp_path, transport) for transport in BINDS]
        made = World(engine, host, moorings, pool, random.Random(SEED))
        for mooring in moorings:
            mooring.start()
            stack.callback(mooring.kill)
        try:
            yield made
        finally:
            made.show()
            for port in list(made.taken):
                made._let_go(port)


@pytest.mark.timeout(90 + STEPS)
def test_after_a_moment_of_quiet_the_listeners_are_the_published_ports(world: World) -> None:
    print(f"MOORING_SEED={SEED} MOORING_STEPS={STEPS}")
    world.settled()
    took, tried = [], 0
    for done in range(1, STEPS + 1):
        world.step()
        if done % QUIET_EVERY == 0 or done == STEPS:
            world.calm()
            took.append(world.settled())
            tried += world.reached()
    print(f"right after {', '.join(f'{t:.1f}' for t in took)} s of quiet; {tried} ports heard")
    for mooring in world.moorings:
        (counts,) = mooring.ask("counts").values()
        print(mooring.transport, "drift", counts["link"]["drift"], counts["link"]["outages"])
        mooring.end()
        assert not listening(os.getpid(), mooring.bind, world.others())
    # Also of those that were killed, as far as somebody else has taken their place.
    until(lambda: not world.host.sessions(), PATIENCE)
