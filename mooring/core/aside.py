"""Pure. Collects items of an outside answer that make no sense, each with its reason, in bounds.

Never raises for an item: what is read goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from msgspec import Raw

from mooring.core.parse import cut
from mooring.model.report import SetAside

Noun = TypeVar("Noun")
Item = TypeVar("Item")

MAX_SET_ASIDE = 100
"""Items set aside one by one; of those beyond only the number is told."""
SHOWN = 200
"""How many characters of a bad item are kept for a person to see."""
MAX_REASON = 500


class Aside:
    """What was set aside while one answer was read."""

    def __init__(self) -> None:
        self._items: list[SetAside] = []
        self._more = 0

    def put(self, kind: str, item: object, reason: object) -> None:
        """Set one item aside: raw JSON, or words for it."""
        if len(self._items) >= MAX_SET_ASIDE:
            self._more += 1
            return
        text = bytes(item).decode("utf-8", "replace") if isinstance(item, Raw) else str(item)
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        self._items.append(SetAside(kind, cut(shown, SHOWN + 1), cut(str(reason), MAX_REASON)))

    @property
    def items(self) -> tuple[SetAside, ...]:
        if not self._more:
            return tuple(self._items)
        more = SetAside("item", f"{self._more} more", "too many to tell them one by one")
        return (*self._items, more)

    def first(self, kind: str, items: list[Item], most: int, of: str = "") -> list[Item]:
        """The first ``most`` items; the others are set aside as one."""
        if len(items) > most:
            self.put(kind, f"{len(items) - most} more{of}", f"more than {most} are not read")
        return items[:most]

    def distinct(
        self,
        kind: str,
        raws: Iterable[Raw],
        read: Callable[[Raw], Noun],
        key: Callable[[Noun], Hashable],
    ) -> tuple[Noun, ...]:
        """The items that ``read`` takes (it raises ValueError); of two with one key the first."""
        good: dict[Hashable, Noun] = {}
        for raw in raws:
            try:
                noun = read(raw)
                if key(noun) in good:
                    raise ValueError(f"a second {kind} with the id {key(noun)}")
                good[key(noun)] = noun
            except (ValueError, RecursionError) as error:
                self.put(kind, raw, error)
        return tuple(good.values())
