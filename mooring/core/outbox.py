"""Reports kept on disk until they are delivered: in order, the newest of each subject.

Snapshots in, numbered ``Report`` files out. Never talks to a network.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from mooring.core.errors import MooringError, why_os
from mooring.core.ids import is_id, new_id
from mooring.model import wire
from mooring.model.machine import Machine
from mooring.model.report import MAX_BYTES, Engines, Report, RunMark, SetAside

log = structlog.get_logger(__name__)

MAX_REFUSED = 20
"""How many refused reports are kept for a person to look at."""


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
    what was queued behind the older one is still delivered after it. The report that is being
    delivered is not replaced. So at most two reports per subject are kept, whatever happens, and
    beyond ``max_subjects`` subjects the oldest report is dropped with a warning.

    The methods touch the disk and may be called from any thread.
    """

    def __init__(self, folder: Path, max_subjects: int = 1000) -> None:
        self.folder = folder
        self.refused = folder / "refused"
        self.max_subjects = max_subjects
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []
        self._taken: Waiting | None = None
        try:
            self.refused.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.id, self._number = self._open()
            _write(self.folder / "state", self._state())
        except OSError as error:
            raise MooringError(
                f"opening the outbox {folder}",
                why_os(error),
                "choose another place with --data-dir",
            ) from error

    def put(
        self,
        subject: str,
        body: Machine | Engines,
        run: RunMark | None = None,
        set_aside: tuple[SetAside, ...] = (),
    ) -> Report:
        """Number a snapshot and keep it until ``done``. Returns the report as it was written."""
        with self._lock:
            old = next(
                (w for w in reversed(self._waiting) if w.subject == subject and w != self._taken),
                None,
            )
            marks = (old.runs if old else ()) + ((run,) if run else ())
            report = Report(
                subject=subject,
                outbox=self.id,
                number=self._number + 1,
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
            path = old.path if old else self.folder / f"{report.number:016d}.json"
            waiting = Waiting(path, subject, report.number, marks)
            _write(path, data)
            self._number = report.number
            _write(self.folder / "state", self._state())
            if old:
                self._waiting[self._waiting.index(old)] = waiting
            else:
                self._waiting.append(waiting)
                self._bound()
            return report

    def take(self) -> Waiting | None:
        """The report to deliver next; it stays until ``done`` or ``refuse``."""
        with self._lock:
            self._taken = self._waiting[0] if self._waiting else None
            return self._taken

    def done(self, waiting: Waiting) -> None:
        """The server has it."""
        with self._lock:
            self._remove(waiting)
            waiting.path.unlink(missing_ok=True)

    def refuse(self, waiting: Waiting, reason: str) -> Path:
        """The server will never take it: keep it apart, so that the others can pass."""
        with self._lock:
            self._remove(waiting)
            kept = self.refused / waiting.path.name
            with contextlib.suppress(FileNotFoundError):
                os.replace(waiting.path, kept)
            _write(kept.with_suffix(".reason"), reason.encode())
            for stale in sorted(self.refused.glob("*.json"))[:-MAX_REFUSED]:
                stale.unlink()
                stale.with_suffix(".reason").unlink(missing_ok=True)
            return kept

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
        if len(self._waiting) > 2 * self.max_subjects:
            oldest = next(w for w in self._waiting if w != self._taken)
            self._waiting.remove(oldest)
            oldest.path.unlink(missing_ok=True)
            log.warning("outbox_full", dropped=oldest.subject, number=oldest.number)

    def _state(self) -> bytes:
        return json.dumps({"outbox": self.id, "number": self._number}).encode()

    def _open(self) -> tuple[str, int]:
        """The outbox's id and the highest number that it has given; reads what waits."""
        name, number = self._read_state()
        for path in sorted(self.folder.glob("*.json")):
            try:
                report = wire.decode(path.read_bytes())
            except (wire.Unreadable, OSError) as error:
                log.warning("outbox_file_unreadable", path=str(path), reason=str(error))
                os.replace(path, self.refused / path.name)
                continue
            if name is None:
                name = report.outbox
            if report.outbox == name:
                number = max(number, report.number)
                self._waiting.append(Waiting(path, report.subject, report.number, report.runs))
        for left in self.folder.glob("*.new"):
            left.unlink()
        return name or new_id(), number

    def _read_state(self) -> tuple[str | None, int]:
        path = self.folder / "state"
        try:
            state = json.loads(path.read_bytes())
            name, number = state["outbox"], state["number"]
            if is_id(name) and isinstance(number, int):
                return name, number
            why = "it does not hold an id and a number"
        except FileNotFoundError:
            return None, 0
        except (ValueError, KeyError, TypeError) as error:
            why = str(error)
        log.warning("outbox_state_unreadable", path=str(path), reason=why)
        return None, 0


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
