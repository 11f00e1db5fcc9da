"""Where things are kept: the data folder (XDG), its making and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from mooring.core.errors import MooringError, UsageError, why_os

DATA_DIR, STATE_DIR = "--data-dir", "--state-dir"
"""The options by which folders are chosen."""


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_DATA_HOME/mooring``, else ``~/.local/share/mooring`` (XDG base directories 0.8)."""
    base = environ.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        return Path(base) / "mooring"
    try:
        return Path.home() / ".local" / "share" / "mooring"
    except RuntimeError:
        raise UsageError(
            "choosing the data folder", "this user has no home folder", "name one with --data-dir"
        ) from None


def make_folder(folder: Path, option: str = DATA_DIR) -> Path:
    """The folder, made if it was not there (for its owner only), and known to be writable.

    ``option`` is the one by which it is chosen.
    """
    attempted = f"using the {_kind(option)} folder {folder}"
    remedy = f"choose another with {option}, or make it yours with chown"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise MooringError(attempted, "it, or a part of its path, is a file", remedy) from None
    except OSError as error:
        raise MooringError(attempted, f"it cannot be written: {why_os(error)}", remedy) from error
    return folder


@contextlib.contextmanager
def only_one(folder: Path, what: str, option: str = DATA_DIR) -> Iterator[None]:
    """Hold the folder for this process; a second one is told who has it.

    The lock is the kernel's and goes with the process, however that ends.
    """
    path = folder / f"{what}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise MooringError(
                f"starting the {what} on the {_kind(option)} folder {folder}",
                f"another one (process {holder}) is using it",
                f"end that one first, or give this one its own {option}",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _kind(option: str) -> str:
    return option.removeprefix("--").removesuffix("-dir")


def open_to_others(file: Path) -> bool:
    """Whether somebody but its owner may read or write a file. Raises OSError."""
    return bool(stat.S_IMODE(file.stat().st_mode) & 0o077)
