"""Pure. Docker's dictionaries of options in, checked options out, or an error that names one.

The names and defaults of ``vxcan.dev``, ``vxcan.id`` and ``vxcan.peer`` are those of
rustycan4docker and can4docker. Never asks a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from mooring.can import filters, names
from mooring.core.errors import MooringError
from mooring.model.can import (
    Access,
    EndpointOptions,
    Filter,
    IfDown,
    NetworkOptions,
    Settings,
)

GENERIC = "com.docker.network.generic"
IFNAME = "com.docker.network.endpoint.ifname"

_PREFIX = "vxcan."
_ENDPOINT = frozenset({"peer", "access", "filter", "errframes"})
_NETWORK = _ENDPOINT | {
    "dev", "id", "bitrate", "dbitrate", "fd", "restart_ms", "txqueuelen", "wait", "if_down",
}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_MAX_BITRATE = 20_000_000
WAIT = 10.0
"""Seconds to wait for a physical device that is not there yet."""

Choice = TypeVar("Choice", bound=StrEnum)


class BadOption(MooringError):
    """An option that cannot be: its name, what it should be and what came."""

    def __init__(self, option: str, expected: str, got: object) -> None:
        shown = repr(got)
        super().__init__(
            f"reading the option {option}",
            f"it should be {expected}, and is {shown if len(shown) <= 60 else shown[:60] + '…'}",
        )


def network_options(given: Mapping[str, object]) -> NetworkOptions:
    """The options of CreateNetwork: what Docker sends under ``com.docker.network.generic``.

    Raises:
        BadOption
    """
    read = _Reader(given, _NETWORK)
    device = read.name("dev", "vcan", names.MAX_NAME) + str(read.number("id", 0, 9999) or 0)
    if len(device) > names.MAX_NAME:
        raise BadOption(
            "vxcan.dev with vxcan.id", f"at most {names.MAX_NAME} characters together", device
        )
    settings = Settings(
        bitrate=read.number("bitrate", 1, _MAX_BITRATE),
        dbitrate=read.number("dbitrate", 1, _MAX_BITRATE),
        fd=read.flag("fd"),
        restart_ms=read.number("restart_ms", 0, 3_600_000),
        txqueuelen=read.number("txqueuelen", 1, 100_000),
    )
    if settings.dbitrate is not None:
        if settings.bitrate is None:
            raise BadOption("dbitrate", "given together with bitrate", settings.dbitrate)
        if settings.fd is False:
            raise BadOption("dbitrate", "left out when fd is false", settings.dbitrate)
        if settings.dbitrate < settings.bitrate:
            raise BadOption("dbitrate", "not below bitrate", settings.dbitrate)
    wait = read.number("wait", 0, 300)
    return NetworkOptions(
        device=device,
        peer=read.name("peer", "vcanp", names.MAX_PREFIX),
        settings=settings,
        access=read.choice("access", Access) or Access.BOTH,
        filters=read.filters("filter") or (),
        errframes=read.flag("errframes") or False,
        wait=WAIT if wait is None else float(wait),
        if_down=read.choice("if_down", IfDown) or IfDown.WARN,
    )


def endpoint_options(given: Mapping[str, object]) -> EndpointOptions:
    """The options of CreateEndpoint: Docker's own beside those of ``--driver-opt``.

    Raises:
        BadOption
    """
    read = _Reader(given, _ENDPOINT)
    ifname = given.get(IFNAME)
    return EndpointOptions(
        peer=read.name("peer", "", names.MAX_PREFIX) or None,
        ifname=_name(IFNAME, ifname, names.MAX_NAME) if ifname else None,
        access=read.choice("access", Access),
        filters=read.filters("filter"),
        errframes=read.flag("errframes"),
    )


class _Reader:
    """The options that are ours, by their names without ``vxcan.``, which may be left out."""

    def __init__(self, given: Mapping[str, object], known: frozenset[str]) -> None:
        self._given: dict[str, tuple[str, object]] = {}
        for key, value in given.items():
            if "." in key and not key.startswith(_PREFIX):
                # Docker's own, and labels of others.
                continue
            name = key.removeprefix(_PREFIX)
            if name not in known:
                # Not loaded before somebody errs.
                import difflib

                near = difflib.get_close_matches(name, known, 1)
                raise BadOption(
                    key,
                    f"one of {', '.join(sorted(known))}"
                    + (f" (was {near[0]} meant?)" if near else ""),
                    key,
                )
            if name in self._given:
                raise BadOption(key, f"given once, and not as {self._given[name][0]} too", value)
            self._given[name] = (key, value)

    def name(self, name: str, default: str, most: int) -> str:
        key, value = self._given.get(name, (name, ""))
        return _name(key, value, most) if value != "" else default

    def number(self, name: str, least: int, most: int) -> int | None:
        key, value = self._given.get(name, (name, ""))
        if value == "":
            return None
        expected = f"a number from {least} to {most}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise BadOption(key, expected, value)
        text = str(value).strip()
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise BadOption(key, expected, value)
        return int(text)

    def flag(self, name: str) -> bool | None:
        key, value = self._given.get(name, (name, ""))
        if value == "":
            return None
        said = {"true": True, "1": True, "yes": True, "on": True}
        said |= {"false": False, "0": False, "no": False, "off": False}
        found = said.get(str(value).lower())
        if found is None:
            raise BadOption(key, "true or false", value)
        return found

    def choice(self, name: str, choices: type[Choice]) -> Choice | None:
        key, value = self._given.get(name, (name, ""))
        if value == "":
            return None
        try:
            return choices(str(value).lower())
        except ValueError:
            raise BadOption(key, f"one of {', '.join(choices)}", value) from None

    def filters(self, name: str) -> tuple[Filter, ...] | None:
        key, value = self._given.get(name, (name, ""))
        if value == "":
            return None
        try:
            return filters.parse(str(value))
        except ValueError as error:
            raise BadOption(
                key, f"filters as candump's, ID:MASK,… without overlap ({error})", value
            ) from None


def _name(key: str, value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not _PLAIN.fullmatch(value):
        raise BadOption(key, f"1 to {most} letters, digits, dots, dashes and underscores", value)
    if value in (".", ".."):
        raise BadOption(key, "a name that an interface can have", value)
    return value
