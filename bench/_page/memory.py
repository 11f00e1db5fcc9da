"""Whether the page stays light while a run discovers a thousand hosts, then ten thousand."""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench._lib import machine
from bench._page.browser import Tab, asked, process_memory
from bench._page.network import Network
from bench._page.site import a_site, aloud, silently
from tests.e2e.scanned import Scanner, line
from tests.parts import need

LIMITS = {1000: 300.0, 10000: 500.0}
"""MiB of a tab's process, by the number of hosts."""
FLAT = 3.0
"""MiB a minute that a tab may keep more in the last part, once garbage is collected at its begin
and at its end, and still be called flat. Between them it rises and falls with the garbage."""
LAST = 180.0
"""Seconds at the end in which it has to be flat; three fifths of a shorter run."""
EVERY = 2.0
BEAT = 0.25
DISCOVERY = 0.4
"""The share of the time in which the hosts are found; ports and services come then."""
QUESTIONS = re.compile(r"^http_requests_total{(?P<labels>.*)} (?P<n>\S+)$", re.MULTILINE)


@dataclass
class Course:
    """What the reporting agent got done."""

    hosts: int = 0
    changes: int = 0
    reports: int = 0
    late: float = 0.0
    """Seconds that it was behind at the most."""
    failure: str = ""
    done: threading.Event = field(default_factory=threading.Event)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long each run lasts (5)")
    parser.add_argument("--hosts", default="1000,10000", help="sizes, with commas (1000,10000)")
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second (200)")
    parser.add_argument("--layer", action="store_true", help="show services on the map too")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    program = need("chromium")
    need("page")
    say = silently if options.json else aloud
    say(f"{machine()}; {options.minutes:g} minutes each, {options.rate:g} changes a second")
    results = [
        measure(program, int(size), options.minutes * 60, options.rate, options.layer, say)
        for size in options.hosts.split(",")
    ]
    if options.json:
        print(json.dumps(results, indent=1))
    return 0 if all(result["passed"] for result in results) else 1


def measure(
    program: str, size: int, seconds: float, rate: float, layer: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """One run of so many hosts on a new server, with the tabs open."""
    token = secrets.token_hex(8)
    os.environ["MOORING_METRICS_TOKEN"] = token
    with a_site(program) as site:
        run = _ask(site.first)
        tabs = [
            site.browser.open("map", f"{site.url}/"),
            site.browser.open("hosts", f"{site.url}/hosts"),
            site.browser.open("run", f"{site.url}/runs/{run}"),
        ]
        site.first.go("about:blank")
        for tab in tabs:
            tab.find_process()
        course = Course()
        before = _asked(site.url, token)
        began = time.monotonic()
        reporting = threading.Thread(
            target=_report, args=(site.agent, run, size, seconds, rate, course), name="agent"
        )
        reporting.start()
        samples: list[tuple[float, dict[str, tuple[float, float, float]]]] = []
        shown = False
        kept: list[tuple[float, dict[str, float]]] = []
        while not course.done.is_set():
            if course.hosts and not shown:
                for name in ("Table", "Services") if layer else ("Table",):
                    tabs[0].press(name)
                shown = True
            course.done.wait(EVERY)
            now = time.monotonic() - began
            if not kept and now >= seconds - last_part(seconds):
                kept.append((now, {tab.name: tab.kept() for tab in tabs}))
            samples.append((now, {tab.name: tab.memory() for tab in tabs}))
            if len(samples) % 15 == 0:
                pss = ", ".join(f"{n} {m[0]:.0f}" for n, m in samples[-1][1].items())
                say(f"  {now:4.0f} s: {course.hosts} hosts, MiB of {pss}")
        last = _asked(site.url, token)
        kept.append((time.monotonic() - began, {tab.name: tab.kept() for tab in tabs}))
        reporting.join()
        lasted = time.monotonic() - began
        tabs[2].wait("document.body.innerText.includes('What it stored')")
        time.sleep(3)
        listed = tabs[1].evaluate("document.querySelector('nav.pager p')?.textContent ?? ''")
        drawn = tabs[0].evaluate("document.querySelector('[role=img]').ariaLabel")
        after = {tab.name: tab.memory() for tab in tabs}
        gpu = sum(process_memory(pid)[1] for pid in site.browser.processes("GPU"))
    return _judge(
        size, lasted, course, samples, kept, (before, last), after, gpu, listed + drawn, say
    )


def _ask(tab: Tab) -> str:
    """Ask the agent for a scan, as the dialog does; the run's id."""
    agent = asked(tab, "GET", "agents")["items"][0]["id"]
    order = {"agent_id": agent, "kind": "scan", "targets": ["10.64.0.0/18"]}
    return str(asked(tab, "POST", "runs", order)["id"])


def _report(
    agent: Scanner, run: str, size: int, seconds: float, rate: float, course: Course
) -> None:
    """Discover the network and change it, at the given pace, in one run."""
    try:
        network = Network(size)
        agent.poll(wait_s=5)
        agent.tell(run, state="starting")
        began, told, polled, at = time.monotonic(), 0.0, time.monotonic(), 0
        last = -BEAT
        finding = seconds * DISCOVERY
        while (now := time.monotonic() - began) < seconds:
            # Where the server is slower than the beat a report holds as much more.
            passed = now - last
            due = rate * passed
            if network.found() < size:
                due = max(due, size / finding * passed)
                n, scan = network.discover(at, max(1, round(due)))
                if n == 0:  # this block is full: the same is due of the next
                    at = (at + 1) % network.blocks
                    continue
            else:
                at = (at + 1) % network.blocks
                n, scan = network.change(at, round(due))
            last = now
            agent.report(scan, run)
            course.changes += n
            course.reports += 1
            course.hosts = network.found()
            if now - told >= 1:
                told = now
                phase = (
                    "hosts"
                    if course.hosts < size
                    else "ports"
                    if now < 0.7 * seconds
                    else "services"
                )
                said = line(f"{scan.block}: {len(scan.hosts)} hosts")
                agent.tell(
                    run,
                    state="running",
                    phase=phase,
                    done=course.hosts,
                    total=size,
                    remaining_s=max(0.0, seconds - now),
                    lines=[said] * 5,
                )
            if time.monotonic() - polled > 15:
                polled = time.monotonic()
                agent.poll([run])
            late = time.monotonic() - began - now - BEAT
            course.late = max(course.late, late)
            time.sleep(max(0.0, -late))
        _, scan = network.change(0, 1)
        agent.report(scan, run, final=True)
    except (OSError, ValueError, AssertionError) as error:
        course.failure = f"{type(error).__name__}: {error}"
    finally:
        course.done.set()


def _asked(url: str, token: str) -> dict[str, float]:
    """How often each question was asked so far, as the server counts."""
    request = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for match in QUESTIONS.finditer(text):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match["labels"]))
        if labels["method"] == "GET" and "/metrics" not in labels["path"]:
            found[labels["path"]] = found.get(labels["path"], 0.0) + float(match["n"])
    return found


def last_part(seconds: float) -> float:
    """How long the part lasts in which a tab has to be flat."""
    return min(LAST, seconds * 0.6)


def slope(points: list[tuple[float, float]]) -> float:
    """What a value grows by in a minute: the line of least squares through (seconds, value)."""
    if len(points) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope * 60


def _judge(
    size: int,
    lasted: float,
    course: Course,
    samples: list[tuple[float, dict[str, tuple[float, float, float]]]],
    kept: list[tuple[float, dict[str, float]]],
    counts: tuple[dict[str, float], dict[str, float]],
    after: dict[str, tuple[float, float, float]],
    gpu: float,
    shown: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    limit = next(
        (mib for hosts, mib in sorted(LIMITS.items()) if size <= hosts), max(LIMITS.values())
    )
    since = lasted - last_part(lasted)
    (at, begun), (end, ended) = kept[0], kept[-1]
    minutes = max(end - at, 1.0) / 60
    tabs = {}
    for name in after:
        pss = [m[name][0] for _, m in samples]
        late = [(at, m[name]) for at, m in samples if at >= since]
        tabs[name] = {
            "pss_max": max(pss),
            "rss_max": max(m[name][1] for _, m in samples),
            "heap_max": max(m[name][2] for _, m in samples),
            "pss_mib_a_minute": slope([(at, m[0]) for at, m in late]),
            "heap_mib_a_minute": slope([(at, m[2]) for at, m in late]),
            "kept_mib": [begun[name], ended[name]],
            "kept_mib_a_minute": (ended[name] - begun[name]) / minutes,
            "pss_after": after[name][0],
        }
    first, last = counts
    # A question of the frame is asked by each tab; a tab's own by one.
    asked = {
        path: (n - first.get(path, 0.0)) / lasted
        for path, n in sorted(last.items())
        if n > first.get(path, 0.0)
    }
    faults = [course.failure] if course.failure else []
    faults += [f"{n} takes {t['pss_max']:.0f} MiB" for n, t in tabs.items() if t["pss_max"] > limit]
    faults += [
        f"{n} keeps {t['kept_mib_a_minute']:.1f} MiB a minute more"
        for n, t in tabs.items()
        if t["kept_mib_a_minute"] > FLAT
    ]
    faults += [f"{path} is asked {n:.2f} times a second" for path, n in asked.items() if n > 1.02]
    if shown.count(f"{size:,}") < 2:
        faults.append(f"the list of hosts and the map say {shown!r}")
    say(
        f"{size:,} hosts: {course.changes:,} changes in {course.reports} reports in {lasted:.0f} s "
        f"({course.changes / lasted:.0f} a second; late by at most {course.late:.1f} s)"
    )
    for name, t in tabs.items():
        say(
            f"  {name:6} PSS {t['pss_max']:4.0f} MiB at most (RSS {t['rss_max']:.0f}, heap "
            f"{t['heap_max']:.0f}), last {lasted - since:.0f} s "
            f"{t['pss_mib_a_minute']:+.1f} MiB/min (heap {t['heap_mib_a_minute']:+.1f}), kept "
            f"{t['kept_mib'][0]:.0f} -> {t['kept_mib'][1]:.0f}: {t['kept_mib_a_minute']:+.1f}, "
            f"after the run {t['pss_after']:.0f}"
        )
    for path, n in asked.items():
        say(f"  {n:5.2f} a second  GET {path}")
    say(f"  the process that draws (software GL): RSS {gpu:.0f} MiB")
    say(
        "  goals: "
        + ("; ".join(faults) if faults else f"met (a tab < {limit:.0f} MiB, flat, ≤ 1 a second)")
    )
    return {
        "hosts": size,
        "seconds": lasted,
        "changes": course.changes,
        "reports": course.reports,
        "late_s": course.late,
        "tabs": tabs,
        "asked_per_second": asked,
        "gpu_rss": gpu,
        "faults": faults,
        "passed": not faults,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
