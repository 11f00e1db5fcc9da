"""Errors that a person reads: what was attempted, on what, why it failed, what to do."""

from __future__ import annotations


class MooringError(Exception):
    """A failure with its remedy.

    ``attempted`` is a sentence's beginning without a full stop ("opening the data folder /x"),
    ``why`` what came of it, ``remedy`` what the reader can do about it.
    """

    exit_code = 1

    def __init__(self, attempted: str, why: str, remedy: str = "") -> None:
        self.attempted = attempted
        self.why = why
        self.remedy = remedy
        super().__init__(f"{attempted}: {why}" + (f" ({remedy})" if remedy else ""))


class UsageError(MooringError):
    """The command line or a setting is wrong; nothing was attempted."""

    exit_code = 2


def why_os(error: OSError) -> str:
    """The operating system's reason in words, without the number and the path."""
    return (error.strerror or str(error)).lower()
