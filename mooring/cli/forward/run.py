"""``mooring forward run``: keeps the ports of remote hosts on this machine until a signal."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from cyclopts import Parameter

from mooring import __version__
from mooring.cli.forward.logfile import BoundedLog
from mooring.cli.forward.options import NONE, Options, StateDir, hosts_of, state_folder
from mooring.cli.options import LogFormat, LogLevel
from mooring.cli.running import run_until_signal, settle
from mooring.core import log as logging
from mooring.core.errors import MooringError
from mooring.core.places import make_folder, only_one
from mooring.forward import control
from mooring.forward.config import Host

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
    state_dir: StateDir = None,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
    log_file: LogFile = None,
) -> None:
    """Keep every port that the hosts' containers publish at the same port of this machine.

    It runs until Ctrl-C or SIGTERM, and lets every port go then. A link that is lost is made
    again for as long as it takes; connections that come meanwhile are held for 30 seconds.
    """
    chosen = hosts_of(hosts, options)
    folder = _make(state_folder(state_dir))
    with contextlib.ExitStack() as stack:
        if log_file:
            file = stack.enter_context(BoundedLog(log_file.expanduser().absolute()))
            stack.enter_context(contextlib.redirect_stderr(file))
        logging.set_up(log_level, log_format)
        stack.enter_context(_alone(folder))
        _more_files()
        for host in chosen:
            if host.bind in ("0.0.0.0", "::"):
                log.warning("open_to_others", host=str(host.address), bind=host.bind)
        site = _site(chosen, folder)
        _greet(chosen, folder, shown=state_dir is not None)
        settle()
        run_until_signal(site.run())


def _make(folder: Path) -> Path:
    try:
        return make_folder(folder)
    except MooringError as error:
        remedy = "choose another with --state-dir, or make it yours with chown"
        raise MooringError(f"using the state folder {folder}", error.why, remedy) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the state folder; a second instance is told who has it and how to look at that one."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_one(folder, "forward"))
        except MooringError as error:
            raise MooringError(
                f"forwarding with the state folder {folder}",
                error.why + _whom(folder),
                "look at it with: mooring forward status; end it first, or give this one its own "
                "--state-dir",
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


def _site(hosts: Iterable[Host], folder: Path) -> Site:
    # The SSH library takes a moment to load: what is wrong so far is said before.
    from mooring.forward.site import Site

    hosts = tuple(hosts)
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


def _greet(hosts: Iterable[Host], folder: Path, *, shown: bool) -> None:
    where = f" --state-dir {folder}" if shown else ""
    try:
        print(f"Mooring {__version__}")
        for host in hosts:
            note = "" if host.bind == "127.0.0.1" else f", at {host.bind}"
            print(f"  forwards  {host.address}{note}")
        print(f"  status    mooring forward status{where}")
        print(f'  Docker    eval "$(mooring forward env{where})"', flush=True)
    except OSError:
        # Nobody reads it: what matters is on standard error.
        sys.stdout = None
