"""The log: events with fields, on standard error, for people or as JSON lines."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog

from mooring.core.lines import LEVELS, PAD, Format, unheard


def set_up(level: str = "info", style: Format = "text") -> None:
    """Send structlog's events, and the warnings of libraries that use logging, to stderr.

    The time is UTC. Fields bound with ``structlog.contextvars`` (``run``, ``agent``) are in
    every event of that context, so that one id tells the story of a run.
    """
    renderer: structlog.typing.Processor
    if style == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=PAD, exception_formatter=_plain
        )
    out = _Unfailing(sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        # Without the variables, which hold keys and passwords.
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(frames))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", out)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(cast("TextIO", out))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=max(logging.WARNING, LEVELS[level]), handlers=[handler], force=True)


class _Unfailing:
    """A stream whose reader may go."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with unheard(self._stream):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with unheard(self._stream):
            self._stream.flush()


_plain = structlog.dev.plain_traceback
