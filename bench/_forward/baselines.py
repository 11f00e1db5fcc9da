"""What people have instead of Mooring: `ssh -L` in a loop, and a shell loop of their own.

Both are OpenSSH's own programs in the client's namespace, given the lab's key and known hosts,
and keep-alives as careful people set them; each is ended with all that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.remote import RemoteHost

BY_HAND = Path(__file__).with_name("by_hand.sh")
ALIVE = ("ServerAliveInterval=5", "ServerAliveCountMax=3", "ConnectTimeout=5")
"""A silent link is given up after 20 s."""


def ssh_options(host: RemoteHost) -> list[str]:
    """Those for `ssh` and, at the end, where to."""
    options = ["-F", str(host.config), "-i", str(host.key)]
    own = (f"UserKnownHostsFile={host.known_hosts}", "BatchMode=yes", f"Port={host.port}")
    for option in (*own, *ALIVE):
        options += ["-o", option]
    return [*options, f"root@{host.ip}"]


@contextmanager
def ssh_l(host: RemoteHost, folder: Path, bind: str, ports: Iterable[int]) -> Iterator[None]:
    """`while true; do ssh -N -L …; done`, for ports that are known beforehand."""
    command = ["ssh", "-N", "-o", "ExitOnForwardFailure=yes"]
    for port in ports:
        command += ["-L", f"{bind}:{port}:127.0.0.1:{port}"]
    loop = ["sh", "-c", 'while true; do "$@"; done', "sh", *command, *ssh_options(host)]
    with _running(loop, folder / "ssh_l.log"):
        yield


@contextmanager
def by_hand(host: RemoteHost, folder: Path, bind: str) -> Iterator[None]:
    """The loop of by_hand.sh, for whatever ports there come to be."""
    control, state = folder / f"c{bind}", folder / f"s{bind}"
    state.mkdir(exist_ok=True)
    options = ssh_options(host)
    try:
        with _running([str(BY_HAND), bind, str(control), str(state), *options],
                      folder / "by_hand.log"):  # fmt: skip
            yield
    finally:
        # The master has left the loop's session.
        leave = ["ssh", "-S", str(control), "-O", "exit", *options]
        subprocess.run(leave, capture_output=True, timeout=20, check=False)


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    """A loop in a session of its own, which ends with all its programs."""
    with log.open("ab") as told:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
