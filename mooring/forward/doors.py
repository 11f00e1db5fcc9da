"""Unix sockets of ours in the state folder: for this user alone, and never a predecessor's."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from mooring.core.errors import MooringError, why_os

log = structlog.get_logger(__name__)

LONGEST = 103
"""Bytes of a socket's path that every system takes (108 on Linux, 104 on macOS, with the NUL)."""
BACKLOG = 128


def listen(path: Path) -> socket.socket:
    """Listen on a Unix socket (mode 0600). Raises ``MooringError``.

    What is left of a predecessor that crashed is removed: the caller holds the folder's lock.
    """
    attempted = f"listening on {path}"
    if len(os.fsencode(path)) > LONGEST:
        raise MooringError(
            attempted,
            f"a socket's path may have {LONGEST} bytes and this has {len(os.fsencode(path))}",
            "choose a shorter folder with --state-dir",
        )
    try:
        if stat.S_ISSOCK(path.stat(follow_symlinks=False).st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise MooringError(attempted, why_os(error)) from error
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Nobody else may connect, not even in the moment before a chmod.
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise MooringError(attempted, why_os(error), "see what is there, and remove it") from error
    finally:
        os.umask(before)
    return listening


async def clients(listening: socket.socket) -> AsyncIterator[socket.socket]:
    """Whoever connects, without end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            client, _ = await loop.sock_accept(listening)
        except OSError as error:
            # Out of descriptors or memory: others may give some back.
            log.warning("accept_failed", socket=listening.getsockname(), why=why_os(error))
            await asyncio.sleep(0.1)
            continue
        yield client


def leave(path: Path, listening: socket.socket) -> None:
    """Stop listening, and leave nothing behind."""
    listening.close()
    path.unlink(missing_ok=True)
