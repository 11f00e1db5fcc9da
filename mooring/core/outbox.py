"""Reports kept on disk until they are delivered: in order, the newest of each subject.

Snapshots in, numbered ``Report`` files out. Never talks to a network.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from mooring.core.errors import MooringError, why_os
from mooring.core.ids import is_id, new_id
from mooring.model import wire
from mooring.model.report import MAX_BYTES, Body, Report, RunMark, SetAside

log = structlog.get_logger(__name__)

MAX_REFUSED = 20
"""How many refused reports are kept for a person to look at."""
MAX_MARKS = 100
"""How many run marks a report inherits: an agent that starts and dies over and over, with no
server to deliver to, adds one each time."""
RESERVED = 100
"""How many numbers are written down as given at once, so that not every report writes them."""
LOST = 2**32
"""How far numbering jumps when it is not known which numbers were given."""


class _State(msgspec.Struct):
    outbox: str
    number: Annotated[int, Meta(ge=0, le=2**52)]
    """The highest number that may have been given."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report that waits for its delivery: ``path`` holds its JSON."""

    path: Path
    subject: str
    number: int
    runs: tuple[RunMark, ...]

    def read(self) -> bytes:
        return self.path.read_bytes()


class Outbox:
    """A folder of reports, oldest first.

    A new snapshot takes the *place* of a waiting one of the same subject, and with it the run
    marks of the one that it replaces: the newest snapshot says all that the older one said, and
    what was queued behind the older one is still delivered after it. If a report of its own run
    waits behind that place it goes to the end instead, so that a run's last report never overtakes
    its first. The report that is being delivered is not replaced. So at most two reports per
    subject are kept, whatever happens, and beyond ``max_subjects`` subjects the oldest report is
    dropped with a warning. A scan has a subject for each of its blocks: some 260 at the most, and
    while the server is away none is asked for.

    The methods touch the disk and may be called from any thread.
    """

    def __init__(self, folder: Path, max_subjects: int = 1000) -> None:
        self.folder = folder
        self.refused = folder / "refused"
        self.max_subjects = max_subjects
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []
        self._taken: Waiting | None = None
        with self._disk(f"opening the outbox {folder}", "choose another place with --data-dir"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.refused.mkdir(exist_ok=True, mode=0o700)
            self.id, self._number = self._open()
            self._reserved = self._number
            self._reserve()

    def put(
        self,
        subject: str,
        body: Body,
        run: RunMark | None = None,
        set_aside: tuple[SetAside, ...] = (),
    ) -> Report:
        """Number a snapshot and keep it until ``done``. Returns the report as it was written.

        Raises ``MooringError`` when it cannot be written; what waited before waits still.
        """
        attempted = f"keeping the {subject} report in {self.folder}"
        with self._lock, self._disk(attempted, "make room, or choose another --data-dir"):
            old = next(
                (w for w in reversed(self._waiting) if w.subject == subject and w != self._taken),
                None,
            )
            marks = ((old.runs if old else ()) + ((run,) if run else ()))[-MAX_MARKS:]
            # A number is used up by the attempt: whatever is left of one that failed half-way
            # never has the number of another report.
            self._number += 1
            self._reserve()
            report = Report(
                subject=subject,
                outbox=self.id,
                number=self._number,
                taken_at=time.time(),
                body=body,
                runs=marks,
                set_aside=set_aside,
            )
            data = wire.encode(report)
            if len(data) > MAX_BYTES:
                raise MooringError(
                    f"keeping the {subject} report",
                    f"it has {len(data)} bytes and a server takes at most {MAX_BYTES}",
                )
            in_place = old is not None and not self._waits_behind(old, run)
            path = self.folder / f"{report.number:016d}.json"
            if old and in_place:
                path = old.path
            waiting = Waiting(path, subject, report.number, marks)
            _write(path, data)
            if old and in_place:
                self._waiting[self._waiting.index(old)] = waiting
                return report
            self._waiting.append(waiting)
            if old:
                self._waiting.remove(old)
                old.path.unlink(missing_ok=True)
            self._bound()
            return report

    def _waits_behind(self, old: Waiting, run: RunMark | None) -> bool:
        """Whether a report of ``run`` would be delivered after one in the place of ``old``."""
        behind = self._waiting[self._waiting.index(old) + 1 :]
        return run is not None and any(m.id == run.id for later in behind for m in later.runs)

    def take(self) -> Waiting | None:
        """The report to deliver next; it stays until ``done`` or ``refuse``."""
        with self._lock:
            self._taken = self._waiting[0] if self._waiting else None
            return self._taken

    def done(self, waiting: Waiting) -> None:
        """The server has it."""
        with self._lock, self._disk(f"removing the delivered {waiting.path}"):
            self._remove(waiting)
            waiting.path.unlink(missing_ok=True)

    def refuse(self, waiting: Waiting, reason: str) -> Path:
        """It can never be delivered: keep it apart, so that the others can pass."""
        with self._lock, self._disk(f"putting {waiting.path} aside"):
            self._remove(waiting)
            return self._put_aside(waiting.path, reason)

    def release(self) -> None:
        """The delivery failed; the report may be replaced by a newer one again."""
        with self._lock:
            self._taken = None

    def runs(self) -> set[str]:
        """The ids of the runs whose reports wait here."""
        with self._lock:
            return {mark.id for waiting in self._waiting for mark in waiting.runs}

    def __len__(self) -> int:
        return len(self._waiting)

    def _remove(self, waiting: Waiting) -> None:
        self._taken = None
        with contextlib.suppress(ValueError):
            self._waiting.remove(waiting)

    def _bound(self) -> None:
        while len(self._waiting) > 2 * self.max_subjects:
            oldest = next(w for w in self._waiting if w != self._taken)
            self._waiting.remove(oldest)
            oldest.path.unlink(missing_ok=True)
            log.warning("outbox_full", dropped=oldest.subject, number=oldest.number)

    def _put_aside(self, path: Path, reason: str) -> Path:
        kept = self.refused / path.name
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, kept)
            _write(kept.with_suffix(".reason"), reason.encode())
        for stale in sorted(self.refused.glob("*.json"))[:-MAX_REFUSED]:
            stale.unlink()
            stale.with_suffix(".reason").unlink(missing_ok=True)
        return kept

    def _reserve(self) -> None:
        """See to it that ``_number`` is written down as given before it is used."""
        if self._number >= self._reserved:
            reserved = self._number + RESERVED
            _write(self.folder / "state", msgspec.json.encode(_State(self.id, reserved)))
            self._reserved = reserved

    def _open(self) -> tuple[str, int]:
        """The outbox's id and the highest number that it may have given; reads what waits."""
        state = self._read_state()
        name, number = (state.outbox, state.number) if state else (None, 0)
        for path in sorted(self.folder.glob("*.json")):
            try:
                report = wire.decode(path.read_bytes())
                name = name or report.outbox
                if report.outbox != name:
                    raise wire.Unreadable(f"it is of another outbox, {report.outbox}")
            except (wire.Unreadable, OSError) as error:
                log.warning("outbox_file_unreadable", path=str(path), reason=str(error))
                self._put_aside(path, str(error))
                continue
            number = max(number, report.number)
            self._waiting.append(Waiting(path, report.subject, report.number, report.runs))
        for left in (*self.folder.glob("*.new"), *self.refused.glob("*.new")):
            left.unlink()
        self._bound()
        # Of a report that was delivered no file tells its number; used again it would be taken
        # for a repetition, and the new report be lost.
        return name or new_id(), number if state or not self._waiting else number + LOST

    def _read_state(self) -> _State | None:
        path = self.folder / "state"
        try:
            state = msgspec.json.decode(path.read_bytes(), type=_State)
            if is_id(state.outbox):
                return state
            why = f"{state.outbox[:40]!r} is not an id"
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            why = str(error)
        log.warning("outbox_state_unreadable", path=str(path), reason=why)
        return None

    @contextlib.contextmanager
    def _disk(self, attempted: str, remedy: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MooringError(attempted, why_os(error), remedy) from error


def _write(path: Path, data: bytes) -> None:
    """Write a file so that after a crash at any moment it is the old one or the new one."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
