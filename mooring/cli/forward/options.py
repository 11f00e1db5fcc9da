"""Options of the ``forward`` commands, and the hosts that they describe."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from mooring.cli.options import KeyFile
from mooring.core.errors import UsageError, why_os
from mooring.core.places import default_data_dir
from mooring.core.url import server_url
from mooring.forward import address, config, contexts
from mooring.forward.address import Address
from mooring.forward.config import File, Host

MAX_CONFIG = 1024 * 1024
COMMANDS = (
    "run", "status", "wait", "explain", "diagnose", "history", "retry", "env", "metrics", "doctor",
    "service",
)  # fmt: skip

StateDir = Annotated[
    Path | None,
    Parameter(
        env_var="MOORING_FORWARD_STATE_DIR",
        help="The folder of one instance: what it remembers, and the sockets by which it is asked "
        "[default: forward in the data folder].",
    ),
]
Format = Annotated[Literal["table", "json", "yaml"], Parameter(help="How to print.")]
HostName = Annotated[
    str | None,
    Parameter(
        help="One of the hosts that are forwarded: as `status` shows it, its name alone, or the "
        "Docker context that it was named by; else all."
    ),
]
What = Annotated[
    str,
    Parameter(
        name="PLACE|CONTAINER",
        help="A place of this machine as `status` shows it (8080, 5353/udp, 127.0.0.2:8080), or "
        "the name of a remote container.",
    ),
]
Limit = Annotated[
    int, Parameter(validator=validators.Number(gte=1, lte=1000), help="At most so many lines.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What is wanted of the hosts on the command line."""

    host: Annotated[
        tuple[str, ...],
        Parameter(
            negative="", show_default=False, help="A remote host, as the argument; repeatable."
        ),
    ] = ()
    config: Annotated[
        Path | None, Parameter(help="A TOML file of hosts, each with options of its own.")
    ] = None
    bind: Annotated[str, Parameter(help="The address of this machine to listen on.")] = "127.0.0.1"
    transport: Annotated[
        Literal["asyncssh", "openssh"],
        Parameter(help="SSH in this process, or the ssh command's (KnownHostsCommand, …)."),
    ] = "asyncssh"
    identity: Annotated[
        Path | None, Parameter(help="A private key, before those of ~/.ssh/config.")
    ] = None
    known_hosts: Annotated[
        Path | None, Parameter(help="The file of known host keys [default: ~/.ssh/known_hosts].")
    ] = None
    docker_host: Annotated[
        str | None,
        Parameter(help="The remote's Docker socket, unix:///PATH [default: it is looked for]."),
    ] = None
    include: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Forward these alone: a container's name (* and ?), label=KEY[=VALUE], or "
            "port=N[-M]; repeatable.",
        ),
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="Never forward these; repeatable."),
    ] = ()
    remap: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="REMOTE=LOCAL: reach a remote port at another here; repeatable.",
        ),
    ] = ()
    server: Annotated[
        str | None,
        Parameter(
            env_var="MOORING_SERVER",
            help="Report to this server: http://HOST:8930 [default: none].",
        ),
    ] = None
    key_file: KeyFile = None


NONE = Options()


def state_folder(given: Path | None) -> Path:
    """The state folder that is meant; it need not be there."""
    if given is not None:
        return given.expanduser().absolute()
    data = os.environ.get("MOORING_DATA_DIR")
    return (Path(data).expanduser().absolute() if data else default_data_dir()) / "forward"


def hosts_of(names: tuple[str, ...], options: Options) -> tuple[Host, ...]:
    """The hosts of the command line, then those of the config file. Raises ``UsageError``."""
    return wanted(names, options).hosts


def wanted(names: tuple[str, ...], options: Options) -> File:
    """What the command line says, then the config file. Raises ``UsageError``."""
    file = _from_file(options.config) if options.config else File(())
    hosts = (*(_host(name, options) for name in (*names, *options.host)), *file.hosts)
    _check(hosts)
    server = server_url(options.server) if options.server else file.server
    key_file = options.key_file or file.key_file
    if key_file and not server:
        raise UsageError(
            f"reading the key file {key_file}", "there is no server to report to", "name --server"
        )
    return File(hosts, server, key_file)


def _check(hosts: tuple[Host, ...]) -> None:
    if not hosts:
        by_ssh = [n for n, h in contexts.contexts(contexts.folder()).items() if h[:6] == "ssh://"]
        known = f"; Docker contexts here: {', '.join(by_ssh)}" if by_ssh else ""
        raise UsageError(
            "forwarding",
            "there is no remote host",
            f"name one: mooring forward ssh://USER@HOST, or --config FILE{known}",
        )
    for number, host in enumerate(hosts):
        if any(host.address == other.address for other in hosts[:number]):
            raise UsageError(
                "reading the remote hosts", f"{host.address} is named twice", "name each host once"
            )
        _check_files(host)


def _host(name: str, options: Options) -> Host:
    return Host(
        _address(name),
        bind=address.bind(options.bind),
        transport=options.transport,
        identity=_absolute(options.identity),
        known_hosts=_absolute(options.known_hosts),
        docker_host=address.docker_host(options.docker_host) if options.docker_host else None,
        include=tuple(map(address.pattern, options.include)),
        exclude=tuple(map(address.pattern, options.exclude)),
        remap=address.remaps([address.remap(text) for text in options.remap]),
    )


def _address(name: str) -> Address:
    try:
        return contexts.resolve(name)
    except UsageError as error:
        # The short form takes any word for a host, so a command that was misspelt comes here.
        command = difflib.get_close_matches(name, COMMANDS, 1)
        if command and "://" not in name:
            remedy = f"did you mean: mooring forward {command[0]}?"
            raise UsageError(error.attempted, error.why, remedy) from None
        raise


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().absolute() if path else None


def _from_file(file: Path) -> File:
    attempted = f"reading the config file {file}"
    try:
        with file.expanduser().open("rb") as opened:
            data = opened.read(MAX_CONFIG + 1)
    except OSError as error:
        raise UsageError(attempted, why_os(error), "name a file that can be read") from None
    if len(data) > MAX_CONFIG:
        raise UsageError(attempted, f"it has more than {MAX_CONFIG} bytes", "split the hosts")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        spot = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise config.Bad(str(file), spot, "it is not UTF-8 there", "save it as UTF-8") from None
    return config.read(text, str(file), contexts.resolve)


def _check_files(host: Host) -> None:
    for option, path in (("--identity", host.identity), ("--known-hosts", host.known_hosts)):
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            what = "the private key" if option == "--identity" else "the known hosts"
            usual = "~/.ssh/id_ed25519" if option == "--identity" else "~/.ssh/known_hosts"
            raise UsageError(
                f"reading {what} {path} for {host.address}",
                why_os(error),
                f"name a file that is there, such as {option} {usual}",
            ) from None
