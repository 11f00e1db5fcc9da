"""Inside the machine: random stories of verbs, kills and changes by hand, on the kernel itself.

Words: the first seed, how many stories. The driver is a process of its own that is killed, by
SIGKILL, at a random one of its kernel calls or in the middle of writing its journal. Namespaces
stand for containers. Ends with a word on what each seed found wrong, or with a count.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.can import health, journal, names, namespace, recover, rtcan
from mooring.can.driver import Driver
from mooring.can.journal import Journal
from mooring.can.kernel import Kernel, KernelError, by_name
from mooring.can.options import GENERIC
from mooring.can.protocol import Call
from mooring.core.errors import MooringError
from mooring.core.lines import Lines
from mooring.model.can import Link, Rule

STEPS = 14
LATER = 10_000.0
FOREIGN = ("vcan9", "foreign0", "foreign1", "bridge9")
DEVICES = ("vcan5", "vcan6", "vcan9")
HOST = "/proc/1/ns/net"


class Killed(Exception):
    """The driver was killed in the middle of a call."""


# --- the driver, as a process ---------------------------------------------------------------------


class Plugin:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.later = 0.0
        self.kills = 0
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            try:
                _serve(self.folder, theirs)
            finally:
                os._exit(1)
        theirs.close()
        self._socket = ours
        self._stream = ours.makefile("rwb")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._buried()

    def restart(self) -> None:
        self.end()
        self._start()

    def _buried(self) -> None:
        os.waitpid(self.pid, 0)
        self._stream.close()
        self._socket.close()

    def call(self, verb: str, dies_at: int = 0, **what: Any) -> Mapping[str, Any]:
        asked = {"verb": verb, "dies_at": dies_at, "later": self.later, "what": what}
        try:
            self._stream.write(json.dumps(asked).encode() + b"\n")
            self._stream.flush()
            line = self._stream.readline()
        except ConnectionError:
            line = b""
        if not line:
            self._buried()
            self.kills += 1
            self._start()
            raise Killed(verb)
        told = json.loads(line)
        if "Err" in told:
            raise MooringError(verb, told["Err"])
        answer: Mapping[str, Any] = told
        return answer


def _serve(folder: Path, connection: socket.socket) -> None:
    left = 0
    later = 0.0

    def tick() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            if tick():
                die()
            return function(*arguments, **more)

        return called

    real = journal.write

    def write(path: Path, content: bytes, *, synced: bool) -> None:
        if tick():
            path.write_bytes(content[: len(content) // 2])
            die()
        real(path, content, synced=False)

    journal.write = write
    Kernel._batch = dying(Kernel._batch)  # type: ignore[method-assign]
    Kernel._dump = dying(Kernel._dump)  # type: ignore[method-assign]
    known = Journal(folder, "this boot")
    known.read()
    with (folder / "log").open("a") as log, connection.makefile("rwb") as stream:
        driver = Driver(
            known, Kernel, Lines("debug", stream=log),
            uptime=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + later,
        )  # fmt: skip
        for line in stream:
            asked = json.loads(line)
            left, later = asked["dies_at"], asked["later"]
            try:
                if asked["verb"] == "mend":
                    driver.buses.mend()
                    told: Mapping[str, Any] = {}
                else:
                    told = driver.answer(Call(asked["verb"], **asked["what"]))
            except (MooringError, ExceptionGroup) as error:
                told = {"Err": str(error)}
            left = 0
            stream.write(json.dumps(told, default=str).encode() + b"\n")
            stream.flush()


# --- containers -----------------------------------------------------------------------------------


@dataclass
class Container:
    network: str
    endpoint: str
    name: str

    @property
    def sandbox(self) -> str:
        return f"/run/netns/{self.name}"

    def begin(self) -> None:
        ip("netns", "add", self.name)

    def end(self) -> None:
        """Its last process ends; what is in it goes, some time after."""
        if not Path(self.sandbox).exists():
            return
        ip("netns", "del", self.name)
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            pair = pairs().get(self.endpoint)
            if pair is None or not pair.away:
                return
            time.sleep(0.01)
        raise AssertionError("a namespace has not gone")

    def enter(self, answer: Mapping[str, Any]) -> None:
        told = answer["InterfaceName"]
        with Kernel() as kernel:
            end = by_name(kernel.links().values(), told["SrcName"])
            assert end is not None, told
            kernel.insert(end, self.sandbox, lambda taken: f"{told['DstPrefix']}{len(taken)}")

    def bring_back(self) -> None:
        """Docker moves the interface out before the namespace ends."""
        pair = pairs().get(self.endpoint)
        if pair is None or not pair.away:
            return

        def move() -> None:
            with Kernel() as here, Path(HOST).open("rb") as host:
                for link in here.links().values():
                    if link.away:
                        here._do(rtcan.move(link.index, host.fileno(), f"vy{pair.name[2:]}"), "")

        with Path(self.sandbox).open("rb") as file:
            namespace.inside(file.fileno(), move)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stderr=subprocess.PIPE)


def links() -> list[Link]:
    with Kernel() as kernel:
        return list(kernel.links().values())


def pairs() -> dict[str, Link]:
    return recover.pairs(links())


def rules() -> list[Rule]:
    with Kernel() as kernel:
        return [found.rule for found in kernel.rules()]


# --- a story --------------------------------------------------------------------------------------


class Story:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="chance-"))
        self.plugin = Plugin(self.folder)
        self.numbers = iter(range(1000))
        self.networks: dict[str, str] = {}
        self.containers: list[Container] = []
        self.foreign = {one.name: one for one in links() if one.name in FOREIGN}
        self.foreign_rules = Counter(rules())
        assert len(self.foreign) == len(FOREIGN)

    def new(self) -> str:
        return hashlib.sha256(b"%d %d" % (self.seed, next(self.numbers))).hexdigest()

    def call(self, verb: str, **what: Any) -> Mapping[str, Any]:
        dies_at = self.chance.randint(1, 9) if self.chance.random() < 0.25 else 0
        return self.plugin.call(verb, dies_at, **what)

    def step(self) -> None:
        deed = self.chance.choice(self.deeds)
        try:
            deed(self)
        except Killed:
            if self.chance.random() < 0.5:
                self.plugin.call("mend")
        except (MooringError, KernelError):
            pass

    def create(self) -> None:
        device, new = self.chance.choice(DEVICES), self.new()
        given = {"vxcan.dev": device[:-1], "vxcan.id": device[-1]}
        self.call("CreateNetwork", network=new, options={GENERIC: given})
        self.networks[new] = device

    def remove(self) -> None:
        if self.networks:
            gone = self.chance.choice(sorted(self.networks))
            # Docker refuses while containers are on it.
            if all(one.network != gone for one in self.containers):
                del self.networks[gone]
                self.call("DeleteNetwork", network=gone)

    def begin(self) -> None:
        if not self.networks:
            return
        bus, endpoint = self.chance.choice(sorted(self.networks)), self.new()
        asked = self.chance.choice([{}, {"vxcan.access": "ro"}, {"vxcan.filter": "1:7FF,2:7FF"}])
        made = Container(bus, endpoint, f"c{endpoint[:8]}")
        made.begin()
        try:
            self.call("CreateEndpoint", network=bus, endpoint=endpoint, options=asked)
            answer = self.join(made)
        except (MooringError, Killed):
            made.end()
            self.plugin.call("DeleteEndpoint", network=bus, endpoint=endpoint)
            raise
        made.enter(answer)
        self.containers.append(made)

    def join(self, one: Container) -> Mapping[str, Any]:
        what = {"network": one.network, "endpoint": one.endpoint, "sandbox": one.sandbox}
        try:
            return self.call("Join", **what)
        except Killed:
            # Docker asks again, and the next process knows what: tests/can/test_killed.py.
            return self.plugin.call("Join", **what)

    def stop(self) -> None:
        if not self.containers:
            return
        one = self.containers.pop(self.chance.randrange(len(self.containers)))
        try:
            self.call("Leave", network=one.network, endpoint=one.endpoint)
        finally:
            one.bring_back()
            one.end()
        self.call("DeleteEndpoint", network=one.network, endpoint=one.endpoint)

    def join_again(self) -> None:
        if self.containers:
            one = self.chance.choice(self.containers)
            answer = self.join(one)
            if not pairs()[one.endpoint].away:
                one.enter(answer)

    def die(self) -> None:
        """Nobody tells the driver."""
        if self.containers:
            self.containers.pop(self.chance.randrange(len(self.containers))).end()

    def kill(self) -> None:
        self.plugin.restart()

    def _ours(self) -> list[Link]:
        return [one for one in links() if one.alias.startswith("mooring:")]

    def delete_by_hand(self) -> None:
        if ours := self._ours():
            ip("link", "del", self.chance.choice(ours).name)

    def down_by_hand(self) -> None:
        if ours := self._ours():
            ip("link", "set", self.chance.choice(ours).name, "down")

    def _our_rules(self) -> list[Rule]:
        return [rule for rule in rules() if rule not in self.foreign_rules]

    def drop_rules_by_hand(self) -> None:
        if ours := self._our_rules():
            with Kernel() as kernel:
                kernel.change_rules([self.chance.choice(ours)], [])

    def double_rules_by_hand(self) -> None:
        if ours := self._our_rules():
            with Kernel() as kernel:
                kernel.change_rules([], [self.chance.choice(ours)])

    deeds: tuple[Callable[[Story], None], ...] = (
        create, create, remove, begin, begin, begin, begin, stop, join_again, die, kill,
        delete_by_hand, down_by_hand, drop_rules_by_hand, double_rules_by_hand,
    )  # fmt: skip

    # What must hold.

    def check(self) -> None:
        self._check_foreign()
        self.plugin.later = LATER
        told = self.plugin.call("Repair")
        assert not told["failed"], told
        again = self.plugin.call("Repair")
        assert again == {"mended": 0, "failed": []}, again
        known = Journal(self.folder, "this boot")
        known.read()
        now = links()
        with Kernel() as kernel:
            found = kernel.rules()
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME) + LATER
        lives = os.path.exists
        how = recover.conditions(known.endpoints.values(), now, lives, uptime)
        told_health = health.check(known.networks, known.endpoints, now, found, {}, how)
        assert not told_health.findings, told_health.findings
        for one in self.containers:
            pair = pairs()[one.endpoint]
            assert pair.away
            device = by_name(now, self.networks[one.network])
            assert device is not None
            into = {rule.source for rule in rules() if rule.target == pair.index}
            assert device.index in into
        assert max(Counter(rules()).values()) == 1
        assert {names.marked_endpoint(one.alias) for one in now} - {None} == set(known.endpoints)
        self._check_foreign()

    def _check_foreign(self) -> None:
        now = {one.name: one for one in links()}
        for name, one in self.foreign.items():
            assert now.get(name) == one, (name, now.get(name), one)
        for rule, count in self.foreign_rules.items():
            assert rules().count(rule) == count, rule

    def end(self) -> None:
        for one in self.containers:
            one.end()
        for network in self.networks:
            self.plugin.call("DeleteNetwork", network=network)
        known = Journal(self.folder, "this boot")
        known.read()
        for network in known.networks:
            self.plugin.call("DeleteNetwork", network=network)
        self.plugin.call("Repair")
        assert not self._ours(), self._ours()
        assert Counter(rules()) == self.foreign_rules
        self.plugin.end()
        shutil.rmtree(self.folder)


def main() -> None:
    first, count = map(int, sys.argv[1:])
    ip("link", "add", "vcan9", "up", "type", "vcan")
    ip("link", "add", "foreign0", "up", "type", "vxcan", "peer", "name", "foreign1")
    ip("link", "add", "bridge9", "type", "bridge")
    subprocess.run(["cangw", "-A", "-s", "vcan9", "-d", "foreign0"], check=True)
    kills = steps = 0
    for seed in range(first, first + count):
        story = Story(seed)
        try:
            for _ in range(STEPS):
                story.step()
                steps += 1
            story.check()
            kills += story.plugin.kills
            story.end()
        except BaseException:  # noqa: BLE001
            wrong = io.StringIO()
            traceback.print_exc(file=wrong)
            log = story.plugin.log.read_text()[-4000:]
            print(json.dumps({"seed": seed, "wrong": wrong.getvalue(), "log": log}))
            sys.exit(1)
    print(json.dumps({"stories": count, "steps": steps, "kills": kills}))


if __name__ == "__main__":
    main()
