"""``mooring up``: the server and this machine's agent, in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mooring.cli.options import DataDir, Every, Host, LogFormat, LogLevel, Port
from mooring.cli.running import run_until_signal, settle
from mooring.cli.scanning import RATE, AllowScan, AskPrinters, Scan, ScanRate, wiring
from mooring.cli.server import a_server
from mooring.core import log as logging
from mooring.core.identity import hostname
from mooring.core.outbox import Outbox
from mooring.core.places import default_data_dir, make_folder, only_one
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.core.uplink import Uplink
from mooring.discovery.run import Agent, Options

if TYPE_CHECKING:
    from mooring.server.state import State


def up(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8930,
    data_dir: DataDir = None,
    every: Every = 60.0,
    scan: Scan = True,
    allow_scan: AllowScan = (),
    scan_rate: ScanRate = RATE,
    ask_printers: AskPrinters = False,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
) -> None:
    """Map this machine: the server, its page, and an agent that looks at this machine.

    The first start prints a link that makes the owner's account.
    """
    logging.set_up(log_level, log_format)
    folder = make_folder(data_dir or default_data_dir())

    reports = make_folder(folder / "agent")
    options = Options(every=every, scans=wiring(scan, allow_scan, scan_rate, ask_printers))

    async def main() -> None:
        # Opened before anything is served: what is wrong with it is said at once.
        outbox = Outbox(reports)
        async with a_server(folder, host, port) as running, Tasks("up") as tasks:
            key = await _key_for_this_machine(cast("State", running.state))
            settle()
            tasks.start("agent", _agent(running.url, key, outbox, options))
            await running.watch()

    # `mooring agent` keeps its reports in the same place.
    with only_one(folder, "server"), only_one(reports, "agent"):
        run_until_signal(main())


async def _agent(url: str, key: str, outbox: Outbox, options: Options) -> None:
    async with Uplink(url, key) as uplink:
        reporter = Reporter(outbox, uplink, options.duties, hostname())
        agent = Agent(reporter, options)
        async with reporter:
            await agent.run()


async def _key_for_this_machine(state: State) -> str:
    """A new key at each start: so it need not be kept anywhere."""
    from mooring.server import auth
    from mooring.server.db import keys, networks

    now = state.clock()
    async with state.database.write() as connection:
        home = await networks.ensure_home(connection, now)
        await keys.remove_named(connection, auth.BUILT_IN, "agent")
        secret, _ = await auth.create_key(
            connection,
            name=auth.BUILT_IN,
            kind="agent",
            role="viewer",
            network_id=home["id"],
            expires_at=None,
            now=now,
        )
    return secret
