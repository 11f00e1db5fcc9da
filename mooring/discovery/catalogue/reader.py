"""Pure. The text of a catalogue file in, its entries out, or ``BadEntry`` with the line.

Never reads a file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from mooring.core.errors import MooringError
from mooring.discovery.catalogue.entry import CATEGORIES, Entry, Match
from mooring.discovery.catalogue.pattern import BadPattern, read_pattern
from mooring.discovery.probes.questions import QUESTIONS, UDP_QUESTIONS
from mooring.discovery.seen import BOUNDS
from mooring.model.service import Means

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_INLINE = re.compile(r"\s*(?:\w+\s*=\s*\[\s*)?\{")
_PATH = re.compile(r"/[!-~]{0,200}")
_HTTP = {Means.HTTP_STATUS, Means.HTTP_TITLE, Means.HTTP_HEADER, Means.HTTP_BODY}
_OF = {Means.HTTP_HEADER: "header", Means.LABEL: "label", Means.BANNER: "question"}
"""The key that says which one of several texts is meant."""
_ASKED = {question.name for question in (*QUESTIONS, *UDP_QUESTIONS)}


class BadEntry(MooringError):
    """A catalogue file that cannot be used: ``file:line`` is in what was attempted."""

    def __init__(self, file: str, line: int, why: str, expected: str) -> None:
        super().__init__(f"reading the catalogue {file}, line {line}", why, f"expected {expected}")
        self.line = line


def read(text: str, file: str) -> tuple[Entry, ...]:
    """All entries of a file. Raises ``BadEntry`` for the first that is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.search(r"at line (\d+)", str(error))
        line = int(said[1]) if said else text.count("\n") + 1
        raise BadEntry(file, line, str(error), "a TOML file") from None
    top = _Table(data, file, _Lines(text), (1, text.count("\n") + 1))
    top.only("service")
    return tuple(_entry(table) for table in top.tables("service"))


def _entry(table: _Table) -> Entry:
    table.only("name", "title", "category", "ports", "udp_ports", "generic", "instead_of", "match")
    matches = tuple(_match(match) for match in table.tables("match"))
    if not matches:
        raise table.bad("match", "the service has none", "at least one [[service.match]]")
    return Entry(
        name=table.text("name", _NAME.fullmatch, "lower case letters, digits and single dashes"),
        title=table.text("title", lambda t: 0 < len(t) <= 80, "a text of 1 to 80 characters"),
        category=table.text("category", CATEGORIES.__contains__, "one of " + _list(CATEGORIES)),
        matches=matches,
        ports=table.ports("ports"),
        udp_ports=table.ports("udp_ports"),
        generic=table.flag("generic"),
        instead_of=table.names("instead_of"),
        source=f"{table.file}:{table.span[0]}",
    )


def _match(table: _Table) -> Match:
    known = [m.value for m in BOUNDS]
    means = Means(table.text("means", known.__contains__, "one of " + _list(known)))
    of = _OF.get(means, "")
    keys = ["means", "pattern", "confidence", "port", "group"]
    table.only(*keys, *([of] if of else []), *(["path"] if means in _HTTP else []))
    named = ""
    if of == "question":
        named = table.text(of, _ASKED.__contains__, "one of " + _list(sorted(_ASKED)), "")
    elif of:
        named = table.text(of, bool, f"the name of the {of}").lower()
    pattern = table.text("pattern", bool, "a regular expression", "" if named else None)
    try:
        compiled = read_pattern(pattern, BOUNDS[means])
    except BadPattern as error:
        raise table.bad("pattern", f"{pattern!r}: {error}", "a regular expression") from None
    return Match(
        means=means,
        pattern=compiled,
        confidence=table.share("confidence"),
        of=named,
        path=table.text("path", _PATH.fullmatch, "a path that begins with /", "/"),
        ports=frozenset(table.ports("port")),
        group=table.text("group", bool, "a name", ""),
    )


class _Table:
    """A table of the file, that knows where it is written."""

    def __init__(self, data: dict[str, Any], file: str, lines: _Lines, span: tuple[int, int]):
        self.data = data
        self.file = file
        self.span = span
        self._lines = lines

    def bad(self, key: str, why: str, expected: str) -> BadEntry:
        name = self.data.get("name")
        whose = f" of {name}" if isinstance(name, str) else ""
        line = self._lines.of_key(key, self.span)
        return BadEntry(self.file, line, f"{key}{whose}: {why}", expected)

    def only(self, *keys: str) -> None:
        for key in self.data:
            if key not in keys:
                raise self.bad(key, "there is no such key here", "one of " + _list(keys))

    def tables(self, key: str) -> list[_Table]:
        found = self.data.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.bad(key, f"it is {_kind(found)}", f"[[{key}]] tables")
        spans = self._lines.of_tables(key, self.span, len(found))
        return [
            _Table(data, self.file, self._lines, span)
            for data, span in zip(found, spans, strict=True)
        ]

    def text(
        self,
        key: str,
        good: Callable[[str], object],
        expected: str,
        default: str | None = None,
    ) -> str:
        if key not in self.data and default is not None:
            return default
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.bad(key, f"it is {_kind(value)}", expected)
        if not good(value):
            raise self.bad(key, f"it is {value!r}", expected)
        return value

    def flag(self, key: str) -> bool:
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise self.bad(key, f"it is {_kind(value)}", "true or false")
        return value

    def share(self, key: str) -> float:
        value = self.data.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
            raise self.bad(key, f"it is {value!r}", "a number above 0, at most 1")
        return float(value)

    def ports(self, key: str) -> tuple[int, ...]:
        value = self.data.get(key, [])
        numbers = value if isinstance(value, list) else [None]
        if not all(type(number) is int and 0 < number < 65536 for number in numbers):
            raise self.bad(key, f"it is {value!r}", "a list of ports, 1 to 65535")
        return tuple(numbers)

    def names(self, key: str) -> tuple[str, ...]:
        value = self.data.get(key, [])
        names = value if isinstance(value, list) else [None]
        if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            raise self.bad(key, f"it is {value!r}", "a list of names of services")
        return tuple(names)


class _Lines:
    """Where tables and keys are written: tomllib does not say. The first line is 1."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def of_tables(self, key: str, span: tuple[int, int], count: int) -> list[tuple[int, int]]:
        """The first and last line of each table; the whole span when that cannot be told."""
        header = re.compile(rf"\s*\[\[\s*(?:[\w-]+\s*\.\s*)*{re.escape(key)}\s*\]\]")
        first, last = span
        found = [n for n in range(first, last + 1) if header.match(self._line(n))]
        found = found or [n for n in range(first, last + 1) if _INLINE.match(self._line(n))]
        if not found or len(found) != count:
            return [span] * count
        ends = [*(n - 1 for n in found[1:]), last]
        return list(zip(found, ends, strict=True))

    def of_key(self, key: str, span: tuple[int, int]) -> int:
        written = re.compile(rf"(?:^|[\[{{,.])\s*[\"']?{re.escape(key)}[\"']?\s*[=\].]")
        first, last = span
        return next((n for n in range(first, last + 1) if written.search(self._line(n))), first)

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""


def _kind(value: object) -> str:
    kinds: Mapping[type, str] = {
        type(None): "missing",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a date")


def _list(words: Any) -> str:
    return ", ".join(words)
