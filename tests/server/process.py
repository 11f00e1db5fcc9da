"""A Mooring in a process of its own, as a person starts it: its output, its address, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

COMMAND = [sys.executable, "-m", "mooring"]


class Process:
    """A command of Mooring that goes on until it is told to stop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = ""
        self.url = ""

    async def read_until(self, pattern: str) -> re.Match[str]:
        """Wait for a line on standard output."""
        assert self.process.stdout
        async with asyncio.timeout(20):
            while not (found := re.search(pattern, self.printed)):
                line = await self.process.stdout.readline()
                if not line:
                    raise AssertionError(f"it ended: {self.printed}")
                self.printed += line.decode()
        return found

    @property
    def token(self) -> str:
        found = re.search(r"token=(\S+)", self.printed)
        assert found, self.printed
        return found[1]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; the seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            await self.process.wait()
        return time.monotonic() - began


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would tell Mooring something."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MOORING_", "XDG_"))}
    return kept | more


@contextlib.asynccontextmanager
async def running(
    folder: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """``mooring up`` (or what the arguments say), ready; killed at the end if it still is there."""
    command = [*COMMAND, *(arguments or ("up",)), "--port", "0", "--data-dir", str(folder)]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        started = await asyncio.create_subprocess_exec(
            *command,
            env=environ or environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    process = Process(started)
    try:
        process.url = (await process.read_until(r"page +(http://\S+)"))[1]
        await process.read_until(r"data +\S+")
        yield process
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()
        # What a transport still holds is let go now and not by the collector of garbage.
        started._transport.close()  # type: ignore[attr-defined]


async def mooring(
    *arguments: str, environ: Mapping[str, str] | None = None, within: Sequence[str] = ()
) -> tuple[int, str, str]:
    """A command of Mooring that ends by itself: exit code, standard output, standard error.

    ``within`` is a program that starts it, such as setpriv with its options.
    """
    started = await asyncio.create_subprocess_exec(
        *within,
        *COMMAND,
        *arguments,
        env=environ or environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            out, err = await started.communicate()
    except TimeoutError:
        started.kill()
        await started.wait()
        raise
    assert started.returncode is not None
    return started.returncode, out.decode(), err.decode()
