"""The ways to reach a remote container's port: ready to be dialled, each with what it logs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench._forward.baselines import by_hand, ssh_l
from bench._forward.lab import TRANSPORTS, Site, until
from tests.lab.remote import RemoteHost

NONE, SSH_L, BY_HAND = "none", "ssh -L", "by hand"
WAYS = (NONE, SSH_L, BY_HAND, *TRANSPORTS)
LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Way:
    """A way that is there. ``address`` is where the remote ports are, or will be."""

    name: str
    host: RemoteHost
    address: str
    log: Callable[[], str] | None = None

    def told(self, event: str, after: float = 0.0) -> list[dict[str, Any]]:
        """Mooring's log lines of this event, later than ``after``, with ``at`` in s since epoch."""
        found = []
        for line in self.log().splitlines() if self.log else ():
            said = json.loads(line) if line.startswith("{") and line.endswith("}") else {}
            if said.get("event") == event:
                at = datetime.fromisoformat(said["timestamp"]).timestamp()
                if at > after:
                    found.append({**said, "at": at})
        return found


@contextmanager
def way(
    name: str, site: Site, ports: Sequence[int], *, host: RemoteHost | None = None, at: str = LOCAL
) -> Iterator[Way]:
    """A way to a remote host, up and following what its engine does; ``at`` is its bind address.

    ``ports`` are for `ssh -L`, which can't find them.
    """
    host = host or site.host
    if name == NONE:
        yield Way(name, host, host.ip)
    elif name == SSH_L:
        logins = host.logins()
        with ssh_l(host, site.folder, at, ports):
            until(lambda: host.logins() > logins and listens(at, ports[-1]), 20)
            time.sleep(0.2)
            yield Way(name, host, at)
    elif name == BY_HAND:
        _end_events(host)
        with by_hand(host, site.folder, at):
            until(lambda: bool(_events(host)), 20)
            time.sleep(0.2)
            yield Way(name, host, at)
        # A cut session leaves them behind, to react until they have something to say.
        _end_events(host)
    else:
        with site.mooring(name, "--log-format", "json", "--bind", at, host=host) as whole:
            yield Way(name, host, at, whole.log)


def listens(address: str, port: int) -> bool:
    """Whether somebody listens there, in the caller's namespace; dials nothing."""
    number = socket.inet_aton(address)[::-1].hex().upper()
    table = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    # 0A is LISTEN (include/net/tcp_states.h).
    return any(row.split()[1:4:2] == [f"{number}:{port:04X}", "0A"] for row in table)


def _events(host: RemoteHost) -> list[int]:
    """The `docker events` that somebody runs on a remote host."""
    return [pid for pid, words in host.commands().items() if b"docker\0events" in words]


def _end_events(host: RemoteHost) -> None:
    for pid in _events(host):
        host.kill(pid)
