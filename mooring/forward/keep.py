"""What is kept on disk of one remote host: sticky ports, stream records, history. Never "active".

Every file is bounded, and after a crash at any moment it is the old one or the new one.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from mooring.core.errors import MooringError, why_os
from mooring.forward.address import Address
from mooring.model.forward import Moment, StreamRecord

log = structlog.get_logger(__name__)

MAX_RECORDS = 200
MAX_HISTORY = 1000
MAX_STICKY = 2000


class _Sticky(msgspec.Struct):
    container: str
    protocol: str
    container_port: int
    local_port: int


class _Kept(msgspec.Struct):
    host: str = ""
    called: str = ""
    since: int | None = None
    """Of the last event, in nanoseconds by the remote Docker's clock."""
    sticky: list[_Sticky] = []
    records: list[StreamRecord] = []
    history: list[Moment] = []


class Keep:
    """A remote host's folder. The methods touch the disk only in ``save``."""

    def __init__(self, folder: Path, host: str = "", called: str = "") -> None:
        """``called`` is the Docker context that it was named by, if it was by one."""
        self.folder = folder
        self.host = host
        self.called = called
        self.since: int | None = None
        self.sticky: dict[tuple[str, str, int], int] = {}
        self.records: deque[StreamRecord] = deque(maxlen=MAX_RECORDS)
        self.history: deque[Moment] = deque(maxlen=MAX_HISTORY)
        self.dirty = False
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._load()
        except OSError as error:
            raise MooringError(
                f"opening the state folder {folder}",
                why_os(error),
                "choose another with --state-dir",
            ) from error

    @property
    def file(self) -> Path:
        return self.folder / "kept.json"

    def _load(self) -> None:
        for left in self.folder.glob("*.new"):
            left.unlink()
        try:
            kept = msgspec.json.decode(self.file.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return
        except ValueError as error:
            aside = self.file.with_suffix(".bad")
            os.replace(self.file, aside)
            log.warning("state_unreadable", path=str(aside), reason=str(error))
            return
        self.since = kept.since
        self.sticky = {
            (s.container, s.protocol, s.container_port): s.local_port for s in kept.sticky
        }
        self.records.extend(kept.records)
        self.history.extend(kept.history)

    def note(self, moment: Moment) -> None:
        self.history.append(moment)
        self.dirty = True

    def record(self, record: StreamRecord) -> None:
        self.records.append(record)
        self.dirty = True

    def stick(self, sticky: dict[tuple[str, str, int], int]) -> None:
        if sticky != self.sticky:
            self.sticky = dict(list(sticky.items())[-MAX_STICKY:])
            self.dirty = True

    def save(self) -> None:
        """Write what changed; from the event loop's own thread. Raises OSError."""
        write = self.changes()
        if write:
            write()

    def changes(self) -> Callable[[], None] | None:
        """What writes all that is known now, from any thread; None when nothing changed.

        It raises OSError, and then there are changes still.
        """
        if not self.dirty:
            return None
        kept = _Kept(
            self.host,
            self.called,
            self.since,
            [_Sticky(*key, port) for key, port in self.sticky.items()],
            list(self.records),
            list(self.history),
        )
        self.dirty = False
        number = next(self._numbers)

        def write() -> None:
            with self._writing:
                if number < self._written:
                    return
                try:
                    new = self.file.with_suffix(".new")
                    new.write_bytes(msgspec.json.encode(kept))
                    os.replace(new, self.file)
                except OSError:
                    self.dirty = True
                    raise
                self._written = number

        return write


@dataclass(frozen=True, slots=True)
class Kept:
    """What a folder says of a host, for a reader beside the one whose folder it is."""

    host: str
    called: str = ""
    records: tuple[StreamRecord, ...] = ()
    history: tuple[Moment, ...] = ()


def read(state_dir: Path) -> list[Kept]:
    """What is kept of every host; changes nothing. Raises ``MooringError``."""
    found = []
    try:
        for file in sorted((state_dir / "hosts").glob("*/kept.json")):
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            host = kept.host or file.parent.name
            found.append(Kept(host, kept.called, (*kept.records,), (*kept.history,)))
    except (OSError, ValueError) as error:
        why = why_os(error) if isinstance(error, OSError) else f"it is not as expected: {error}"
        raise MooringError(f"reading the state folder {state_dir}", why) from error
    return found


def folder_of(state_dir: Path, address: Address) -> Path:
    """A remote host's own folder, named so that a person knows it again."""
    name = str(address).removeprefix("ssh://")
    return state_dir / "hosts" / re.sub(r"[^A-Za-z0-9._@-]", "_", name)
