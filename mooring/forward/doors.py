"""Unix sockets of ours in the state folder: for this user alone, and never a predecessor's."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from mooring.core.errors import MooringError, why_os

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


def leave(path: Path, listening: socket.socket) -> None:
    """Stop listening, and leave nothing behind."""
    listening.close()
    path.unlink(missing_ok=True)
