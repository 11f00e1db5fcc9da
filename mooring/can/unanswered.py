"""The calls that have begun and nobody has answered, on disk: for who is asked without a body.

Docker reads a call's body once. When its connection is lost, since we were killed, it sends the
call again without the body (callWithRetry in moby's pkg/plugins/client.go), for half a minute.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mooring.core.lines import Lines

REPEATED = 60.0
"""Seconds after which nobody asks again."""


@dataclass(frozen=True, slots=True)
class _Call:
    boot: str
    began: float
    """Seconds since the machine's start."""
    verb: str
    body: bytes


class Unanswered:
    """Any thread may use it. The files are of one run of the machine, and not synced."""

    def __init__(self, folder: Path, boot: str, log: Lines) -> None:
        self._folder = folder
        self._boot = boot
        self._log = log
        self._numbers = itertools.count()
        self._guard = threading.Lock()
        self._lost: dict[Path, _Call] = {}
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in folder.iterdir():
                call = self._read(path)
                if call is None:
                    path.unlink()
                else:
                    self._lost[path] = call

    @contextmanager
    def kept(self, verb: str, body: bytes) -> Iterator[bytes]:
        """The call's body, known on disk until the block ends without an error.

        For an empty one it is that of the call of this verb that was lost last.
        """
        found = None if body.strip() else self._again(verb)
        path, body = found or (self._write(verb, body), body)
        try:
            yield body
        except OSError:
            # Nobody has read the answer.
            with self._guard:
                self._lost[path] = self._call(verb, body)
            raise
        with suppress(OSError):
            path.unlink()

    def _again(self, verb: str) -> tuple[Path, bytes] | None:
        with self._guard:
            now = _uptime()
            for path, call in list(self._lost.items()):
                if now - call.began > REPEATED:
                    del self._lost[path]
                    with suppress(OSError):
                        path.unlink()
            lost = [path for path, call in self._lost.items() if call.verb == verb]
            if not lost:
                return None
            # An older one may have been answered in the moment of the kill. Several that are
            # really open have waited for devices, and are all answered alike.
            newest = max(lost, key=lambda path: self._lost[path].began)
            call = self._lost.pop(newest)
        self._log.warning("lost_call_repeated", call=verb)
        return newest, call.body

    def _write(self, verb: str, body: bytes) -> Path:
        path = self._folder / f"{os.getpid()}-{next(self._numbers)}.json"
        # Whole or not at all.
        new = path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(self._call(verb, body)))
            os.replace(new, path)
        except OSError as error:
            self._log.warning("call_not_kept", call=verb, error=str(error))
        return path

    def _call(self, verb: str, body: bytes) -> _Call:
        return _Call(self._boot, _uptime(), verb, body)

    def _read(self, path: Path) -> _Call | None:
        """What the file holds, if it is of use."""
        try:
            call = msgspec.json.decode(path.read_bytes(), type=_Call)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if call.boot != self._boot or _uptime() - call.began > REPEATED:
            return None
        return call


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
