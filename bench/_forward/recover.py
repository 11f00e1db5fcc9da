"""A cut of the link, and a black hole, to the first byte again; and whom it cost what."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from bench._forward.clients import SERVE, Client, connecting
from bench._forward.lab import TRANSPORTS, Site, lab
from bench._forward.ways import NONE, WAYS, Way, listens, way
from bench._lib import machine, quantile
from tests.lab.netns import Namespace

DOC = """A cut of the link to the first byte again; and a black hole.

The ways take turns (see bench/forward latency): no tunnel, `while true; do ssh -N -L …; done`,
by_hand.sh, and mooring forward by both transports. `ssh` has ServerAliveInterval=5,
ServerAliveCountMax=3, ConnectTimeout=5.

Cut: the processes of the sshd session get SIGKILL while a client connects every --every ms. From
then to the first byte of a client that began after it, and what became of all that began after
it. Each cut is of a link just made: like a link that has been live for 30 s, one with no failures
behind it. What a link does that is cut more often is not measured here.

Black hole: packets are dropped both ways, of several remote hosts at once, one for each that is
measured; nobody connects meanwhile. Known: Mooring's log says that the link is suspect, or lost;
`ssh` listens no more. Some 26 s later the hosts come back one by one, with a client each 100 ms:
back is from just before the packets pass to a first byte.

Judged, for both transports: cut p50 < 0.4 s, max < 1 s, and no client refused, reset or closed
before its first byte; black hole known within 20 s, back within 1 s. Else the exit code is 1.
"""
PORT = 20000
PATIENCE = 60.0
PING = 8.0
"""Seconds between Mooring's looks at the link."""
HOLE = 26.0
"""Seconds: longer than anybody here needs to know."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/forward recover",
        description=DOC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, default=30, help="cuts of each way; 0 leaves them out")
    parser.add_argument("--every", type=float, default=10.0, metavar="MS")
    parser.add_argument("--holes", type=int, default=3, help="black holes; 0 leaves them out")
    parser.add_argument("--hosts", type=int, default=2, help="hosts in each, of each way")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    ways = options.ways.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    with lab() as site, serving(site):
        cuts = cut_all(site, ways, options.n, options.every / 1000, options.json)
        tunnels = [name for name in ways if name != NONE]
        holes = all_holes(site, tunnels, options.holes, options.hosts, options.json)
    result = judge(cuts, holes, ways)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0 if result["passed"] else 1


# --- who answers


@contextmanager
def serving(site: Site) -> Iterator[None]:
    """A container that publishes ``PORT``, and in its network a server for many clients."""
    made = site.engine.run("web", ports={"80/tcp": PORT})
    inside = site.engine.call("GET", f"/containers/{made}/json")["State"]["Pid"]
    with _running(site.host.ns, "0.0.0.0", 80, "nsenter", f"--net=/proc/{inside}/ns/net"):
        yield


@contextmanager
def _running(ns: Namespace, address: str, port: int, *enter: str) -> Iterator[None]:
    command = [*enter, sys.executable, "-c", SERVE, address, str(port)]
    process = ns.popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"nobody serves {address}:{port}")
        yield
    finally:
        process.kill()
        process.communicate()


# --- cuts


def cut_all(site: Site, ways: list[str], n: int, every: float, quiet: bool) -> list[dict[str, Any]]:
    rows = []
    for number in range(n):
        first = number % len(ways)
        for name in ways[first:] + ways[:first]:
            with way(name, site, [PORT]) as there:
                rows.append({"way": name, "number": number, **asyncio.run(cut(there, every))})
        if not quiet and (number + 1) % 5 == 0:
            print(f"{number + 1} of {n} cuts of each way", file=sys.stderr)
    return rows


async def cut(there: Way, every: float) -> dict[str, Any]:
    sessions = await asyncio.to_thread(there.host.sessions)
    async with connecting(there.address, PORT, every) as clients:
        await first_byte(clients, 0.0)
        await asyncio.sleep(0.2)
        for pid in sessions:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        at = time.perf_counter()
        back = await first_byte(clients, at)
        await asyncio.sleep(0.3)
    return {"s": back - at, "sessions": len(sessions), **outcomes(clients, at)}


async def first_byte(clients: list[Client], after: float) -> float:
    """When the first client that began after this time got a byte."""
    limit = time.perf_counter() + PATIENCE
    while time.perf_counter() < limit:
        if ends := [c.end for c in clients if c.began > after and c.outcome == "byte"]:
            return min(ends)
        await asyncio.sleep(0.005)
    raise RuntimeError(f"no byte within {PATIENCE:g} s")


def outcomes(clients: list[Client], after: float) -> dict[str, Any]:
    new = [c for c in clients if c.began > after]
    served = [c.end - c.began for c in new if c.outcome == "byte"]
    counts = {name: sum(c.outcome == name for c in new) for name in ("refused", "reset", "closed")}
    return {
        "clients": len(new),
        **counts,
        "unserved": sum(c.outcome in ("waiting", "gone") for c in new),
        "longest_s": max(served, default=0.0),
    }


# --- black holes


def all_holes(
    site: Site, ways: list[str], holes: int, hosts: int, quiet: bool
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    if not holes or not ways:
        return rows
    with ExitStack() as stack:
        places = []
        for number, name in enumerate(ways * hosts, start=1):
            host = stack.enter_context(site.another_host(number))
            # What is published is where the engine is; here somebody answers in its place.
            stack.enter_context(_running(host.ns, "127.0.0.1", PORT))
            places.append((name, host, f"127.0.1.{number}"))
        for number in range(holes):
            with ExitStack() as these:
                theirs = [
                    these.enter_context(way(name, site, [PORT], host=host, at=at))
                    for name, host, at in places
                ]
                # Each hole begins at another time between two pings.
                wait = PING * (number + random.random()) / holes
                rows += [{"number": number, **row} for row in asyncio.run(hole(theirs, wait))]
            if not quiet:
                print(f"{number + 1} of {holes} black holes", file=sys.stderr)
    return rows


async def hole(theirs: list[Way], wait: float) -> list[dict[str, Any]]:
    for there in theirs:
        await passes(there)
    await asyncio.sleep(wait)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one_hole(there, turn)) for turn, there in enumerate(theirs)]
    return [task.result() for task in tasks]


async def passes(there: Way) -> None:
    async with connecting(there.address, PORT, 0.2) as clients:
        await first_byte(clients, 0.0)


async def one_hole(there: Way, turn: int) -> dict[str, Any]:
    """``turn``: hosts come back one by one, so that none is held up by another's log-in."""
    dropped = time.time()
    began = time.perf_counter()
    await asyncio.to_thread(there.host.drop)
    known = await knows(there, dropped, began)
    await asyncio.sleep(max(0.0, began + HOLE + 2.0 * turn - time.perf_counter()))
    async with connecting(there.address, PORT, 0.1) as clients:
        await asyncio.sleep(1)
        healed = time.perf_counter()
        await asyncio.to_thread(there.host.heal)
        back = await first_byte_at(clients, healed)
        await asyncio.sleep(0.3)
    return {
        "way": there.name,
        **known,
        "away_s": healed - began,
        "back_s": back - healed,
        **outcomes(clients, 0.0),
    }


async def knows(there: Way, dropped: float, began: float) -> dict[str, Any]:
    """Seconds until it is known; for Mooring also until the link was given up."""
    while time.perf_counter() < began + HOLE:
        if there.log is None:
            if not listens(there.address, PORT):
                return {"known_s": time.perf_counter() - began, "lost_s": None}
        elif lost := there.told("link_lost", dropped):
            first = [*there.told("link_suspect", dropped), *lost]
            told = min(first, key=lambda said: said["at"])
            known, why = told["at"] - dropped, told.get("detail") or told.get("reason")
            return {"known_s": known, "lost_s": lost[0]["at"] - dropped, "why": why}
        await asyncio.sleep(0.05)
    suspect = there.told("link_suspect", dropped)
    return {"known_s": suspect[0]["at"] - dropped if suspect else None, "lost_s": None}


async def first_byte_at(clients: list[Client], after: float) -> float:
    """When the first byte came after this time, also to a client that was held."""
    limit = time.perf_counter() + PATIENCE
    while time.perf_counter() < limit:
        if ends := [c.end for c in clients if c.outcome == "byte" and c.end > after]:
            return min(ends)
        await asyncio.sleep(0.005)
    raise RuntimeError(f"no byte within {PATIENCE:g} s")


# --- the result


def judge(
    cuts: list[dict[str, Any]], holes: list[dict[str, Any]], ways: list[str]
) -> dict[str, Any]:
    cut_table, hole_table, missed = [], [], []
    for name in ways:
        of = [row for row in cuts if row["way"] == name]
        if of:
            times = [row["s"] for row in of]
            lost = ("refused", "reset", "closed", "unserved")
            row = {
                "way": name,
                "n": len(of),
                "p50_s": quantile(times, 0.5),
                "p95_s": quantile(times, 0.95),
                "max_s": max(times),
                "longest_s": max(row["longest_s"] for row in of),
                **{key: sum(row[key] for row in of) for key in ("clients", *lost)},
            }
            cut_table.append(row)
            if name in TRANSPORTS:
                slow = row["p50_s"] >= 0.4 or row["max_s"] >= 1
                missed += [f"{name}: cut {row['p50_s']:.2f} / {row['max_s']:.2f} s"] if slow else []
                unserved = sum(row[key] for key in lost)
                missed += [f"{name}: {unserved} clients got no byte"] if unserved else []
        of = [row for row in holes if row["way"] == name]
        if of:
            # Not known in time is as long as was looked.
            known = [HOLE if row["known_s"] is None else row["known_s"] for row in of]
            backs = [row["back_s"] for row in of]
            hole_table.append(
                {
                    "way": name,
                    "n": len(of),
                    "known_p50_s": quantile(known, 0.5),
                    "known_max_s": max(known),
                    "back_p50_s": quantile(backs, 0.5),
                    "back_max_s": max(backs),
                    "away_min_s": min(row["away_s"] for row in of),
                    "away_max_s": max(row["away_s"] for row in of),
                }
            )
            if name in TRANSPORTS:
                missed += [f"{name}: known after {max(known):.1f} s"] if max(known) > 20 else []
                missed += [f"{name}: back after {max(backs):.1f} s"] if max(backs) > 1 else []
    return {
        "machine": machine(),
        "cuts": cut_table,
        "holes": hole_table,
        "missed": missed,
        "passed": not missed,
        "rows": {"cuts": cuts, "holes": holes},
    }


def show(result: dict[str, Any]) -> None:
    print(f"{result['machine']}; seconds")
    if result["cuts"]:
        columns = ("n", "p50", "p95", "max", "clients", "refused", "reset", "closed", "unserved")
        print(f"{'cut':>10}", *(f"{name:>9}" for name in columns), "longest wait")
        for row in result["cuts"]:
            cells = [
                str(row["n"]),
                *(f"{row[key]:.3f}" for key in ("p50_s", "p95_s", "max_s")),
                *(str(row[key]) for key in columns[4:]),
            ]
            print(
                f"{row['way']:>10}", *(f"{cell:>9}" for cell in cells), f"{row['longest_s']:12.3f}"
            )
    if result["holes"]:
        columns = ("n", "known p50", "known max", "back p50", "back max", "away")
        print(f"{'black hole':>10}", *(f"{name:>9}" for name in columns))
        for row in result["holes"]:
            keys = ("known_p50_s", "known_max_s", "back_p50_s", "back_max_s")
            cells = [str(row["n"]), *(f"{row[key]:.2f}" for key in keys)]
            away = f"{row['away_min_s']:.0f}-{row['away_max_s']:.0f}"
            print(f"{row['way']:>10}", *(f"{cell:>9}" for cell in [*cells, away]))
    print("goal: cut p50 < 0.4, max < 1, nobody refused; black hole known < 20, back < 1")
    for line in result["missed"]:
        print(line)
    print("passed" if result["passed"] else "FAILED")
