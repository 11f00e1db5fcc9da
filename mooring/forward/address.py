"""Pure. A remote host, a pattern of ports and a remapping, as a person names them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

from mooring.core.errors import UsageError

Item = TypeVar("Item")

_HOST = re.compile(r"^[A-Za-z0-9:][A-Za-z0-9._:%-]{0,254}\Z")
_USER = re.compile(r"^[^\s@:/-][^\s@:/]{0,63}\Z")
_EXAMPLE = "such as ssh://deploy@build.example or ssh://deploy@10.1.2.3:2222"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to log in. What is None is for ``~/.ssh/config`` and the defaults to say."""

    host: str
    """As it was typed: ``~/.ssh/config`` tells capital letters from small ones."""
    user: str | None = None
    port: int | None = None
    called: str = field(default="", compare=False)
    """The Docker context that it was named by, if it was by one."""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{host}{port}"


def parse(text: str) -> Address:
    """The address in ``ssh://[user@]host[:port]``. Raises ``UsageError`` that names the fault."""
    # A password that somebody gave is not for the log.
    shown = re.sub(r":[^:/@]*@", ":…@", text[:200])
    attempted = f"reading the remote host {shown!r}"
    scheme, colon, rest = text.partition("://")
    if not colon:
        raise UsageError(attempted, "expected ssh://USER@HOST[:PORT]", _EXAMPLE)
    if scheme.lower() != "ssh":
        raise UsageError(attempted, f"expected the scheme ssh, got {scheme!r}", _EXAMPLE)
    where, *more = re.split(r"[/?#]", rest, maxsplit=1)
    if any(more):
        raise UsageError(
            attempted,
            "expected nothing after the host and port",
            "the place of the remote's Docker is said with --docker-host unix:///PATH",
        )
    login, at, where = where.rpartition("@")
    if ":" in login:
        raise UsageError(attempted, "a password can't be given here", "use a key, or an SSH agent")
    host, port = _split(attempted, where)
    user = unquote(login) if at and login else None
    if user is not None and not _USER.match(user):
        raise UsageError(attempted, f"{user!r} is not a user's name", _EXAMPLE)
    return Address(host, user, port)


def _split(attempted: str, where: str) -> tuple[str, int | None]:
    """``host``, ``host:port``, ``[2001:db8::1]:port``."""
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise UsageError(attempted, f"{where!r} has a bracket too few or too many", _EXAMPLE)
        port = port[1:]
    elif where.count(":") > 1:
        remedy = f"an IPv6 address stands in brackets: ssh://[{where}]"
        raise UsageError(attempted, f"{where!r} has more than one colon", remedy)
    else:
        host, _, port = where.partition(":")
    if not host:
        raise UsageError(attempted, "there is no host in it", _EXAMPLE)
    if not _HOST.match(host):
        raise UsageError(attempted, f"{host!r} is not a host's name or address", _EXAMPLE)
    if not port:
        return host, None
    number = _port(port)
    if number is None:
        raise UsageError(attempted, f"expected a port from 1 to 65535, got {port!r}", _EXAMPLE)
    return host, number


def _port(text: str) -> int | None:
    """A port from 1 to 65535, in plain digits."""
    if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536:
        return int(text)
    return None


def remap(text: str) -> tuple[int, int]:
    """``80=8080``: the remote port 80 at the local port 8080. Raises ``UsageError``."""
    remote, local = (_port(part.strip()) for part in (text + "=").split("=")[:2])
    if remote is None or local is None or text.count("=") != 1:
        raise UsageError(
            f"reading the remapping {text[:50]!r}",
            "expected REMOTE=LOCAL, two ports from 1 to 65535",
            "such as --remap 80=8080: the remote host's port 80 is reached at 8080 here",
        )
    return remote, local


def remaps(pairs: list[tuple[int, int]]) -> dict[int, int]:
    """All remappings together. Raises ``UsageError`` for two that contradict each other."""
    found: dict[int, int] = {}
    for remote, local in pairs:
        if found.setdefault(remote, local) != local:
            raise UsageError(
                f"reading the remapping {remote}={local}",
                f"the remote port {remote} goes to {found[remote]} already",
                "name each remote port once",
            )
    return found


def pattern(text: str) -> str:
    """A pattern of ``--include`` and ``--exclude``, checked. Raises ``UsageError``.

    A container's name (with * and ?), ``label=KEY[=VALUE]``, ``port=N`` or ``port=N-M``.
    """
    kind, equals, rest = text.partition("=")
    attempted = f"reading the pattern {text[:100]!r}"
    remedy = "such as web-*, label=com.docker.compose.project=shop, port=8080 or port=8000-8099"
    if not text.strip():
        raise UsageError(attempted, "it is empty", remedy)
    if not equals:
        return text
    if kind == "label" and rest and not rest.startswith("="):
        return text
    if kind == "port":
        low, dash, high = rest.partition("-")
        first = _port(low)
        last = _port(high) if dash else first
        if first is None or last is None:
            raise UsageError(attempted, "expected port=N or port=N-M, from 1 to 65535", remedy)
        if last < first:
            raise UsageError(attempted, f"{first} is above {last}", f"port={last}-{first}")
        return text
    raise UsageError(attempted, "expected a container's name, label=… or port=…", remedy)


def bind(text: str) -> str:
    """An address of this machine to listen on. Raises ``UsageError``."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        name = " (localhost is 127.0.0.1)" if text == "localhost" else ""
        raise UsageError(
            f"reading the address to bind to {text[:100]!r}",
            f"expected an IP address{name}",
            "such as --bind 127.0.0.1; --bind 0.0.0.0 lets other machines in",
        ) from None


@dataclass(frozen=True, slots=True)
class Meant:
    """What a person asks about: a container by its name, else a place of this machine."""

    container: str = ""
    port: int = 0
    ip: str = ""
    """Empty for any."""
    protocol: str = ""
    """Empty for any."""

    def __str__(self) -> str:
        if self.container:
            return self.container
        ip = f"[{self.ip}]:" if ":" in self.ip else f"{self.ip}:" if self.ip else ""
        return f"{ip}{self.port}" + (f"/{self.protocol}" if self.protocol else "")


_PROTOCOLS = ("tcp", "udp", "sctp")


def meant(text: str) -> Meant:
    """``8080``, ``8080/tcp``, ``127.0.0.1:8080``, ``[::1]:53/udp``, or a container's name.

    Raises ``UsageError``. No container's name has a colon or a slash in it.
    """
    attempted = f"reading what is meant by {text[:100]!r}"
    if not text.isdigit() and ":" not in text and "/" not in text:
        if not 0 < len(text) <= 253:
            raise UsageError(attempted, "expected a port or a container's name")
        return Meant(container=text)
    where, slash, protocol = text.partition("/")
    ip, _, number = where.rpartition(":")
    port = _port(number)
    if port is None:
        raise UsageError(f"reading the port {number[:50]!r}", "expected one from 1 to 65535")
    if slash and protocol not in _PROTOCOLS:
        raise UsageError(attempted, f"expected one of {', '.join(_PROTOCOLS)}, got {protocol!r}")
    return Meant(port=port, ip=bind(ip) if ip else "", protocol=protocol)


@dataclass(frozen=True, slots=True)
class Names:
    """A remote host by the names that it goes by."""

    host: str
    """Its address, as ``status`` shows it."""
    called: str = ""
    """What it was named by, if that was a Docker context."""

    def is_called(self, name: str) -> bool:
        names = {self.host, self.host.removeprefix("ssh://"), self.called} - {""}
        if self.host.startswith("ssh://"):
            names.add(parse(self.host).host)
        return name in names


def chosen(name: str | None, known: Mapping[Names, Item]) -> list[Item]:
    """What there is of those that are called so; all when none is named. Raises ``UsageError``."""
    found = [item for names, item in known.items() if name is None or names.is_called(name)]
    if name is not None and not found:
        raise UsageError(
            f"looking for the host {name!r}",
            "it is none of those that are forwarded",
            f"one of: {', '.join(names.host for names in known)}",
        )
    return found


def docker_host(text: str) -> str:
    """Where the remote's Docker is, on the remote host. Raises ``UsageError``."""
    if re.fullmatch(r"unix:///[^\0\n]+", text):
        return text
    raise UsageError(
        f"reading the remote's Docker socket {text[:200]!r}",
        "expected unix:///PATH, a socket on the remote host",
        "such as --docker-host unix:///run/user/1000/docker.sock",
    )
