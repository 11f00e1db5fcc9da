"""How asyncssh logs in: an address and options in, a connection out, or why not; asks nobody.

What ``~/.ssh/config`` says counts. Host keys are verified whatever it says. Loading keys and
files is done in a thread.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import asyncssh
import structlog

from mooring.core.errors import why_os
from mooring.forward import blocked
from mooring.forward.address import Address
from mooring.forward.identity import State, look_at
from mooring.forward.proxy import Proxy
from mooring.forward.transport import Blocked, Lost, Options, Peer

log = structlog.get_logger(__name__)

CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""Those that a processor does by itself come first: 749 instead of 433 MiB/s."""
_REKEY_BYTES = 64 * 1024**3
_MOST_JUMPS = 8
_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_dsa")
_GLOBAL_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_USER_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")


class _Config(Protocol):
    def get(self, option: str, default: object = None) -> object: ...


class Guard(asyncssh.SSHClient):
    """What the connection tells of itself: the host key that was not trusted, and its end."""

    def __init__(self) -> None:
        self.untrusted: asyncssh.SSHKey | None = None
        self.proxy: Proxy | None = None
        self.peer: Peer | None = None
        self.why = ""
        self.gone = asyncio.Event()

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.untrusted = key
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.why = words(exc) if exc else "it was closed"
        self.gone.set()

    async def settle(self) -> None:
        """What the connection went through ends with it."""
        if self.proxy is not None:
            await self.proxy.end()


@dataclass(slots=True)
class _Plan:
    """How one host is logged in at: what its configuration and files say."""

    address: Address
    options: Options
    host: str
    port: int
    user: str
    arguments: dict[str, Any]
    known: asyncssh.SSHKnownHosts
    alias: str
    jumps: list[Address] = field(default_factory=list)
    keys: list[Path] = field(default_factory=list)
    locked: list[Path] = field(default_factory=list)
    """Private keys that need a passphrase."""
    command: str = ""
    """The user's ProxyCommand."""

    @property
    def known_as(self) -> str:
        """The host's name in a file of known hosts."""
        return self.alias or (self.host if self.port == 22 else f"[{self.host}]:{self.port}")


async def log_in(address: Address, options: Options) -> tuple[asyncssh.SSHClientConnection, Guard]:
    """A connection that is logged in, by way of its jump hosts. Raises ``Blocked`` and ``Lost``."""
    try:
        async with asyncio.timeout(options.connect_timeout):
            return await _log_in(address, options, None, 0)
    except TimeoutError as error:
        why = f"no answer within {options.connect_timeout:g} s"
        raise Lost(f"connecting to {address}", why) from error


async def _log_in(
    address: Address,
    options: Options,
    tunnel: asyncssh.SSHClientConnection | None,
    depth: int,
) -> tuple[asyncssh.SSHClientConnection, Guard]:
    plan = await asyncio.to_thread(_plan, address, options)
    if depth > _MOST_JUMPS:
        raise Blocked(f"connecting to {address}", "its ProxyJump leads in a circle")
    direct = tunnel is None and not plan.jumps and not plan.command
    guard = Guard()
    if tunnel is None:
        for jump in plan.jumps:
            tunnel, hop = await _log_in(jump, options, tunnel, depth + 1)
            guard.peer = guard.peer or hop.peer
    try:
        if plan.command:
            guard.proxy, plan.arguments["sock"] = await Proxy.start(plan.command)
        connection = await asyncssh.connect(
            address.host,
            client_factory=lambda: guard,
            tunnel=tunnel,
            proxy_command=None,
            **plan.arguments,
        )
    except Exception as error:
        await _give_up(tunnel, guard)
        explained = await _explain(plan, guard, error)
        if explained is None:
            raise
        raise explained from error
    except BaseException:
        await _give_up(tunnel, guard)
        raise
    if tunnel is not None:
        # It ends with the connection that goes through it.
        connection.set_tunnel(tunnel)
    if direct and (peer := connection.get_extra_info("peername")):
        guard.peer = peer[:2]
    return connection, guard


async def _give_up(tunnel: asyncssh.SSHClientConnection | None, guard: Guard) -> None:
    if tunnel is not None:
        tunnel.abort()
    await guard.settle()


# --- what is known before connecting


def _plan(address: Address, options: Options) -> _Plan:
    attempted = f"preparing to connect to {address}"
    paths = _configs(options, attempted)
    given: dict[str, Any] = {}
    if address.user is not None:
        given["username"] = address.user
    if address.port is not None:
        given["port"] = address.port
    try:
        resolved = asyncssh.SSHClientConnectionOptions(
            config=paths, host=address.host, known_hosts=None, client_keys=None, **given
        )
    except OSError as error:
        raise Blocked(attempted, f"{error.filename}: {why_os(error)}") from error
    except (ValueError, asyncssh.DisconnectError) as error:
        raise Blocked(attempted, str(error), "see ssh_config(5)") from error
    config = resolved.config
    known = _known_hosts(config, options)
    plan = _Plan(
        address=address,
        options=options,
        host=resolved.host,
        port=resolved.port,
        user=resolved.username,
        known=known,
        alias=str(config.get("HostKeyAlias") or ""),
        arguments={
            **given,
            "config": paths,
            "known_hosts": known,
            "connect_timeout": None,
            "login_timeout": options.connect_timeout,
            "keepalive_interval": options.keepalive,
            "keepalive_count_max": 2,
            "rekey_bytes": _REKEY_BYTES,
            "agent_forwarding": False,
            "x11_forwarding": False,
        },
    )
    if config.get("Ciphers") is None:
        plan.arguments["encryption_algs"] = CIPHERS
    _choose_way(plan, config)
    _choose_keys(plan, config)
    return plan


def _configs(options: Options, attempted: str) -> list[Path]:
    if options.config is not None:
        if not options.config.is_file():
            raise Blocked(attempted, f"there is no file {options.config}", "see --ssh-config")
        return [options.config]
    usual = (Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config"))
    return [path for path in usual if os.access(path, os.R_OK)]


def _known_hosts(config: _Config, options: Options) -> asyncssh.SSHKnownHosts:
    """All known hosts. A line that makes no sense costs only itself, as with ssh."""
    files: list[str] = []
    if options.known_hosts is not None:
        files = [str(options.known_hosts)]
    else:
        for keyword, usual in (
            ("UserKnownHostsFile", _USER_KNOWN),
            ("GlobalKnownHostsFile", _GLOBAL_KNOWN),
        ):
            said = config.get(keyword)
            files += said if isinstance(said, list) else usual
    known = asyncssh.SSHKnownHosts()
    for file in files:
        path = Path(file).expanduser()
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            # As with ssh: a file that is not there knows nobody.
            continue
        for number, line in enumerate(lines, 1):
            try:
                known.load(line)
            except ValueError as error:
                log.warning("known_hosts_line", file=str(path), line=number, why=str(error))
    return known


def _choose_way(plan: _Plan, config: _Config) -> None:
    """Through jump hosts, or a command of the user's."""
    jump = str(config.get("ProxyJump") or "none")
    command = str(config.get("ProxyCommand") or "none")
    if jump.lower() != "none":
        hops = [_hop(hop, plan.address) for hop in jump.split(",")]
        # `Host *` with a ProxyJump is meant for all but the jump host itself.
        if hops[-1].host not in (plan.address.host, plan.host):
            plan.jumps = hops
    elif command.lower() != "none":
        plan.command = command


def _hop(text: str, address: Address) -> Address:
    found = re.fullmatch(
        r"(?:ssh://)?(?:([^@\s]+)@)?(\[[^\]]+\]|[^:\s]+)(?::(\d+))?/?", text.strip()
    )
    if not found:
        raise Blocked(f"connecting to {address}", f"its ProxyJump {text!r} makes no sense")
    user, host, port = found.groups()
    return Address(host.strip("[]"), user, int(port) if port else None)


def _choose_keys(plan: _Plan, config: _Config) -> None:
    """Which keys are tried. With ``--identity`` only that one, from its file or the agent."""
    said = config.get("IdentityFile")
    if plan.options.identity is not None:
        candidates = [plan.options.identity]
        if not plan.options.identity.is_file():
            raise Blocked(
                f"preparing to connect to {plan.address}",
                f"there is no file {plan.options.identity}",
                "name a private key with --identity",
            )
    elif isinstance(said, list):
        candidates = [Path(name).expanduser() for name in said if name.lower() != "none"]
    else:
        candidates = [Path("~/.ssh", name).expanduser() for name in _USUAL_KEYS]
    identities: list[bytes] = []
    for path in candidates:
        state, public = look_at(path)
        if public is not None:
            identities.append(public)
        if state is State.USABLE:
            plan.keys.append(path)
        elif state is State.LOCKED:
            plan.locked.append(path)
        elif state is State.BROKEN and plan.options.identity is not None:
            raise Blocked(
                f"preparing to connect to {plan.address}",
                f"{path} is not a private key that can be read",
                "name the private key, not its .pub file",
            )
    only = plan.options.identity is not None or bool(config.get("IdentitiesOnly"))
    if only and identities:
        plan.arguments["agent_identities"] = identities
    # With those that are locked: an empty list would stand for the usual places.
    plan.arguments["client_keys"] = [str(path) for path in (*plan.keys, *plan.locked)]
    plan.arguments["ignore_encrypted"] = True


# --- why it failed


async def _explain(plan: _Plan, guard: Guard, error: Exception) -> Blocked | Lost | None:
    address, options = plan.address, plan.options
    attempted = f"connecting to {address}"
    if isinstance(error, Blocked | Lost):
        return error
    if isinstance(error, asyncssh.HostKeyNotVerifiable) and guard.untrusted is not None:
        kind, shown = guard.untrusted.get_algorithm(), guard.untrusted.get_fingerprint()
        if _was_known(plan):
            return _changed(plan, kind, shown)
        return blocked.unknown_host_key(address, options, kind, shown)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        remedy = f"see: {blocked.by_hand(address, options)}"
        return Blocked(f"verifying the host key of {address}", error.reason, remedy)
    if isinstance(error, asyncssh.PermissionDenied):
        return blocked.denied(address, options, plan.user, await _tried(plan), plan.locked)
    if isinstance(error, asyncssh.KeyExchangeFailed):
        if "host key" in error.reason and _was_known(plan):
            return _changed(plan)
        return Blocked(attempted, error.reason, "see Ciphers, MACs, … in ssh_config(5)")
    if isinstance(error, asyncssh.DisconnectError):
        if "authentication failures" in error.reason:
            tried = await _tried(plan)
            return Blocked(
                f"logging in at {address}",
                f"{error.reason}; tried: {', '.join(tried)}",
                "name the right key: --identity FILE",
            )
        said = guard.proxy.said if guard.proxy else ""
        return Lost(attempted, words(error) + (f" (its ProxyCommand: {said})" if said else ""))
    if isinstance(error, asyncssh.ChannelOpenError):
        return Lost(attempted, f"the jump host can't reach it: {error.reason}")
    if isinstance(error, OSError):
        return Lost(attempted, words(error))
    if isinstance(error, ValueError):
        # Of a configuration's values: ciphers that are none, certificates that are not there.
        return Blocked(attempted, str(error), "see ssh_config(5)")
    return None


def _changed(plan: _Plan, kind: str = "", fingerprint: str = "") -> Blocked:
    file = f"-f {plan.options.known_hosts} " if plan.options.known_hosts else ""
    removal = f"ssh-keygen {file}-R '{plan.known_as}'"
    return blocked.changed_host_key(plan.address, plan.options, kind, fingerprint, removal)


def _was_known(plan: _Plan) -> bool:
    """Whether some other key of that host is known."""
    port = plan.port if plan.port != 22 else None
    try:
        keys, authorities, revoked, *_ = plan.known.match(plan.alias or plan.host, "", port)
    except ValueError:
        return False
    return bool(keys or authorities or revoked)


async def _tried(plan: _Plan) -> list[str]:
    """The keys that were offered: the agent's first, then those of files."""
    shown = []
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if path:
        shown += [f"{key} of the agent" async for key in _agent_keys(path, plan)]
    return shown + [str(key) for key in plan.keys]


async def _agent_keys(path: str, plan: _Plan) -> AsyncIterator[str]:
    wanted = plan.arguments.get("agent_identities")
    try:
        async with asyncio.timeout(1), asyncssh.connect_agent(path) as agent:
            for key in await agent.get_keys(wanted):
                yield key.get_comment() or key.get_algorithm()
    except (OSError, ValueError, TimeoutError):
        return


def words(error: Exception) -> str:
    """Why a connection can't be made or was lost, as a person says it."""
    if isinstance(error, socket.gaierror):
        return f"its name can't be resolved: {why_os(error)}"
    if isinstance(error, asyncssh.DisconnectError):
        known = {
            "Connection lost": "the remote side closed it",
            "Server not responding to keepalive": blocked.NO_SIGN,
            "Login timeout expired": "no log-in in time",
        }
        return known.get(error.reason, error.reason)
    if isinstance(error, OSError):
        # asyncio writes the address into the words; with several, all that failed into one.
        numbers = {int(n) for n in re.findall(r"\[Errno (\d+)\]", str(error))}
        said = ", ".join(sorted(os.strerror(number).lower() for number in numbers))
        return said or why_os(error)
    return str(error)
