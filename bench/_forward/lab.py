"""A remote Docker host, a client beside it, and Mooring's program on the client.

``with lab() as site, site.mooring("openssh") as whole: …``: the calling thread is where the
client is, so that 127.0.0.1 is the client's; the programs that it starts are there too. Nothing
that a bench makes is left behind.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.engine import Dockerd, dockerd
from tests.lab.forwarding import HELLO, Whole, heard, until
from tests.lab.netns import PREFIX
from tests.lab.remote import RemoteHost, entered, remote_host

__all__ = ["HELLO", "TRANSPORTS", "Site", "heard", "lab", "said_plainly", "until"]

TRANSPORTS = ("asyncssh", "openssh")


@dataclass(slots=True)
class Site:
    """``host`` is the remote host on which ``engine`` runs; ``folder`` is for the bench's files."""

    engine: Dockerd
    host: RemoteHost
    folder: Path
    _made: int = field(default=0, repr=False)

    @contextmanager
    def mooring(
        self, transport: str, *options: str, host: RemoteHost | None = None, live: bool = True
    ) -> Iterator[Whole]:
        """Mooring's program with a state folder of its own, its link live; ended afterwards.

        Give each of several at once a ``--bind`` of its own.
        """
        self._made += 1
        folder = self.folder / f"w{self._made}"
        folder.mkdir()
        whole = Whole(host or self.host, folder)
        whole.start("--transport", transport, *options)
        try:
            if live:
                # Told by the log: to ask for the status takes a process each time.
                until(lambda: "link_live" in whole.log() or whole.ended(), 20)
                if whole.ended():
                    raise RuntimeError(f"mooring forward has ended: {whole.log()[-2000:]}")
            yield whole
        finally:
            whole.stop()

    @contextmanager
    def another_host(self, number: int, *lines: str) -> Iterator[RemoteHost]:
        """A further remote host with a link of its own, whose Docker is the same engine's.

        The ports that the engine publishes are not there.
        """
        with remote_host(*lines, client=self.host.client, number=number) as host:
            (host.run / "docker.sock").symlink_to(self.engine.socket)
            yield host


@contextmanager
def lab(*lines: str) -> Iterator[Site]:
    """A remote Docker host with these lines in its sshd_config, entered where its client is."""
    with ExitStack() as stack:
        # The path of a Unix socket has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}b-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        engine = stack.enter_context(dockerd())
        host = stack.enter_context(remote_host(*lines, engine=engine))
        stack.enter_context(entered(host.client))
        yield Site(engine, host, folder)


def said_plainly(main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a subcommand; 2 when a part that it needs is not on this machine, told in a line."""
    # Ended by SIGTERM it takes down what it made, as after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return main(arguments)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        print(f"cannot be measured here: {missing}")
        return 2


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
