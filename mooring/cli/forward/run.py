"""``mooring forward run``: keeps the ports of remote hosts on this machine until a signal."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from cyclopts import Parameter

from mooring import __version__
from mooring.cli.forward.logfile import BoundedLog
from mooring.cli.forward.options import NONE, Options, StateDir, state_folder, wanted
from mooring.cli.options import Key, LogFormat, LogLevel, key_of
from mooring.cli.running import run_until_signal, settle
from mooring.core import log as logging
from mooring.core.errors import MooringError
from mooring.core.outbox import Outbox
from mooring.core.places import STATE_DIR, make_folder, only_one
from mooring.forward import control
from mooring.forward.config import File, Host
from mooring.forward.doctor import not_here

if TYPE_CHECKING:
    from mooring.forward.site import Site
    from mooring.forward.transport import Connect

log = structlog.get_logger(__name__)

FILES = 65536
"""Descriptors that are asked for; the usual 1,024 are few for a thousand forwards."""

LogFile = Annotated[
    Path | None,
    Parameter(help="Write the log there instead of to standard error, in at most 10 MiB."),
]


def run(
    *hosts: Annotated[
        str,
        Parameter(
            help="ssh://USER@HOST[:PORT] or the name of a Docker context; of several the first "
            "has a port that two publish."
        ),
    ],
    options: Options = NONE,
    key: Key = None,
    state_dir: StateDir = None,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
    log_file: LogFile = None,
) -> None:
    """Keep every port that the hosts' containers publish at the same port of this machine.

    It runs until Ctrl-C or SIGTERM, and lets every port go then. A link that is lost is made
    again for as long as it takes; connections that come meanwhile are held for 30 seconds.

    With a server it reports to that, with an agent's key, which is better given in the
    environment (MOORING_KEY) or a file than as an argument: other users can see those.
    """
    chosen = wanted(hosts, options)
    folder = make_folder(state_folder(state_dir), STATE_DIR)
    with contextlib.ExitStack() as stack:
        if log_file:
            file = stack.enter_context(BoundedLog(log_file.expanduser().absolute()))
            stack.enter_context(contextlib.redirect_stderr(file))
        logging.set_up(log_level, log_format)
        secret = key_of(chosen.server, key, chosen.key_file) if chosen.server else ""
        stack.enter_context(alone(folder))
        site = make_site(chosen.hosts, folder)
        if chosen.server:
            work = _report(site, Outbox(folder / "outbox"), chosen.server, secret)
        else:
            work = site.run()
        _greet(chosen, folder, shown=state_dir is not None)
        settle()
        run_until_signal(work)


async def _report(site: Site, outbox: Outbox, server: str, key: str) -> None:
    """Forward and report, until cancelled."""
    # The HTTP client takes a moment to load, and most run without a server.
    from mooring.core.identity import hostname
    from mooring.core.reporting import Reporter
    from mooring.core.uplink import Uplink
    from mooring.forward.reporting import keep_and_report

    async with (
        Uplink(server, key) as uplink,
        Reporter(outbox, uplink, ("forward",), hostname()) as reporter,
    ):
        await keep_and_report(site, reporter)


@contextlib.contextmanager
def alone(folder: Path, option: str = STATE_DIR) -> Iterator[None]:
    """Hold the state folder; a second instance is told who has it and how to look at that one.

    ``option`` is the one by which the folder is chosen.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_one(folder, "forward"))
        except MooringError as error:
            raise MooringError(
                f"forwarding with the state folder {folder}",
                error.why + _whom(folder),
                "look at it with: mooring forward status; end it first, or give this one its own "
                f"{option}",
            ) from None
        yield


def _whom(folder: Path) -> str:
    """What the instance that runs says that it forwards."""
    try:
        status = control.ask(folder, "status", within=1.0)
    except MooringError:
        # It has the folder, and is not asked: that it runs is known.
        return ""
    return f", and forwards {', '.join(host['host'] for host in status['hosts'])}"


def _more_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("files_limited", to=soft, why=str(error))


def make_site(hosts: tuple[Host, ...], folder: Path) -> Site:
    """What keeps these hosts; nothing runs yet. Raises ``MooringError``."""
    # The SSH library takes a moment to load: what is wrong so far is said before.
    from mooring.forward.site import Site

    _more_files()
    for host in hosts:
        if host.bind in ("0.0.0.0", "::"):
            log.warning("open_to_others", host=str(host.address), bind=host.bind)
        elif why := not_here(host.bind):
            # It may come with a VPN; until then each port is a conflict.
            log.warning("bind_not_here", host=str(host.address), bind=host.bind, why=why)
    return Site(hosts, folder, _connects({host.transport for host in hosts}))


def _connects(names: set[str]) -> dict[str, Connect]:
    """The transports that are needed, by their names."""
    connects: dict[str, Connect] = {}
    if "asyncssh" in names:
        from mooring.forward import link

        connects["asyncssh"] = link.connect
    if "openssh" in names:
        from mooring.forward import openssh

        connects["openssh"] = openssh.connect
    return connects


def _greet(chosen: File, folder: Path, *, shown: bool) -> None:
    where = f" --state-dir {folder}" if shown else ""
    try:
        print(f"Mooring {__version__}")
        for host in chosen.hosts:
            note = "" if host.bind == "127.0.0.1" else f", at {host.bind}"
            if not_here(host.bind):
                note += ", which is not an address of this machine now: see --bind"
            print(f"  forwards  {host.address}{note}")
        if chosen.server:
            print(f"  reports   {chosen.server}")
        print(f"  status    mooring forward status{where}")
        # Of several hosts env wants one named.
        names = [f" {host.address}" for host in chosen.hosts] if len(chosen.hosts) > 1 else [""]
        for name in names:
            print(f'  Docker    eval "$(mooring forward env{name}{where})"', flush=True)
    except OSError:
        # Nobody reads it: what matters is on standard error.
        sys.stdout = None
