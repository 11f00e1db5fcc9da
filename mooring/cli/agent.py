"""``mooring agent``: looks at this machine and reports to a server elsewhere."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from mooring.cli.options import DataDir, Every, Key, KeyFile, LogFormat, LogLevel, key_of
from mooring.cli.running import run_until_signal, settle
from mooring.core import log as logging
from mooring.core.outbox import Outbox
from mooring.core.places import default_data_dir, make_folder, only_one
from mooring.core.reporting import Reporter
from mooring.core.uplink import Uplink
from mooring.core.url import server_url
from mooring.discovery.identity import hostname
from mooring.discovery.run import Agent, Options


def agent(
    *,
    server: Annotated[
        str, Parameter(env_var="MOORING_SERVER", help="The server: http://HOST:8930.")
    ],
    key: Key = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    every: Every = 60.0,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
) -> None:
    """Look at this machine, again and again, and report to a server.

    Reports are kept in the data folder until the server has them. The key is better given in
    the environment (MOORING_KEY) or in a file than as an argument, which other users of the
    machine can see.
    """
    logging.set_up(log_level, log_format)
    server = server_url(server)
    secret = key_of(server, key, key_file)
    folder = make_folder((data_dir or default_data_dir()) / "agent")

    async def main() -> None:
        async with Uplink(server, secret) as uplink:
            reporter = Reporter(Outbox(folder), uplink, ("discovery",), hostname())
            agent = Agent(reporter, Options(every=every))
            settle()
            async with reporter:
                await agent.run()

    with only_one(folder, "agent"):
        run_until_signal(main())
