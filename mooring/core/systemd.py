"""Pure. Words as systemd's unit files want them; writes no file and runs no program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


def command_line(words: Sequence[str]) -> str:
    """The value of ExecStart= (systemd.service(5)); the first word is an absolute path.

    Raises ValueError for what a unit can't hold.
    """
    return " ".join(quoted(word).replace("$", "$$") for word in words)


def environment_lines(environment: Mapping[str, str]) -> str:
    """A line of Environment= for each variable (systemd.exec(5)); ValueError as above."""
    return "".join(
        f"Environment={quoted(f'{name}={value}')}\n" for name, value in environment.items()
    )


def quoted(word: str) -> str:
    """A word as systemd.syntax(7) wants it; ``%`` would be a specifier."""
    if re.search(r"[\0\n\r]", word):
        raise ValueError(f"a line break can't be written into a unit: {word!r}")
    word = word.replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9_@:/.,=+%$\[\]-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
