"""Starts and stops racing cuts of the link: nothing missed, nothing left behind, nothing leaked."""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from bench._forward.baselines import by_hand
from bench._forward.lab import HELLO, TRANSPORTS, Site, lab, until
from bench._forward.ways import BY_HAND
from bench._lib import machine, quantile
from mooring.forward.control import ask
from tests.lab.engine import IMAGE
from tests.lab.forwarding import Whole
from tests.lab.truth import Port, descriptors, listening, published, running

DOC = """Starts and stops of containers while the link is cut at random.

Both transports and by_hand.sh (`docker events` + `ssh -O forward` through a ControlMaster) follow
the same containers at an address each, and are cut by the same SIGKILLs of all sshd sessions.

Cycles: one container is started, waited for and stopped, again and again; in half of the cycles
the link is cut at a random moment within --spread s of the start. Reached: a client that begins
to dial when the engine says that the container is started, and again 10 ms after each refusal or
reset, gets its first byte within 10 s.

Starts: containers with --ports published ports each are started in batches, several at a time,
while the link is cut every 0.2 to 2 s. After each batch, in quiet: every port must be listened on
(the kernel is asked), one port of each container must answer, and `status` must say the same as
the engine; one that does not answer on its own host either (runc fails once in a while) is only
said to be dead. Then all are removed, under cuts as well, and no listener may stay.

Judged, for both transports: every start reached, 0 missed, 0 left behind, status right within
5 s of quiet, no failure left in it, drift 0, and as many descriptors and tasks at the end as at the
beginning. Else the exit code is 1.
"""
PORT = 20000
FIRST_PORT = 21000
PATIENCE = 10.0
QUIET = 5.0
ENOUGH = 60.0
"""Seconds after which nobody waits for it any more."""
STEADY = 60.0
"""Seconds after which failures in a row must be forgotten."""
BINDS = {"asyncssh": "127.0.0.1", "openssh": "127.0.0.2", BY_HAND: "127.0.0.3"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/forward stress",
        description=DOC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cycles", type=int, default=100, help="0 leaves them out")
    parser.add_argument("--spread", type=float, default=0.6, metavar="S")
    parser.add_argument("--starts", type=int, default=1000, help="containers; 0 leaves them out")
    parser.add_argument("--batch", type=int, default=50, help="containers at a time")
    parser.add_argument("--ports", type=int, default=10, help="published ports of each container")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1_000_000))
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {"machine": machine(), "seed": options.seed, "missed": []}
    with lab("MaxStartups 100") as site:
        if options.cycles:
            result["cycles"] = cycles(site, options)
        if options.starts:
            result["starts"] = starts(site, options)
    judge(result)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0 if result["passed"] else 1


# --- who is tried


class Ours:
    """Mooring by one transport, and what is asked of it and of the kernel."""

    def __init__(self, name: str, whole: Whole) -> None:
        assert whole.process
        self.name = name
        self.bind = BINDS[name]
        self.pid = whole.process.pid
        self._state = whole.folder / "state"

    def status(self) -> dict[str, Any]:
        (host,) = ask(self._state, "status")["hosts"]
        return dict(host)

    def counts(self) -> dict[str, Any]:
        (counts,) = ask(self._state, "counts").values()
        return dict(counts)

    def listening(self) -> set[Port]:
        return listening(self.pid, self.bind)

    def shown(self) -> set[Port] | None:
        """What its status lists, when all of it is well; else nothing."""
        host = self.status()
        forwards = host["forwards"]
        if host["state"] != "live" or any(f["state"] != "listening" for f in forwards):
            return None
        return {(f["protocol"], int(f["local"].rpartition(":")[2])) for f in forwards}

    def size(self) -> dict[str, int]:
        return {"descriptors": descriptors(self.pid), "tasks": self.counts()["tasks"]}

    def forgotten(self) -> float:
        """Seconds until no failure in a row is left in the status."""
        began = time.monotonic()
        until(lambda: self.status()["consecutive_failures"] == 0, STEADY)
        return time.monotonic() - began


@contextmanager
def ours(site: Site) -> Iterator[list[Ours]]:
    with ExitStack() as stack:
        yield [
            Ours(name, stack.enter_context(site.mooring(name, "--bind", BINDS[name])))
            for name in TRANSPORTS
        ]


class Cuts:
    """Cuts of every link of the remote host; counted."""

    def __init__(self, site: Site) -> None:
        self.count = 0
        self._site = site
        self._ended = threading.Event()

    def cut(self) -> None:
        self.count += self._site.host.kill_sessions() > 0

    @contextmanager
    def at_random(self, chance: random.Random) -> Iterator[None]:
        """One every 0.2 to 2 s meanwhile."""

        def cut() -> None:
            while not self._ended.wait(chance.uniform(0.2, 2.0)):
                self.cut()

        self._ended.clear()
        thread = threading.Thread(target=cut, name="cuts")
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


def settled(site: Site, those: list[Ours]) -> dict[str, Any]:
    """Seconds of quiet until listeners and status are what the engine lists, and what is wrong.

    After the first ``QUIET`` seconds what is missing and what is left is counted.
    """
    began = time.monotonic()
    found = {each.name: {"s": None, "missed": 0, "left": 0} for each in those}
    waiting = list(those)
    while waiting and time.monotonic() < began + ENOUGH:
        # Asked anew each time: a container may end by itself.
        want = published(running(site.engine))
        for each in list(waiting):
            have = each.listening()
            if have == want and each.shown() == want:
                found[each.name]["s"] = time.monotonic() - began
                waiting.remove(each)
            elif time.monotonic() > began + QUIET:
                row = found[each.name]
                row["missed"] = max(row["missed"], len(want - have))
                row["left"] = max(row["left"], len(have - want))
        time.sleep(0.05)
    for each in waiting:
        host = each.status()
        odd = [f for f in host["forwards"] if f["state"] != "listening"]
        print(f"{each.name}: {host['state']} {host['detail']} {odd}", file=sys.stderr)
    return found


def first_byte(address: str, port: int, began: float) -> float | None:
    """Dial until a byte comes; seconds since ``began``, None when none came in time."""
    while time.monotonic() < began + PATIENCE:
        try:
            with socket.create_connection((address, port), timeout=PATIENCE) as connection:
                connection.settimeout(max(0.1, began + PATIENCE - time.monotonic()))
                if connection.recv(1):
                    return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.01)
    return None


# --- cycles


def cycles(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(options.seed)
    made = site.engine.run("web", ports={"80/tcp": PORT}, command=HELLO, start=False)
    times: dict[str, list[float | None]] = {name: [] for name in BINDS}
    cuts = Cuts(site)
    with ExitStack() as stack:
        those = stack.enter_context(ours(site))
        before = {each.name: each.size() for each in those}
        stack.enter_context(by_hand(site.host, site.folder, BINDS[BY_HAND]))
        pool = stack.enter_context(ThreadPoolExecutor(len(BINDS)))
        for number in range(options.cycles):
            timer = threading.Timer(chance.uniform(0, options.spread), cuts.cut)
            if chance.random() < 0.5:
                timer.start()
            site.engine.call("POST", f"/containers/{made}/start")
            began = time.monotonic()
            dialling = {
                name: pool.submit(first_byte, address, PORT, began)
                for name, address in BINDS.items()
            }
            for name, each in dialling.items():
                times[name].append(each.result())
            timer.join() if timer.is_alive() else timer.cancel()
            site.engine.call("POST", f"/containers/{made}/kill")
            until(lambda: not running(site.engine), 20)
            if not options.json and (number + 1) % 20 == 0:
                print(f"{number + 1} of {options.cycles} cycles", file=sys.stderr)
        quiet = settled(site, those)
        after = {each.name: each.size() for each in those}
        drift = {each.name: each.counts()["link"]["drift"] for each in those}
        forgotten = {each.name: each.forgotten() for each in those}
    site.engine.remove(made)
    rows = []
    for name, all_of in times.items():
        reached = [t for t in all_of if t is not None]
        row: dict[str, Any] = {"way": name, "n": len(all_of), "reached": len(reached)}
        row |= {"p50_s": quantile(reached, 0.5), "max_s": max(reached)} if reached else {}
        if name in quiet:
            row |= {"quiet_s": [quiet[name].pop("s")], **quiet[name], "drift": drift[name]}
            row |= {"before": before[name], "after": after[name], "forgotten_s": forgotten[name]}
        rows.append(row)
    return {"cuts": cuts.count, "rows": rows}


# --- starts


def starts(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(options.seed + 1)
    cuts = Cuts(site)
    batches = []
    with ours(site) as those:
        before = {each.name: each.size() for each in those}
        with ThreadPoolExecutor(4) as pool:
            for first in range(0, options.starts, options.batch):
                count = min(options.batch, options.starts - first)
                with cuts.at_random(chance):
                    made = list(pool.map(lambda n: start(site, n, options.ports), range(count)))
                batch: dict[str, Any] = {"n": count, "there": settled(site, those)}
                ports = range(FIRST_PORT, FIRST_PORT + count * options.ports, options.ports)
                # A container that answers nobody is no matter of ours.
                alive = [p for p in ports if first_byte(site.host.ip, p, time.monotonic())]
                batch["dead"] = count - len(alive)
                batch["unheard"] = {
                    each.name: sum(
                        first_byte(each.bind, port, time.monotonic()) is None for port in alive
                    )
                    for each in those
                }
                with cuts.at_random(chance):
                    site.engine.remove(*made)
                batch["gone"] = settled(site, those)
                batches.append(batch)
                if not options.json:
                    print(f"{first + count} of {options.starts} starts", file=sys.stderr)
        after = {each.name: each.size() for each in those}
        rows = [
            {
                "way": each.name,
                "n": options.starts,
                "ports": options.starts * options.ports,
                **{
                    key: sum(b[part][each.name][key] for b in batches for part in ("there", "gone"))
                    for key in ("missed", "left")
                },
                "dead": sum(b["dead"] for b in batches),
                "unheard": sum(b["unheard"][each.name] for b in batches),
                "quiet_s": [b[part][each.name]["s"] for b in batches for part in ("there", "gone")],
                "before": before[each.name],
                "after": after[each.name],
                "drift": each.counts()["link"]["drift"],
                "forgotten_s": each.forgotten(),
            }
            for each in those
        ]
    return {"cuts": cuts.count, "rows": rows, "batches": batches}


def start(site: Site, number: int, ports: int) -> str:
    """A container that answers at its first port, and publishes all of them; its id."""
    first = FIRST_PORT + number * ports
    inside = {f"{80 + at}/tcp": [{"HostPort": str(first + at)}] for at in range(ports)}
    wish = {
        "Image": IMAGE,
        "Cmd": ["/bin/busybox", *HELLO],
        "StopSignal": "SIGKILL",
        "ExposedPorts": {port: {} for port in inside},
        "HostConfig": {"PortBindings": inside},
    }
    made: str = site.engine.call("POST", f"/containers/create?name=many{number}", wish)["Id"]
    for _ in range(20):
        try:
            site.engine.call("POST", f"/containers/{made}/start")
            break
        except RuntimeError:
            # runc itself fails once in a while on a busy machine.
            time.sleep(0.2)
    return made


# --- the result


def judge(result: dict[str, Any]) -> None:
    missed = result["missed"]
    for part in ("cycles", "starts"):
        for row in result.get(part, {}).get("rows", ()):
            if row["way"] not in TRANSPORTS:
                continue
            name = f"{part}, {row['way']}"
            for key in ("missed", "left", "unheard", "drift"):
                if row.get(key):
                    missed.append(f"{name}: {key} {row[key]}")
            if row.get("reached", row["n"]) < row["n"]:
                missed.append(f"{name}: reached {row['reached']} of {row['n']}")
            if (most := _most(row["quiet_s"])) > QUIET:
                missed.append(f"{name}: right after {most:.1f} s of quiet")
            if row["after"] != row["before"]:
                missed.append(f"{name}: {row['before']} before, {row['after']} after")
    result["passed"] = not missed


def show(result: dict[str, Any]) -> None:
    print(f"{result['machine']}; seed {result['seed']}")
    if "cycles" in result:
        found = result["cycles"]
        print(f"cycles, {found['cuts']} cuts; seconds to the first byte")
        print(f"{'way':>10} {'reached':>10} {'p50':>7} {'max':>7} {'quiet':>7} {'drift':>6}")
        for row in found["rows"]:
            cells = f"{row['reached']} of {row['n']}", _s(row.get("p50_s")), _s(row.get("max_s"))
            ended = (
                _s(_most(row["quiet_s"]) if "quiet_s" in row else None),
                str(row.get("drift", "")),
            )
            print(f"{row['way']:>10} {cells[0]:>10} {cells[1]:>7} {cells[2]:>7}", end=" ")
            print(f"{ended[0]:>7} {ended[1]:>6}")
        _sizes(found["rows"])
    if "starts" in result:
        found = result["starts"]
        print(f"starts, {found['cuts']} cuts")
        columns = ("containers", "ports", "dead", "missed", "left", "unheard", "drift")
        print(f"{'way':>10}", *(f"{name:>10}" for name in columns), f"{'quiet, most':>12}")
        for row in found["rows"]:
            cells = [row[key] for key in ("n", *columns[1:])]
            print(
                f"{row['way']:>10}",
                *(f"{cell:>10}" for cell in cells),
                f"{_most(row['quiet_s']):>12.2f}",
            )
        _sizes(found["rows"])
    print("goal: all reached, 0 missed, left, unheard, drift; right within 5 s of quiet; no leak")
    for line in result["missed"]:
        print(line)
    print("passed" if result["passed"] else "FAILED")


def _sizes(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if "before" in row:
            both = ", ".join(
                f"{key} {row['before'][key]} -> {row['after'][key]}" for key in row["before"]
            )
            print(f"{row['way']:>10} {both}; failures forgotten after {row['forgotten_s']:.0f} s")


def _most(seconds: Sequence[float | None]) -> float:
    """The longest quiet that was needed; as long as was waited where that was not enough."""
    return max((ENOUGH if s is None else s for s in seconds), default=0.0)


def _s(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
