"""Pure. What to do so that the listeners are what is wanted; empty once it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mooring.model.forward import Place, Wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """Close first, then retarget, then open: a port may go from one container to another."""

    close: tuple[Place, ...] = ()
    retarget: tuple[Wanted, ...] = ()
    open: tuple[Wanted, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.close or self.retarget or self.open)


def plan(desired: Iterable[Wanted], actual: Mapping[Place, Wanted]) -> Plan:
    """``actual`` are the listeners that there really are, and whom each serves.

    A listener whose place is wanted for another target or container goes on listening and leads
    elsewhere from then on: whoever connects in between is not refused.
    """
    by_place = {want.place: want for want in desired}
    return Plan(
        close=tuple(place for place in actual if place not in by_place),
        retarget=tuple(
            want for place, want in by_place.items() if place in actual and actual[place] != want
        ),
        open=tuple(want for place, want in by_place.items() if place not in actual),
    )
