"""What on this machine could keep forwards from working: looked at, never changed.

A host in, checks out, each with what to do. The remote host is not dialled; its name is looked up,
and OpenSSH's programs are asked where they are installed.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from mooring.core.errors import why_os
from mooring.core.places import open_to_others
from mooring.forward import blocked
from mooring.forward.config import Host
from mooring.forward.doors import LONGEST
from mooring.forward.keep import folder_of
from mooring.forward.local_docker import path_for
from mooring.forward.transport import Options
from mooring.model.forward import LinkState, RemoteHost

ENOUGH_FILES = 4096
"""Descriptors for a thousand forwards with some connections each."""
_WITHIN = 5.0
_PROC = Path("/proc/sys/net/ipv4")


class Verdict(StrEnum):
    FINE = "fine"
    CARE = "care"
    """It may be meant so."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def fine(name: str, detail: str) -> Check:
    return Check(name, Verdict.FINE, detail)


def care(name: str, detail: str, remedy: str) -> Check:
    return Check(name, Verdict.CARE, detail, remedy)


def wrong(name: str, detail: str, remedy: str) -> Check:
    return Check(name, Verdict.WRONG, detail, remedy)


# --- this machine


def machine(state_dir: Path, environ: Mapping[str, str]) -> list[Check]:
    """What is the same for every host."""
    return [_state(state_dir), _files(), _low_ports(), _linger(environ)]


def _state(folder: Path) -> Check:
    name = "state folder"
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return wrong(
            name, f"{folder} can't be written", "choose another with --state-dir, or use chown"
        )
    return fine(name, str(folder))


def _files() -> Check:
    """The hard limit counts: up to it we raise our own."""
    name = "open files"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return fine(name, "unlimited")
    if most < 1024:
        return wrong(
            name,
            f"{most} at most: too few for a hundred forwards in use",
            "raise the hard limit in /etc/security/limits.conf",
        )
    if most < ENOUGH_FILES:
        return care(
            name,
            f"{most} at most: some {most // 2} connections at once",
            f"for more: LimitNOFILE={ENOUGH_FILES} in a unit, or /etc/security/limits.conf",
        )
    return fine(name, f"{most} at most")


def _low_ports() -> Check:
    name = "ports below 1024"
    if os.geteuid() == 0:
        return fine(name, "allowed: this is root")
    try:
        first = int((_PROC / "ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        # macOS allows them on every address; other systems do not.
        if sys.platform == "darwin":
            return fine(name, "allowed")
        first = 1024
    if first <= 80:
        return fine(name, f"allowed from {first} on")
    return care(
        name,
        f"only from {first} on; a container that publishes port 80 is a conflict",
        "--remap 80=8080, or: sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
    )


def _linger(environ: Mapping[str, str]) -> Check:
    name = "as a service"
    user = environ.get("USER") or environ.get("LOGNAME") or ""
    if sys.platform == "darwin":
        return fine(name, "launchd runs it while the user is logged in")
    if not shutil.which("systemctl") or not Path("/run/systemd/system").is_dir():
        return care(name, "there is no systemd here", "start it by other means, such as cron")
    if Path("/var/lib/systemd/linger", user).exists():
        return fine(name, f"it starts with the machine (lingering is on for {user})")
    return care(
        name,
        "it would start with the first log-in and end with the last",
        f"to have it always: loginctl enable-linger {user}",
    )


# --- reporting


def of_reports(server: str | None, key_file: Path | None) -> list[Check]:
    """What concerns a server to report to; it is not dialled, its name is looked up."""
    checks = []
    if server:
        where = urlsplit(server).hostname or ""
        try:
            addresses = _looked_up(where)
            checks.append(fine("server", f"{server}, at {', '.join(addresses[:4])}"))
        except (OSError, UnicodeError) as error:
            why = f"{where} can't be resolved: {_why(error)}"
            checks.append(wrong("server", why, "see whether --server is spelt right"))
    if key_file:
        checks.append(_key_file(key_file.expanduser()))
    return checks


def _key_file(file: Path) -> Check:
    name = "key file"
    try:
        file.open("rb").close()
        shared = open_to_others(file)
    except OSError as error:
        return wrong(name, f"{file} can't be read: {why_os(error)}", "see --key-file")
    if shared:
        return wrong(name, f"{file} can be read by others", f"chmod 600 {file}")
    return fine(name, str(file))


# --- what runs already


def of_running(host: RemoteHost) -> list[Check]:
    """How the link of a host is that an instance forwards now."""
    name = "link"
    detail = f"{host.state}: {host.detail}" if host.detail else str(host.state)
    if host.state is LinkState.BLOCKED:
        return [wrong(name, detail, f"mooring forward diagnose {host.host}")]
    if host.state is LinkState.LIVE and not host.detail:
        return [fine(name, detail)]
    return [care(name, detail, f"mooring forward diagnose {host.host}")]


# --- one host


def of_host(host: Host, state_dir: Path, environ: Mapping[str, str]) -> list[Check]:
    """What concerns one host: its ssh configuration, name, keys, host key, addresses here."""
    config, checks = _config(host)
    checks.append(_name(host, config))
    checks += _keys(host, config, environ)
    checks.append(_known(host, config))
    checks.append(_bind(host))
    checks.append(_socket(host, state_dir))
    return checks


def _config(host: Host) -> tuple[dict[str, list[str]], list[Check]]:
    """What ``ssh -G`` makes of the host: keywords in small letters, each with its values."""
    name = "ssh configuration"
    if not shutil.which("ssh"):
        why = "there is no ssh command here to ask"
        if host.transport == "openssh":
            return {}, [wrong(name, why, "install OpenSSH's client, or leave out --transport")]
        return {}, [care(name, why, "none is needed: Mooring brings its own")]
    status, out, err = _ran("ssh", "-G", *blocked.words(host.address, _options(host)))
    if status != 0:
        last = err.strip().splitlines()[-1:] or [f"ssh -G ended with {status}"]
        return {}, [wrong(name, last[0], "mend ~/.ssh/config")]
    config: dict[str, list[str]] = {}
    for line in out.splitlines():
        key, _, value = line.partition(" ")
        config.setdefault(key, []).append(value)
    user, where, port = (config.get(k, [""])[0] for k in ("user", "hostname", "port"))
    by = "".join(
        f", by way of {value}"
        for key in ("proxyjump", "proxycommand")
        for value in config.get(key, [])
        if value != "none"
    )
    return config, [fine(name, f"{user}@{where}, port {port}{by}")]


def _name(host: Host, config: Mapping[str, list[str]]) -> Check:
    name = "name"
    where = config.get("hostname", [host.address.host])[0]
    proxied = [k for k in ("proxyjump", "proxycommand") if config.get(k, ["none"]) != ["none"]]
    if proxied:
        return fine(name, f"{where} is looked up by the host on the way")
    try:
        addresses = _looked_up(where)
    except (OSError, UnicodeError) as error:
        remedy = "see whether it is spelt right, or give it a HostName in ~/.ssh/config"
        return wrong(name, f"{where} can't be resolved: {_why(error)}", remedy)
    return fine(name, ", ".join(addresses[:4]) if addresses != [where] else f"{where}, an address")


def _looked_up(name: str) -> list[str]:
    """A name's addresses. Raises OSError and UnicodeError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _why(error: OSError | UnicodeError) -> str:
    return why_os(error) if isinstance(error, OSError) else str(error)


def _keys(host: Host, config: Mapping[str, list[str]], environ: Mapping[str, str]) -> list[Check]:
    agent, in_agent = _agent(config, environ)
    named = [host.identity] if host.identity else []
    files = named or [Path(f).expanduser() for f in config.get("identityfile", [])]
    checks = list(_each_key(files, bool(named), in_agent))
    if not any(check.verdict is Verdict.FINE for check in checks) and not in_agent:
        usual = ", ".join(f.name for f in files) or "none"
        checks.append(
            wrong(
                "key",
                f"there is none to log in with (looked for: {usual})",
                f"make one and let it in there: ssh-keygen; {_copy_key(host)}",
            )
        )
    return [*checks, agent]


def _each_key(files: list[Path], named: bool, in_agent: int) -> Iterator[Check]:
    for file in files:
        name = f"key {file.name}"
        try:
            shared = open_to_others(file)
            file.open("rb").close()
        except FileNotFoundError:
            if named:
                yield wrong(name, f"{file} is not there", "see --identity")
            continue
        except OSError as error:
            yield wrong(name, f"{file} can't be read: {why_os(error)}", f"chown it: {file}")
            continue
        if shared:
            yield wrong(name, f"{file} can be read by others", f"chmod 600 {file}")
        elif _locked(file):
            remedy = f"ssh-add {file}"
            if in_agent:
                yield care(name, f"{file} needs a passphrase; the agent may have it", remedy)
            else:
                yield wrong(name, f"{file} needs a passphrase, and nobody is asked", remedy)
        else:
            yield fine(name, str(file))


def _locked(file: Path) -> bool:
    """Whether a private key needs a passphrase."""
    if not shutil.which("ssh-keygen"):
        return False
    status, _, err = _ran("ssh-keygen", "-y", "-P", "", "-f", str(file))
    return status != 0 and "passphrase" in err


def _agent(config: Mapping[str, list[str]], environ: Mapping[str, str]) -> tuple[Check, int]:
    """The SSH agent, and how many keys it has."""
    name = "SSH agent"
    path = config.get("identityagent", [""])[0]
    if path == "none":
        return fine(name, "not asked: IdentityAgent none"), 0
    if path in ("", "SSH_AUTH_SOCK"):
        path = environ.get("SSH_AUTH_SOCK", "")
    if not path:
        return care(name, "none runs", "only needed for keys with a passphrase: ssh-agent"), 0
    if not shutil.which("ssh-add"):
        return care(name, f"{path}; there is no ssh-add here to ask it", ""), 0
    status, out, err = _ran("ssh-add", "-l", SSH_AUTH_SOCK=path)
    if status == 0:
        number = len(out.splitlines())
        return fine(name, f"{number} keys" if number != 1 else "one key"), number
    if status == 1:
        return care(name, "it has no keys", "ssh-add ~/.ssh/id_ed25519"), 0
    said = err.strip().splitlines()[-1:] or ["it does not answer"]
    return wrong(name, f"{path}: {said[0]}", "start one, or unset SSH_AUTH_SOCK"), 0


def _known(host: Host, config: Mapping[str, list[str]]) -> Check:
    name = "host key"
    if not shutil.which("ssh-keygen"):
        return care(name, "there is no ssh-keygen here to look for it", "")
    where = config.get("hostkeyalias") or config.get("hostname") or [host.address.host]
    port = config.get("port", [str(host.address.port or 22)])[0]
    looked = where[0] if port == "22" or "hostkeyalias" in config else f"[{where[0]}]:{port}"
    files = [
        Path(file).expanduser()
        for key in ("userknownhostsfile", "globalknownhostsfile")
        for value in config.get(key, ["~/.ssh/known_hosts"])
        for file in value.split()
    ]
    if host.known_hosts:
        files = [host.known_hosts]
    for file in files:
        if not file.is_file():
            continue
        status, out, _ = _ran("ssh-keygen", "-F", looked, "-f", str(file))
        if status == 0 and out.strip():
            return fine(name, f"{looked} is in {file}")
    shown = files[0] if files else "~/.ssh/known_hosts"
    by_hand = blocked.by_hand(host.address, _options(host))
    return wrong(name, f"{looked} is not in {shown}", f"log in by hand once: {by_hand}")


def _options(host: Host) -> Options:
    return Options(identity=host.identity, known_hosts=host.known_hosts)


def _copy_key(host: Host) -> str:
    return blocked.copy_key(host.address, _options(host))


def not_here(ip: str) -> str:
    """Why an address can't be listened on here; empty when it can."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as tried:
            tried.bind((ip, 0))
    except OSError as error:
        return why_os(error)
    return ""


def _bind(host: Host) -> Check:
    name = "address here"
    if why := not_here(host.bind):
        return wrong(name, f"{host.bind} can't be listened on: {why}", "see --bind")
    if host.bind in ("0.0.0.0", "::"):
        remedy = "--bind 127.0.0.1 keeps them to this machine"
        return care(name, f"{host.bind}: other machines can reach the forwards", remedy)
    return fine(name, host.bind)


def _socket(host: Host, state_dir: Path) -> Check:
    name = "Docker's socket here"
    path = path_for(state_dir, folder_of(state_dir, host.address))
    if len(os.fsencode(path)) > LONGEST:
        return wrong(name, f"{path} is too long for a socket", "choose a shorter --state-dir")
    return fine(name, str(path))


def _ran(*command: str, **environment: str) -> tuple[int, str, str]:
    """A program's status and what it wrote; -1 when it did not end in time."""
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", **environment},
            timeout=_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, "", f"{command[0]} did not end within {_WITHIN:g} s"
    return ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
