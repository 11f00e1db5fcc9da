"""Pure. A remote host as a person names it: ``ssh://user@host:port``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from mooring.core.errors import UsageError

_HOST = re.compile(r"^[A-Za-z0-9._:%-]{1,255}\Z")
_USER = re.compile(r"^[^\s@:/]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to log in. What is None is for ``~/.ssh/config`` and the defaults to say."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{host}{port}"


def parse(text: str) -> Address:
    """The address in ``ssh://[user@]host[:port]``. Raises ``UsageError`` that names the fault."""
    attempted = f"reading the remote host {text[:200]!r}"
    remedy = "such as ssh://deploy@build.example or ssh://deploy@10.1.2.3:2222"
    if "://" not in text:
        raise UsageError(attempted, "expected ssh://USER@HOST[:PORT]", remedy)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(attempted, str(error), remedy) from None
    if parts.scheme != "ssh":
        raise UsageError(attempted, f"expected the scheme ssh, got {parts.scheme!r}", remedy)
    if not host:
        raise UsageError(attempted, "there is no host in it", remedy)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(attempted, "expected nothing after the host and port", remedy)
    if parts.password is not None:
        raise UsageError(attempted, "a password can't be given here", "use a key, or an SSH agent")
    user = unquote(parts.username) if parts.username else None
    if not _HOST.match(host) or host.startswith("-"):
        raise UsageError(attempted, f"{host!r} is not a host's name or address", remedy)
    if user is not None and (not _USER.match(user) or user.startswith("-")):
        raise UsageError(attempted, f"{user!r} is not a user's name", remedy)
    return Address(host, user, port)


def remap(text: str) -> tuple[int, int]:
    """``80=8080``: the remote port 80 at the local port 8080. Raises ``UsageError``."""
    remote, equals, local = text.partition("=")
    if equals and remote.isdigit() and local.isdigit():
        numbers = int(remote), int(local)
        if all(0 < n < 65536 for n in numbers):
            return numbers
    raise UsageError(
        f"reading --remap {text[:50]!r}",
        "expected REMOTE=LOCAL, two ports from 1 to 65535",
        "such as --remap 80=8080",
    )
