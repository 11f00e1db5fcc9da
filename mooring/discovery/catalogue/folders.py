"""Folders of catalogue files in, one catalogue out, with what had to be left out.

Our own folder has to be right; a user's file with a mistake costs only itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mooring.core.errors import MooringError, UsageError, why_os
from mooring.discovery.catalogue.entry import Catalogue, Entry
from mooring.discovery.catalogue.reader import read

HERE = Path(__file__).parent
SYSTEM = Path("/etc/mooring/catalogue")
MAX_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    catalogue: Catalogue
    left_out: tuple[MooringError, ...]
    """Why each file that is not part of it is not."""


def users_folders(
    named: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Path, ...]:
    """Where users keep entries of their own, the later ones first in rank; those that exist.

    ``/etc/mooring/catalogue``, ``$XDG_CONFIG_HOME/mooring/catalogue``, and one named on the
    command line, which has to be there (``UsageError``).
    """
    if named is not None and not named.expanduser().is_dir():
        raise UsageError(
            f"reading the catalogue {named}", "there is no such folder", "name one with *.toml"
        )
    home = environ.get("XDG_CONFIG_HOME", "")
    config = Path(home) if home.startswith("/") else Path(environ.get("HOME", "/")) / ".config"
    folders = [SYSTEM, config / "mooring" / "catalogue"]
    return (*(f for f in folders if f.is_dir()), *([named.expanduser()] if named else []))


@cache
def own() -> tuple[Entry, ...]:
    """The entries that come with Mooring."""
    return tuple(entry for file in sorted(HERE.glob("*.toml")) for entry in _entries(file))


def load(folders: Sequence[Path] = ()) -> Loaded:
    """Our own entries and those of the folders; of one name, the last stands."""
    left_out: list[MooringError] = []
    return Loaded(Catalogue((*own(), *_users(folders, left_out))), tuple(left_out))


def _users(folders: Iterable[Path], left_out: list[MooringError]) -> Iterable[Entry]:
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            try:
                yield from _entries(file)
            except MooringError as error:
                left_out.append(error)


def _entries(file: Path) -> tuple[Entry, ...]:
    attempted = f"reading the catalogue {file}"
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
        text = content.decode()
    except OSError as error:
        raise MooringError(attempted, why_os(error), "make it readable, or remove it") from None
    except UnicodeDecodeError:
        raise MooringError(attempted, "it is not UTF-8", "save it as UTF-8") from None
    if len(content) > MAX_FILE:
        raise MooringError(attempted, f"it is larger than {MAX_FILE} bytes", "split it")
    return read(text, str(file) if file.parent != HERE else file.name)
