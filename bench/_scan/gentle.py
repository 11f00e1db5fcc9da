"""What a host sees of a scan, counted where it arrives, by the kernel's clock."""

from __future__ import annotations

import argparse

from bench._lib import machine
from bench._scan.programs import Goals, mooring, nmap
from tests.lab.counting import Counter
from tests.lab.hosts import Spec, site

TARGETS = (Spec("10.77.0.5", (22, 80)), Spec("10.77.0.6", (22, 80), drops=True))
WINDOWS = (0.1, 1.0)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/scan gentle", description=__doc__)
    parser.add_argument("--rates", default="200,1000,5000", help="SYNs a second to one host")
    options = parser.parse_args(arguments)
    print(machine())
    goals = Goals()
    with site(TARGETS) as lab:
        names = [spec.ip for spec in TARGETS]
        for rate in map(int, options.rates.split(",")):
            counters = [Counter(lab.hosts[ip]) for ip in names]
            targets = [f"--scan={ip}" for ip in names]
            found = mooring(lab.scanner, *targets, f"--target-rate={rate}")
            for spec, counter in zip(TARGETS, counters, strict=True):
                times = counter.end()
                most = [counter.most(window) for window in WINDOWS]
                what = "drops" if spec.drops else "resets"
                goals.hold(
                    most[0] <= rate / 10 and most[1] <= rate,
                    f"{rate} a second: {len(times)} SYNs to the host that {what}, at most "
                    f"{most[0]} in 0.1 s and {most[1]} in 1 s",
                )
            goals.hold(found.ports == dict(lab.truth), "and found what is there")
        counters = [Counter(lab.hosts[ip]) for ip in names]
        nmap(lab.scanner, "-sS", "-T4", *names)
        for spec, counter in zip(TARGETS, counters, strict=True):
            counter.end()
            most = [counter.most(window) for window in WINDOWS]
            what = "drops" if spec.drops else "resets"
            print(f"  nmap -T4, the host that {what}: at most {most[0]} in 0.1 s, {most[1]} in 1 s")
    return goals.code
