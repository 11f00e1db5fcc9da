"""``mooring agent``: looks at this machine, forwards if asked; reports to a server elsewhere."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mooring.cli.options import DataDir, Every, Key, KeyFile, LogFormat, LogLevel, key_of
from mooring.cli.running import run_until_signal, settle
from mooring.cli.scanning import RATE, AllowScan, AskPrinters, Scan, ScanRate, wiring
from mooring.core import log as logging
from mooring.core.identity import hostname
from mooring.core.outbox import Outbox
from mooring.core.places import default_data_dir, make_folder, only_one
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.core.uplink import Uplink
from mooring.core.url import server_url
from mooring.discovery.run import Agent, Options

if TYPE_CHECKING:
    from mooring.forward.config import Host
    from mooring.forward.site import Site


def agent(
    *,
    server: Annotated[
        str, Parameter(env_var="MOORING_SERVER", help="The server: http://HOST:8930.")
    ],
    key: Key = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    every: Every = 60.0,
    forward: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="A remote Docker host whose ports are kept on this machine meanwhile, as "
            "`mooring forward run` does; repeatable.",
        ),
    ] = (),
    forward_config: Annotated[
        Path | None, Parameter(help="A TOML file of such hosts, each with options of its own.")
    ] = None,
    scan: Scan = True,
    allow_scan: AllowScan = (),
    scan_rate: ScanRate = RATE,
    ask_printers: AskPrinters = False,
    can: Annotated[
        bool,
        Parameter(
            negative="",
            help="Report this machine's CAN buses too, as `mooring can report` does. Needs root.",
        ),
    ] = False,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
) -> None:
    """Look at this machine, again and again, and report to a server; scan networks when asked.

    Reports are kept in the data folder until the server has them. The key is better given in
    the environment (MOORING_KEY) or in a file than as an argument, which other users of the
    machine can see.
    """
    logging.set_up(log_level, log_format)
    server = server_url(server)
    secret = key_of(server, key, key_file)
    hosts = _hosts(forward, forward_config)
    options = Options(every=every, scans=wiring(scan, allow_scan, scan_rate, ask_printers))
    data = data_dir or default_data_dir()
    folder = make_folder(data / "agent")

    with contextlib.ExitStack() as stack:
        stack.enter_context(only_one(folder, "agent"))
        site = _site(hosts, data / "forward", stack) if hosts else None
        run_until_signal(_work(server, secret, folder, options, site, can=can))


async def _work(
    server: str, key: str, folder: Path, options: Options, site: Site | None, *, can: bool
) -> None:
    duties = (*options.duties, *(["forward"] if site else []), *(["can"] if can else []))
    async with Uplink(server, key) as uplink:
        reporter = Reporter(Outbox(folder), uplink, duties, hostname())
        discovery = Agent(reporter, options)
        settle()
        async with reporter, Tasks("agent") as tasks:
            if site:
                from mooring.forward.reporting import keep_and_report

                # What ends it is in the log; the machine is looked at all the same.
                tasks.start("forward", keep_and_report(site, reporter))
            if can:
                from mooring.can.reporting import Reports
                from mooring.can.run import SOCKET, STATE

                tasks.supervise("can", Reports(STATE, SOCKET, reporter, discovery.identity).turn)
            await discovery.run()


def _hosts(names: tuple[str, ...], file: Path | None) -> tuple[Host, ...]:
    """The remote hosts to forward. Raises ``UsageError``."""
    if not names and not file:
        return ()
    from mooring.cli.forward import options

    return options.hosts_of(names, options.Options(config=file))


def _site(hosts: tuple[Host, ...], folder: Path, stack: contextlib.ExitStack) -> Site:
    """What keeps these hosts; the folder is held for as long as the stack is."""
    from mooring.cli.forward import run

    make_folder(folder)
    stack.enter_context(run.alone(folder, "--data-dir"))
    return run.make_site(hosts, folder)
