"""What is kept on disk of one remote host: sticky ports, stream records, history. Never "active".

Every file is bounded, and after a crash at any moment it is the old one or the new one.
"""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from mooring.core.errors import MooringError, why_os
from mooring.forward.address import Address
from mooring.model.forward import StreamRecord

log = structlog.get_logger(__name__)

MAX_RECORDS = 200
MAX_HISTORY = 1000
MAX_STICKY = 2000

Item = TypeVar("Item")


class Moment(msgspec.Struct, frozen=True):
    """Something that happened to a forward or to the link."""

    at: float
    what: str
    """opened, closed, retargeted, conflict, link_live, link_lost, …"""
    place: str = ""
    container: str = ""
    detail: str = ""


class _Sticky(msgspec.Struct):
    container: str
    protocol: str
    container_port: int
    local_port: int


class _Kept(msgspec.Struct):
    since: int | None = None
    """Of the last event, in nanoseconds by the remote Docker's clock."""
    sticky: list[_Sticky] = []
    records: list[StreamRecord] = []
    history: list[Moment] = []


class Keep:
    """A remote host's folder. The methods touch the disk only in ``save``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.since: int | None = None
        self.sticky: dict[tuple[str, str, int], int] = {}
        self.records: deque[StreamRecord] = deque(maxlen=MAX_RECORDS)
        self.history: deque[Moment] = deque(maxlen=MAX_HISTORY)
        self.dirty = False
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
        except msgspec.DecodeError as error:
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
        """Write what changed. Raises OSError."""
        if not self.dirty:
            return
        kept = _Kept(
            self.since,
            [_Sticky(*key, port) for key, port in self.sticky.items()],
            list(self.records),
            list(self.history),
        )
        new = self.file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(kept))
        os.replace(new, self.file)
        self.dirty = False


def folder_of(state_dir: Path, address: Address) -> Path:
    """A remote host's own folder, named so that a person knows it again."""
    name = str(address).removeprefix("ssh://")
    return state_dir / "hosts" / re.sub(r"[^A-Za-z0-9._@-]", "_", name)
