"""Who is there: 64 of 254 addresses, and 1,000 of 1,022."""

from __future__ import annotations

import argparse
import statistics

from bench._lib import machine
from bench._scan.programs import Goals, Run, arp_table, mooring, nmap, wrong
from tests.lab.hosts import site, some

SMALL, LARGE = "10.77.0.0/24", "10.76.0.0/22"
FASTER = 1.7
WHOLE = "mooring, from its start to its end"
ALONE = "its scan alone, without starting Python"
MOST_MORE_MIB = 15.0
"""Memory that a network of four times the addresses may take more."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/scan who", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--live", type=int, default=1000, help="hosts of the /22")
    options = parser.parse_args(arguments)
    print(machine())
    goals = Goals()
    small = of_254(goals, options.repetitions)
    of_1022(goals, options.live, small)
    return goals.code


def of_254(goals: Goals, repetitions: int) -> float:
    """The most memory that it took, in MiB."""
    ours: list[Run] = []
    theirs: list[Run] = []
    with site(some(64), [SMALL]) as lab:
        truth = dict.fromkeys(lab.truth, frozenset[int]())
        apart = ("10.77.0.1", "10.77.0.254")
        for _ in range(repetitions):
            ours.append(mooring(lab.scanner, "--scan", SMALL, "--hosts-only"))
            theirs.append(nmap(lab.scanner, "-sn", SMALL))
        bad = [one for run in ours for one in wrong(run, truth, apart)]
        bad_theirs = [one for run in theirs for one in wrong(run, truth, apart)]
    print(f"64 of 254, {repetitions} times, seconds as median / most")
    program, engine = [r.seconds for r in ours], [r.engine_s for r in ours]
    other = [r.seconds for r in theirs]
    for name, values in ((WHOLE, program), (ALONE, engine), ("nmap -sn", other)):
        print(f"  {name:<44} {statistics.median(values):.2f} / {max(values):.2f}")
    goals.hold(not bad, f"all 64 and no others, each time {bad[:3] or ''}")
    print(f"  nmap: {'all 64' if not bad_theirs else bad_theirs[:3]}")
    median = statistics.median(other)
    for name, values in ((ALONE, engine), (WHOLE, program)):
        ratio = median / statistics.median(values)
        goals.hold(ratio >= FASTER, f"{name} {ratio:.2f} × as fast as nmap -sn (goal {FASTER})")
    return max(run.peak_mib for run in ours)


def of_1022(goals: Goals, live: int, small_mib: float) -> None:
    with arp_table(32768), site(some(live, subnet=LARGE), [LARGE]) as lab:
        truth = dict.fromkeys(lab.truth, frozenset[int]())
        apart = ("10.76.0.1", "10.76.3.254")
        ours = mooring(lab.scanner, "--scan", LARGE, "--hosts-only")
        theirs = nmap(lab.scanner, "-sn", LARGE)
        bad, bad_theirs = wrong(ours, truth, apart), wrong(theirs, truth, apart)
        print(f"{live} of 1,022: mooring {ours.seconds:.2f} s, nmap -sn {theirs.seconds:.2f} s")
        goals.hold(not bad, f"all {live} and no others {bad[:3] or ''}")
        print(f"  nmap: {'all' if not bad_theirs else f'{len(bad_theirs)} wrong'}")
        more = ours.peak_mib - small_mib
        memory = f"{ours.peak_mib:.0f} MiB at the most, {more:+.0f} against the /24"
        goals.hold(more <= MOST_MORE_MIB, memory)
        goals.hold(not ours.warnings, f"no warning with room for all {ours.warnings or ''}")
    with arp_table(1024), site(some(live, subnet=LARGE), [LARGE]) as lab:
        ours = mooring(lab.scanner, "--scan", LARGE, "--hosts-only")
        found = len(ours.ports.keys() & lab.truth.keys())
        print(f"{live} of 1,022 with an ARP table of 1,024: {found} found")
        goals.hold(any("1,024 entries" in one for one in ours.warnings), f"said: {ours.warnings}")
