"""Log lines without a library: events with fields on standard error, as ``log`` writes them.

For a process that must be there at once; ``log`` does the same for all others, with more comfort.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, TextIO

import msgspec

Format = Literal["text", "json"]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

PAD = 28
"""Characters of an event's name before its fields."""


class Lines:
    """Writes a line for each event. Any thread may; a line is written at once or not at all."""

    def __init__(
        self, level: str = "info", style: Format = "text", stream: TextIO | None = None
    ) -> None:
        self._least = LEVELS[level]
        self._style = style
        self._stream = stream if stream is not None else sys.stderr

    def debug(self, event: str, **fields: object) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """``exc_info`` is told with where it was raised."""
        self._write("error", event, fields, exc_info)

    def _write(
        self,
        level: str,
        event: str,
        fields: dict[str, object],
        exc_info: BaseException | None = None,
    ) -> None:
        if LEVELS[level] < self._least:
            return
        trace = "" if exc_info is None else _trace(exc_info)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        stamp += f".{int(now % 1 * 1e6):06d}Z"
        if self._style == "json":
            told = {"event": event, **fields, "level": level, "timestamp": stamp}
            if trace:
                told["exception"] = trace
            line = msgspec.json.encode(told, enc_hook=str).decode()
        else:
            shown = " ".join(f"{key}={_shown(value)}" for key, value in sorted(fields.items()))
            line = f"{stamp} [{level:<9}] {event:<{PAD}} {shown}".rstrip()
            if trace:
                line += f"\n{trace}"
        with unheard(self._stream):
            self._stream.write(line + "\n")
            self._stream.flush()


@contextmanager
def unheard(stream: TextIO) -> Iterator[None]:
    """Write to a stream whose reader may go (``mooring up 2>&1 | head``): then nothing is said.

    What was about to be logged must still be done, the ending of the process above all: it ends
    with what waits in the stream being written out, and that would fail.
    """
    try:
        yield
    except BrokenPipeError:
        with suppress(OSError, ValueError):
            mute(stream)
    except (OSError, ValueError):
        return


def mute(stream: TextIO) -> None:
    """Have what is written to a stream, and what still waits in it, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _trace(error: BaseException) -> str:
    # Not loaded before the process is there.
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(c.isspace() or c in "\"'=" for c in text) else text
