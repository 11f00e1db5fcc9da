"""What the program takes while nothing happens: sessions, CPU time, memory, descriptors."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from bench._forward.lab import HELLO, TRANSPORTS, Site, lab
from bench._forward.ways import BY_HAND, SSH_L, Way, way
from bench._lib import machine

DOC = """What the program takes while nothing happens.

A remote host for each way: mooring forward by both transports, and `ssh -L` and by_hand.sh beside
them. On the engine one container runs that publishes a port, and nothing changes. At the start,
each minute and at the end: the log-ins that sshd has logged (and the sessions within them, which
Mooring opens for its check of the link), and the CPU time, resident memory, descriptors and
threads of all processes on the client's side together.

Judged, for both transports: one log-in, the link live all the time, and no more descriptors at the
end than after the first ten seconds. Else the exit code is 1.
"""
PORT = 20000
SETTLE = 10.0
TROUBLES = ("link_suspect", "link_lost", "drift_found")
TUNNELS = (*TRANSPORTS, SSH_L, BY_HAND)
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/forward idle",
        description=DOC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    with lab() as site:
        site.engine.run("web", ports={"80/tcp": PORT}, command=HELLO)
        rows = measure(site, options.minutes * 60, options.json)
    result = judge(rows, options.minutes)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0 if result["passed"] else 1


def measure(site: Site, seconds: float, quiet: bool) -> dict[str, list[dict[str, Any]]]:
    """For each way what was seen, the first time after ``SETTLE``."""
    with ExitStack() as stack:
        # All hosts first: to Mooring another link here is news, and it would look at its own.
        hosts = [stack.enter_context(site.another_host(1 + n)) for n in range(len(TUNNELS))]
        theirs = [
            stack.enter_context(way(name, site, [PORT], host=host, at=f"127.0.1.{1 + number}"))
            for number, (name, host) in enumerate(zip(TUNNELS, hosts, strict=True))
        ]
        time.sleep(SETTLE)
        rows: dict[str, list[dict[str, Any]]] = {there.name: [] for there in theirs}
        began = time.monotonic()
        while True:
            since = time.monotonic() - began
            for there in theirs:
                rows[there.name].append({"s": round(since, 1), **seen(there)})
            if since >= seconds:
                return rows
            if not quiet:
                print(f"{since / 60:.0f} of {seconds / 60:g} minutes", file=sys.stderr)
            time.sleep(max(0.0, min(60.0, seconds - since)))


def seen(there: Way) -> dict[str, Any]:
    """What sshd has logged, what the client's processes take, and what the log told of trouble."""
    said = there.host.log()
    troubles = [told for event in TROUBLES for told in there.told(event)]
    found = {
        "logins": said.count("Accepted publickey"),
        "sessions": said.count("Starting session"),
        "troubles": [said["event"] for said in troubles],
        "processes": 0,
        "threads": 0,
        "cpu_s": 0.0,
        "rss_bytes": 0,
        "descriptors": 0,
    }
    for process in processes(there):
        # proc(5): after the name in brackets, which may hold anything, the third field and on.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        found["processes"] += 1
        found["threads"] += int(fields[17])
        found["cpu_s"] += (int(fields[11]) + int(fields[12])) / _TICK
        found["rss_bytes"] += int(fields[21]) * _PAGE
        found["descriptors"] += len(list((process / "fd").iterdir()))
    return found


def processes(there: Way) -> list[Path]:
    """Those on the client's side: whoever was given the remote host's key, and its children."""
    folder = f"{there.host.folder}/".encode()
    remote = there.host.commands()
    found, parents = set(), {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in remote:
            with suppress(OSError):
                if folder in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return [Path(f"/proc/{pid}") for pid in found]


def judge(rows: dict[str, list[dict[str, Any]]], minutes: float) -> dict[str, Any]:
    table, missed = [], []
    for name, of in rows.items():
        first, last = of[0], of[-1]
        row = {
            "way": name,
            "logins": last["logins"],
            "sessions": last["sessions"],
            "sessions_while_idle": last["sessions"] - first["sessions"],
            "troubles": last["troubles"],
            "processes": last["processes"],
            "cpu_s": last["cpu_s"] - first["cpu_s"],
            "cpu_percent": 100 * (last["cpu_s"] - first["cpu_s"]) / (last["s"] - first["s"]),
            "rss_mib": [first["rss_bytes"] / 2**20, last["rss_bytes"] / 2**20],
            "descriptors": [first["descriptors"], last["descriptors"]],
            "threads": [first["threads"], last["threads"]],
        }
        table.append(row)
        if name in TRANSPORTS:
            missed += [f"{name}: {row['logins']} log-ins"] if row["logins"] != 1 else []
            missed += [f"{name}: {', '.join(row['troubles'])}"] if row["troubles"] else []
            more = last["descriptors"] - first["descriptors"]
            missed += [f"{name}: {more} descriptors more"] if more > 0 else []
    return {
        "machine": machine(),
        "minutes": minutes,
        "table": table,
        "missed": missed,
        "passed": not missed,
        "rows": rows,
    }


def show(result: dict[str, Any]) -> None:
    print(f"{result['machine']}; {result['minutes']:g} minutes idle")
    columns = ("log-ins", "sessions", "later", "processes", "CPU s", "CPU %", "RSS MiB")
    columns += ("descriptors", "threads")
    print(f"{'way':>10}", *(f"{name:>12}" for name in columns))
    for row in result["table"]:
        cells = [
            *(str(row[key]) for key in ("logins", "sessions", "sessions_while_idle", "processes")),
            f"{row['cpu_s']:.2f}",
            f"{row['cpu_percent']:.2f}",
            " - ".join(f"{size:.1f}" for size in row["rss_mib"]),
            " - ".join(str(count) for count in row["descriptors"]),
            " - ".join(str(count) for count in row["threads"]),
        ]
        print(f"{row['way']:>10}", *(f"{cell:>12}" for cell in cells))
    print("goal: one log-in, no trouble, no descriptor more")
    for line in result["missed"]:
        print(line)
    print("passed" if result["passed"] else "FAILED")
