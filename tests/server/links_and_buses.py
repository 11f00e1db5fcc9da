"""An agent that reports something of every kind."""

from __future__ import annotations

from tests.server.buses import bus, endpoint, mended, wiring
from tests.server.remotes import forward, remote, reported
from tests.server.world import Reporter, machine


async def report_all(reporter: Reporter) -> None:
    await reporter.poll()
    await reporter.report(machine())
    await reporter.report(reported(remote(forward(80))))
    await reporter.report(wiring(bus("vcan0", endpoint("1a")), recoveries=(mended(),)))
