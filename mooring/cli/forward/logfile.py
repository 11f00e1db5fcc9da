"""A log file that stays small: what is written in, at most two files of a bounded size out."""

from __future__ import annotations

import io
import os
from pathlib import Path

from mooring.core.errors import UsageError, why_os

MOST = 5 * 1024 * 1024
"""Bytes of one file; beyond it the file becomes ``.1``, whose predecessor goes."""


class BoundedLog(io.TextIOBase):
    """Appends text to a file. Raises ``UsageError`` when it can't be opened."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        self._path = path
        self._most = most
        try:
            self._file = self._open()
        except OSError as error:
            raise UsageError(
                f"opening the log {path}",
                why_os(error),
                "name a file that can be written with --log-file",
            ) from None

    def _open(self) -> io.FileIO:
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        return io.FileIO(descriptor, "a")

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        data = text.encode("utf-8", "replace")
        if self._file.tell() + len(data) > self._most:
            os.replace(self._path, f"{self._path}.1")
            self._file.close()
            self._file = self._open()
        self._file.write(data)
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()
