"""Pure. Who is on a bus in, the rules that shall be out; and their difference to those that are.

A mesh: each listener has a rule from the bus's interface and from every other sender, each with a
limit of one hop, so that a frame comes to everybody once and never back to its sender, whatever
the module's ``max_hops``. A rule passes one type of frame, hence two of each. Only towards the
bus's interface frames are echoed, or programs on the host would not see them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mooring.can import filters
from mooring.model.can import (
    Access,
    Endpoint,
    Filter,
    FoundRule,
    NetworkOptions,
    Rule,
)

ECHO = 0x01
"""CGW_FLAGS_CAN_ECHO (linux/can/gw.h)."""
FD = 0x08
"""CGW_FLAGS_CAN_FD."""
_TYPES = (0, FD)


@dataclass(frozen=True, slots=True)
class Party:
    """An endpoint that is wired: the host's end of its pair, and what its container may do."""

    index: int
    access: Access = Access.BOTH
    filters: tuple[Filter, ...] = ()
    errframes: bool = False


def party(index: int, endpoint: Endpoint, network: NetworkOptions) -> Party:
    """What the endpoint asks for, and where it asks for nothing what its network says."""
    asked = endpoint.options
    return Party(
        index,
        network.access if asked.access is None else asked.access,
        network.filters if asked.filters is None else asked.filters,
        network.errframes if asked.errframes is None else asked.errframes,
    )


def rules(bus: int, parties: Sequence[Party]) -> list[Rule]:
    """All rules of a bus: 2·N·(N+1) for N parties without filters that hear and send."""
    wanted: list[Rule] = []
    senders = [one.index for one in parties if one.access.sends]
    for sender in senders:
        wanted += _to_bus(sender, bus)
    for one in parties:
        wanted += _into(one, bus, [bus, *senders])
    return wanted


def rules_of(bus: int, parties: Sequence[Party], joining: int) -> list[Rule]:
    """Those of ``rules`` at one party's end: 4·N for the Nth."""
    wanted: list[Rule] = []
    senders = [one.index for one in parties if one.access.sends]
    if joining in senders:
        wanted += _to_bus(joining, bus)
    for one in parties:
        if one.index == joining:
            wanted += _into(one, bus, [bus, *senders])
        elif joining in senders:
            wanted += _into(one, bus, [joining])
    return wanted


def _to_bus(sender: int, bus: int) -> list[Rule]:
    return [Rule(sender, bus, flags | ECHO) for flags in _TYPES]


def _into(one: Party, bus: int, sources: Collection[int]) -> list[Rule]:
    """The rules by which one hears these sources, if it hears, and is not one of them."""
    if not one.access.hears:
        return []
    wanted = [
        Rule(source, one.index, flags, filter=passing)
        for source in sources
        if source != one.index
        for passing in one.filters or (None,)
        for flags in _TYPES
    ]
    if one.errframes and bus in sources:
        wanted.append(Rule(bus, one.index, 0, filter=filters.ERRORS))
    return wanted


@dataclass(frozen=True, slots=True)
class Difference:
    add: tuple[Rule, ...]
    remove: tuple[Rule, ...]
    """One for each copy too many."""

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def difference(
    wanted: Iterable[Rule],
    found: Iterable[FoundRule],
    own: Collection[int],
    buses: Collection[int],
) -> Difference:
    """What to add and what to remove so that the rules at our own ends are the wanted ones.

    ``own`` are the indexes of ends that are to be put in order. A rule is ours to remove if it
    joins one of these with another or with one of ``buses``, and changes no frame: what somebody
    laid to elsewhere is not.
    """
    shall = dict.fromkeys(wanted)
    reach = {*own, *buses}
    have: Counter[Rule] = Counter()
    remove: list[Rule] = []
    for one in found:
        rule = one.rule
        if one.modifies or not (rule.source in own or rule.target in own):
            continue
        if rule.source not in reach or rule.target not in reach:
            continue
        have[rule] += 1
        if rule not in shall or have[rule] > 1:
            remove.append(rule)
    return Difference(tuple(rule for rule in shall if not have[rule]), tuple(remove))
