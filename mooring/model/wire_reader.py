"""Reads a report's items one by one: bad ones are set aside with a reason and cost nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from operator import attrgetter
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from mooring.model.net import IpAddress, IpNetwork
from mooring.model.report import SetAside
from mooring.model.wire_shapes import LAST_MOMENT, Whole, Word

Noun = TypeVar("Noun")
Shape = TypeVar("Shape", bound=Struct)

MAX_ITEMS = 20_000
"""The most items of one list, and the most addresses, forwards or endpoints, that are read; the
others are set aside."""
MAX_SET_ASIDE = 1000
"""Items set aside one by one; of those beyond only the number is told."""
SHOWN = 200
"""How many characters of a bad item are kept for a person to see."""
MAX_REASON = 500
TEXT = 2000
"""Characters that are kept of a text which is only shown."""


class Unfit(ValueError):
    """An item is JSON and not what it should be."""


def read(raw: Raw | bytes, shape: type[Shape], **shown: int) -> Shape:
    """One item. Texts that are only ``shown`` are cut to so many characters and refused never."""
    item = msgspec.json.decode(raw, type=shape)
    for name in shape.__struct_fields__:
        value = getattr(item, name)
        if name in shown:
            setattr(item, name, cut(value, shown[name]))
        elif isinstance(value, str) and "\0" in value:
            raise Unfit(f"{name} holds a NUL character, which not every database can keep")
    return item


class Reader:
    """Reads items one by one and collects those that are set aside."""

    def __init__(self) -> None:
        self._aside: list[SetAside] = []
        self._more = 0
        self._room = MAX_ITEMS

    @property
    def aside(self) -> tuple[SetAside, ...]:
        if not self._more:
            return tuple(self._aside)
        more = SetAside("item", f"{self._more} more", "too many to tell them one by one")
        return (*self._aside, more)

    def put_aside(self, kind: str, raw: Raw | bytes, reason: object) -> None:
        if len(self._aside) >= MAX_SET_ASIDE:
            self._more += 1
            return
        text = bytes(memoryview(raw)[: SHOWN * 4]).decode("utf-8", "replace")
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        self._aside.append(SetAside(kind, shown, cut(str(reason), MAX_REASON)))

    def first(
        self, kind: str, raws: list[Raw], most: int = MAX_ITEMS, where: str = ""
    ) -> list[Raw]:
        """The first ``most`` items; the others are set aside as one."""
        if len(raws) > most:
            more = f"{len(raws) - most} more".encode()
            self.put_aside(kind, more, f"{where}too many to be read")
        return raws[:most]

    def last(self, kind: str, raws: list[Raw], most: int) -> list[Raw]:
        """As ``first``, and of a list with the newest at its end."""
        self.first(kind, raws[:-most], 0)
        return raws[-most:]

    def some(self, kind: str, raws: list[Raw]) -> list[Raw]:
        """As many items as there is still room for, in all lists of the report together."""
        taken = self.first(kind, raws, self._room)
        self._room -= len(taken)
        return taken

    def each(
        self, kind: str, raws: list[Raw], read: Callable[[Raw], Noun], where: str = ""
    ) -> tuple[Noun, ...]:
        """The good ones; the reason why another is set aside begins with ``where`` it was."""
        good = []
        for raw in self.first(kind, raws):
            try:
                good.append(read(raw))
            except (ValueError, RecursionError) as error:
                self.put_aside(kind, raw, f"{where}{error}")
        return tuple(good)

    def one(self, kind: str, raw: Raw, read: Callable[[Raw], Noun], otherwise: Noun) -> Noun:
        """A part that is there once; ``otherwise`` when it is set aside."""
        good = self.each(kind, [raw], read)
        return good[0] if good else otherwise

    def distinct(
        self,
        kind: str,
        raws: list[Raw],
        read: Callable[[Raw], Noun],
        name: str,
        where: str = "",
    ) -> tuple[Noun, ...]:
        """As ``each``; of two items with one ``name`` (``a.b`` is a part's) the first stays."""
        seen = set()

        def once(raw: Raw) -> Noun:
            noun = read(raw)
            key = attrgetter(name)(noun)
            if key in seen:
                raise ValueError(f"a second {kind} with the {name} {key}")
            seen.add(key)
            return noun

        return self.each(kind, raws, once, where)


def ip_address(text: str) -> IpAddress:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text[:SHOWN]!r} has a zone, which means nothing elsewhere")
    return address


def cidr(text: str) -> IpNetwork:
    """A CIDR without host bits; the errors of ``ipaddress`` say which of the two is wrong."""
    if len(text) > 50:
        raise ValueError(f"{text[:50]!r}… is too long for a CIDR")
    network = ipaddress.ip_network(text, strict=True)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone, which means nothing elsewhere")
    return network


def keepable(*texts: str) -> None:
    """Raises ``Unfit`` for what not every database can keep."""
    if any("\0" in text for text in texts):
        raise Unfit("it holds a NUL character, which not every database can keep")


_COUNTED = msgspec.json.Decoder(tuple[Word, Whole])


def counted(raw: Raw) -> tuple[str, int]:
    """A word, and how many times it was so."""
    word, count = _COUNTED.decode(raw)
    keepable(word)
    return word, count


def moment(at: float) -> float:
    """A clock that is far out costs no report: its times are brought to the nearest sensible."""
    return min(max(at, 0.0), LAST_MOMENT)


def cut(text: str, most: int) -> str:
    return text.replace("\0", "")[:most]
