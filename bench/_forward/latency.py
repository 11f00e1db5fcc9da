"""A container's start event to the first byte through its local port, by every way to have one."""

from __future__ import annotations

import argparse
import json
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench._forward.lab import HELLO, Site, lab, until
from bench._forward.ways import NONE, WAYS, way
from bench._lib import machine, quantile

DOC = """A container's start event to the first byte through its local port.

Ways, in turns of --turn containers, so that a busy moment of the machine meets all alike, and so
that no two ways react to one container:

  none      no tunnel: the client dials the remote host's address
  ssh -L    made before the container starts, so that only the tunnel's own delay is in it
  by hand   docker events + ssh -O forward through a ControlMaster (by_hand.sh)
  asyncssh, openssh   mooring forward, started anew for each turn

From the time that the engine itself gives the event (timeNano; one clock for both sides) to the
first byte at the client. The client is told of the event by the engine, as everybody is, and
begins to dial then; where that fails it tries again after 2 ms. The container is busybox's nc,
which answers at once.

Judged: p50 < 30 ms and p99 < 500 ms by asyncssh. Else the exit code is 1.
"""
FIRST_PORT = 20000
PATIENCE = 20.0
AGAIN = 0.002
MOST_P50, MOST_P99 = 30.0, 500.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/forward latency",
        description=DOC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, default=100, help="containers for each way")
    parser.add_argument("--turn", type=int, default=20, help="containers in a row for one way")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    ways = options.ways.split(",")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    with lab() as site:
        rows = measure(site, ways, options.n, options.turn, quiet=options.json)
    result = judge(rows, ways)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0 if result["passed"] else 1


def measure(site: Site, ways: list[str], n: int, turn: int, quiet: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    ports = range(FIRST_PORT, FIRST_PORT + turn)
    made = {
        port: site.engine.run(f"web{port}", ports={"80/tcp": port}, command=HELLO, start=False)
        for port in ports
    }
    for number, done in enumerate(range(0, n, turn)):
        first = number % len(ways)
        for name in ways[first:] + ways[:first]:
            chosen = list(ports)[: n - done]
            with way(name, site, chosen) as there:
                for port in chosen:
                    row = one(site, made[port], there.address, port)
                    rows.append({"way": name, "turn": number, "port": port, **row})
                opened = {port_of(said): said["at"] for said in there.told("forward_opened")}
                for row in rows[-len(chosen) :] if opened else ():
                    row["listening_ms"] = opened[row["port"]] * 1000 - row["at_ns"] / 1e6
                end_all(site, [made[port] for port in chosen])
        if not quiet:
            print(f"{min(done + turn, n)} of {n} containers for each way", file=sys.stderr)
    return rows


# --- one container


def one(site: Site, container: str, address: str, port: int) -> dict[str, Any]:
    with events(site) as lines, ThreadPoolExecutor(1) as pool:
        while True:
            starting = pool.submit(site.engine.call, "POST", f"/containers/{container}/start")
            while not select.select([lines], [], [], 0.2)[0] and not starting.done():
                continue
            if not starting.done() or starting.exception() is None:
                break
            # runc itself fails once in a while on a busy machine.
            print(f"started once more: {starting.exception()}", file=sys.stderr)
        event = json.loads(lines.readline())
        tries, at = dial(address, port)
        starting.result()
    time.sleep(0.02)  # for nc to have let the connection go
    return {"ms": (at - event["timeNano"]) / 1e6, "tries": tries, "at_ns": event["timeNano"]}


@contextmanager
def events(site: Site) -> Iterator[Any]:
    """The engine's start events, a line of JSON each, from now on."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(site.engine.socket))
        only = '{"type":["container"],"event":["start"]}'.replace('"', "%22")
        # HTTP/1.0: no chunks.
        connection.sendall(f"GET /events?filters={only} HTTP/1.0\r\n\r\n".encode())
        with connection.makefile("rb") as lines:
            while lines.readline().strip():
                continue
            yield lines


def dial(address: str, port: int) -> tuple[int, int]:
    """Dial until the first byte comes; how many tries it took, and when, in ns since the epoch."""
    limit = time.monotonic() + PATIENCE
    tries = 0
    while time.monotonic() < limit:
        tries += 1
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                if connection.recv(1):
                    return tries, time.time_ns()
        except OSError:
            pass
        time.sleep(AGAIN)
    raise RuntimeError(f"no byte from {address}:{port} within {PATIENCE:g} s")


def port_of(said: dict[str, Any]) -> int:
    """The local port in a line of Mooring's log."""
    return int(said["place"].partition("/")[0].rpartition(":")[2])


def end_all(site: Site, containers: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda c: site.engine.call("POST", f"/containers/{c}/kill"), containers))
    until(lambda: not site.engine.call("GET", "/containers/json"), 20)


# --- the result


def judge(rows: list[dict[str, Any]], ways: list[str]) -> dict[str, Any]:
    table = []
    for name in ways:
        of = [row for row in rows if row["way"] == name]
        times = [row["ms"] for row in of]
        listening = [row["listening_ms"] for row in of if "listening_ms" in row]
        table.append(
            {
                "way": name,
                "n": len(times),
                "p50_ms": quantile(times, 0.5),
                "p95_ms": quantile(times, 0.95),
                "p99_ms": quantile(times, 0.99),
                "max_ms": max(times),
                "tries_p50": statistics.median(row["tries"] for row in of),
                "listening_p50_ms": statistics.median(listening) if listening else None,
            }
        )
    bare = next((row for row in table if row["way"] == NONE), None)
    for row in table:
        row["ratio"] = row["p50_ms"] / bare["p50_ms"] if bare else None
    ours = next((row for row in table if row["way"] == "asyncssh"), None)
    passed = ours is None or (ours["p50_ms"] < MOST_P50 and ours["p99_ms"] < MOST_P99)
    return {"machine": machine(), "table": table, "passed": passed, "rows": rows}


def show(result: dict[str, Any]) -> None:
    print(f"{result['machine']}; start event to first byte, in ms")
    columns = ("n", "p50", "p95", "p99", "max", "p50/none", "listening")
    print(f"{'way':>10}", *(f"{name:>10}" for name in columns))
    for row in result["table"]:
        listening = row["listening_p50_ms"]
        cells = [
            str(row["n"]),
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
            f"{row['ratio']:.2f}" if row["ratio"] else "",
            f"{listening:.1f}" if listening is not None else "",
        ]
        print(f"{row['way']:>10}", *(f"{cell:>10}" for cell in cells))
    print(f"goal: asyncssh p50 < {MOST_P50:g} and p99 < {MOST_P99:g}")
    print("passed" if result["passed"] else "FAILED")
