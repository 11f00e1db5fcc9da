"""Pure. The remote hosts of a TOML file; a fault is told with its line and column.

Text in, a ``File`` of ``Host`` values out; never opens a file and never resolves a name itself.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from mooring.core.errors import UsageError
from mooring.core.url import server_url
from mooring.forward import address as addresses
from mooring.forward.address import Address

TRANSPORTS = ("asyncssh", "openssh")

Spot: TypeAlias = tuple[int, int]
"""A line and a column, both from 1."""
_Way: TypeAlias = tuple[str | int, ...]
"""The keys that lead to a value, and its number in an array of tables."""


@dataclass(frozen=True, slots=True)
class Host:
    """One remote host as a person describes it."""

    address: Address
    bind: str = "127.0.0.1"
    transport: str = "asyncssh"
    identity: Path | None = None
    known_hosts: Path | None = None
    docker_host: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    remap: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """All that a file says."""

    hosts: tuple[Host, ...]
    server: str | None = None
    """Where to report to."""
    key_file: Path | None = None
    """Where the key for that is."""


class Bad(UsageError):
    """A fault in the file, and where."""

    def __init__(self, name: str, spot: Spot, why: str, remedy: str = "") -> None:
        line, column = spot
        super().__init__(f"reading {name}, line {line}, column {column}", why, remedy)
        self.spot = spot


def read(text: str, name: str, resolve: Callable[[str], Address]) -> File:
    """What a file's text says; the hosts in their order, which is their priority.

    ``name`` is the file's, for errors; ``resolve`` reads an address or a Docker context's name.
    Raises ``UsageError``, which is ``Bad`` where there is a line to point at.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why, spot = _syntax(str(error), text)
        remedy = 'texts stand in quotes, such as address = "ssh://deploy@build.example"'
        raise Bad(name, spot, why, remedy) from None
    return _Reader(name, _spots(text), resolve).file(found)


def _syntax(message: str, text: str) -> tuple[str, Spot]:
    """What tomllib says, apart from where it says it is."""
    at = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if at:
        return _lower(at[1]), (int(at[2]), int(at[3]))
    lines = text.split("\n")
    why = message.removesuffix(" (at end of document)")
    return f"{_lower(why)} at the end of the file", (len(lines), len(lines[-1]) + 1)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


class _Reader:
    """Reads values, each with its way to it, so that a fault can be pointed at."""

    def __init__(
        self, name: str, spots: Mapping[_Way, Spot], resolve: Callable[[str], Address]
    ) -> None:
        self._name = name
        self._spots = spots
        self._resolve = resolve
        self._keys: dict[str, Callable[[Any, _Way], Any]] = {
            "bind": self._checked(addresses.bind),
            "transport": self._transport,
            "identity": self._path,
            "known_hosts": self._path,
            "docker_host": self._checked(addresses.docker_host),
            "include": self._patterns,
            "exclude": self._patterns,
            "remap": self._remap,
        }

    def file(self, found: dict[str, Any]) -> File:
        self._known(found, ("host", "server", "key_file", *self._keys), ())
        server = key_file = None
        if "server" in found:
            server = self._checked(server_url)(found["server"], ("server",))
        if "key_file" in found:
            key_file = self._path(found["key_file"], ("key_file",))
        return File(self._hosts(found), server, key_file)

    def _hosts(self, found: dict[str, Any]) -> tuple[Host, ...]:
        defaults = self._options(found, ())
        tables = found.get("host", [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            raise self._bad(("host",), "each host is a table of its own", "such as [[host]]")
        if not tables:
            raise UsageError(
                f"reading {self._name}",
                "there is no host in it",
                'such as [[host]] and, below it, address = "ssh://deploy@build.example"',
            )
        hosts: list[Host] = []
        for number, table in enumerate(tables):
            way = ("host", number)
            host = self._host(table, way, defaults)
            if any(host.address == other.address for other in hosts):
                raise self._bad(
                    (*way, "address"), f"{host.address} is named twice", "name each host once"
                )
            hosts.append(host)
        return tuple(hosts)

    def _host(self, table: dict[str, Any], way: _Way, defaults: dict[str, Any]) -> Host:
        self._known(table, ("address", *self._keys), way)
        if "address" not in table:
            example = 'such as address = "ssh://deploy@build.example"'
            raise self._bad(way, "this host has no address", example)
        address = self._checked(self._resolve)(table["address"], (*way, "address"))
        return Host(address, **{**defaults, **self._options(table, way)})

    def _options(self, table: dict[str, Any], way: _Way) -> dict[str, Any]:
        return {
            key: read(table[key], (*way, key)) for key, read in self._keys.items() if key in table
        }

    # --- values

    def _checked(self, read: Callable[[str], Any]) -> Callable[[Any, _Way], Any]:
        def value(got: Any, way: _Way) -> Any:
            try:
                return read(self._text(got, way))
            except UsageError as error:
                if isinstance(error, Bad):
                    raise
                raise self._bad(way, f"{way[-1]}: {error.why}", error.remedy) from None

        return value

    def _text(self, got: Any, way: _Way) -> str:
        if not isinstance(got, str):
            raise self._bad(way, f"{way[-1]}: expected a text in quotes, got {_shown(got)}")
        return got

    def _transport(self, got: Any, way: _Way) -> str:
        if got not in TRANSPORTS:
            expected = " or ".join(f'"{t}"' for t in TRANSPORTS)
            raise self._bad(way, f"transport: expected {expected}, got {_shown(got)}")
        return str(got)

    def _path(self, got: Any, way: _Way) -> Path:
        return Path(self._text(got, way)).expanduser()

    def _patterns(self, got: Any, way: _Way) -> tuple[str, ...]:
        if not isinstance(got, list):
            example = f'such as {way[-1]} = ["web-*", "port=8000-8099"]'
            raise self._bad(way, f"{way[-1]}: expected a list, got {_shown(got)}", example)
        return tuple(self._checked(addresses.pattern)(each, way) for each in got)

    def _remap(self, got: Any, way: _Way) -> dict[int, int]:
        if not isinstance(got, dict):
            example = "such as remap = { 80 = 8080, 443 = 8443 }"
            raise self._bad(way, f"remap: expected a table, got {_shown(got)}", example)
        pairs = []
        for remote, local in got.items():
            where = (*way, remote) if (*way, remote) in self._spots else way
            number = local if isinstance(local, int) and not isinstance(local, bool) else None
            shown = f"{remote}={_shown(local) if number is None else number}"
            try:
                pairs.append(addresses.remap(shown))
            except UsageError as error:
                raise self._bad(where, f"remap: {error.why}", f"got {shown}") from None
        return addresses.remaps(pairs)

    # --- faults

    def _known(self, table: Iterable[str], keys: tuple[str, ...], way: _Way) -> None:
        for key in table:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                remedy = f"there are: {', '.join(keys)}"
                raise self._bad((*way, key), f"there is no key {key!r} here{hint}", remedy)

    def _bad(self, way: _Way, why: str, remedy: str = "") -> Bad:
        while way and way not in self._spots:
            way = way[:-1]
        return Bad(self._name, self._spots.get(way, (1, 1)), why, remedy)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


# --- where things are

_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"{3}(?:[^\\]|\\.)*?"{3,5}|' + r"'{3}.*?'{3,5}|" + r"""\"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)


def _spots(text: str) -> dict[_Way, Spot]:
    """Where each table and key of a text stands. The text is TOML: tomllib has read it."""
    return _Scan(text.replace("\r\n", "\n")).spots


class _Scan:
    def __init__(self, text: str) -> None:
        self.spots: dict[_Way, Spot] = {}
        self._text = text
        self._at = 0
        self._numbers: dict[_Way, int] = {}
        table: _Way = ()
        while self._blank():
            here = self._spot()
            if self._text[self._at] == "[":
                table = self._header()
                self.spots.setdefault(table, here)
                continue
            way = table
            for key in self._keys():
                way = (*way, key)
                self.spots.setdefault(way, here)
            self._value()

    def _spot(self) -> Spot:
        start = self._text.rfind("\n", 0, self._at) + 1
        return self._text.count("\n", 0, self._at) + 1, self._at - start + 1

    def _blank(self) -> bool:
        """Go over blanks and comments; whether anything comes."""
        found = re.compile(r"(?:\s+|#[^\n]*)*").match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _header(self) -> _Way:
        """``[a.b]`` or ``[[a.b]]``."""
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        way: _Way = ()
        keys = self._keys()
        for place, key in enumerate(keys, 1):
            way = (*way, key)
            if many and place == len(keys):
                self._numbers[way] = self._numbers.get(way, -1) + 1
            if way in self._numbers:
                way = (*way, self._numbers[way])
        self._at = self._text.index("]", self._at) + (2 if many else 1)
        return way

    def _keys(self) -> list[str]:
        """``a."b c".d``, with blanks around the dots."""
        keys = []
        while found := re.compile(r"[ \t]*").match(self._text, self._at):
            key = _KEY.match(self._text, found.end())
            if key is None:
                break
            keys.append(key[0].strip("\"'"))
            dot = re.compile(r"[ \t]*\.").match(self._text, key.end())
            self._at = dot.end() if dot else key.end()
            if dot is None:
                break
        return keys

    def _value(self) -> None:
        """Go over ``= value``, to the end of the last line of it."""
        depth = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in "\"'" and (string := _STRING.match(self._text, self._at)):
                self._at = string.end()
                continue
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = end if end >= 0 else len(self._text)
                continue
            depth += (char in "[{") - (char in "]}")
            if char == "\n" and depth == 0:
                return
            self._at += 1
