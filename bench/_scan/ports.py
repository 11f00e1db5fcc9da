"""What is open: 64 and 250 hosts of which a quarter drops packets, and all ports of one host."""

from __future__ import annotations

import argparse
import statistics

from bench._lib import machine
from bench._scan.programs import Goals, arp_table, mooring, nmap, wrong
from mooring.discovery import catalogue
from mooring.discovery.scan import ports
from mooring.discovery.scan.options import TARGET_RATE, ScanOptions
from mooring.model.scan import Depth
from tests.lab.hosts import Spec, site, some

NET = "10.77.0.0/24"
APART = ("10.77.0.1", "10.77.0.254")
FASTER = 2.0
ONE = "10.77.0.5"
ODD = (22, 80, 443, 1025, 8080, 31337, 40123, 60001, 65535)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/scan ports", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3, help="with 64 hosts")
    parser.add_argument("--only", choices=("64", "250", "full"))
    options = parser.parse_args(arguments)
    print(machine())
    goals = Goals()
    if options.only in (None, "64"):
        many(goals, 64, options.repetitions)
    if options.only in (None, "250"):
        many(goals, 250, 1)
    if options.only in (None, "full"):
        for drops in (False, True):
            one(goals, drops=drops)
    return goals.code


def many(goals: Goals, count: int, repetitions: int) -> None:
    usual = catalogue.load(catalogue.users_folders()).catalogue.light_ports
    numbers = ports.looked_at(Depth.LIGHT, ScanOptions(usual=usual))
    same = ",".join(f"{low}-{high}" for low, high in numbers)
    total = sum(high - low + 1 for low, high in numbers)
    ours, theirs, engine = [], [], []
    bad: list[str] = []
    bad_theirs: list[str] = []
    peak = cpu = 0.0
    with arp_table(32768), site(some(count, dropping=0.25), [NET]) as lab:
        for _ in range(repetitions):
            run = mooring(lab.scanner, "--scan", NET)
            bad += wrong(run, lab.truth, APART)
            ours.append(run.seconds)
            engine.append(run.engine_s)
            peak, cpu = max(peak, run.peak_mib), max(cpu, run.cpu)
            run = nmap(lab.scanner, "-sS", "-T4", "-p", same, NET)
            bad_theirs += wrong(run, lab.truth, APART)
            theirs.append(run.seconds)
    print(f"{count} hosts, a quarter drops, {total} ports, {repetitions} times; seconds, median")
    print(f"  mooring {statistics.median(ours):.2f} (its scan {statistics.median(engine):.2f}), "
          f"CPU {cpu:.1f}, {peak:.0f} MiB")  # fmt: skip
    print(f"  nmap -sS -T4 {statistics.median(theirs):.2f}, "
          f"{'found all' if not bad_theirs else f'{len(bad_theirs)} hosts wrong'}")  # fmt: skip
    goals.hold(not bad, f"found what is there and nothing else {bad[:3] or ''}")
    ratio = statistics.median(theirs) / statistics.median(ours)
    goals.hold(ratio >= FASTER, f"{ratio:.1f} × as fast as nmap -sS -T4 (goal {FASTER})")


def one(goals: Goals, *, drops: bool) -> None:
    what = "drops" if drops else "resets"
    with site([Spec(ONE, ODD, drops=drops)], [NET]) as lab:
        ours = mooring(lab.scanner, "--scan", ONE, "--full")
        bad = wrong(ours, lab.truth, ())
        paced = nmap(lab.scanner, "-sS", "-T4", "-p-", f"--max-rate={TARGET_RATE}", ONE)
        free = nmap(lab.scanner, "-sS", "-T4", "-p-", ONE)
        bad_theirs = wrong(paced, lab.truth, ()) + wrong(free, lab.truth, ())
    print(f"all ports of one host that {what}: mooring {ours.seconds:.1f} s at {TARGET_RATE} a "
          f"second, nmap {paced.seconds:.1f} s at that rate, {free.seconds:.1f} s at its own; "
          f"{bad_theirs or 'it found all'}")  # fmt: skip
    goals.hold(not bad, f"found what is there and nothing else {bad or ''}")
