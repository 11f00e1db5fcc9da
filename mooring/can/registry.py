"""Pure. Docker's networks against the journal's: which it lacks, which Docker has no more.

Docker's JSON in, what differs and findings for a person out. Asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mooring.can.health import REPAIR
from mooring.model.can import Finding, Network, Weight

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Registered:
    """A network as Docker has it."""

    id: str
    name: str
    driver: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    unknown: tuple[Registered, ...] = ()
    """Docker has them of our driver, and the journal does not: none of their containers starts."""
    orphaned: tuple[Network, ...] = ()
    """The journal has them, and Docker does not: removed while no driver was there to be told."""

    def __and__(self, later: Difference) -> Difference:
        """What differed at both times: a network is made, and removed, in several steps."""
        return Difference(
            tuple(one for one in later.unknown if one in self.unknown),
            tuple(one for one in later.orphaned if one in self.orphaned),
        )

    def __bool__(self) -> bool:
        return bool(self.unknown or self.orphaned)


class _Network(msgspec.Struct, rename="pascal"):
    id: str
    name: str = ""
    driver: str = ""
    options: dict[str, str] | None = None


_NETWORKS = msgspec.json.Decoder(list[_Network])


def registered(answer: bytes) -> list[Registered]:
    """The answer to ``/networks``. Raises msgspec.ValidationError or DecodeError."""
    return [Registered(n.id, n.name, n.driver, n.options or {}) for n in _NETWORKS.decode(answer)]


def difference(known: Mapping[str, Network], told: Sequence[Registered], driver: str) -> Difference:
    """``driver`` is ours by its name; a managed plugin's has a maker before it and a tag behind."""
    return Difference(
        tuple(one for one in told if _base(one.driver) == driver and one.id not in known),
        _not_among(known.values(), {one.id for one in told}),
    )


def _base(driver: str) -> str:
    return driver.rpartition("/")[2].partition(":")[0]


def _not_among(known: Iterable[Network], ids: set[str]) -> tuple[Network, ...]:
    return tuple(one for one in known if one.id not in ids)


def findings(found: Difference) -> list[Finding]:
    unknown = "Docker has this network, and the driver does not know it"
    orphaned = "Docker has the network {} no more: it was removed while no driver was there"
    return [
        *(Finding(Weight.ERROR, one.name, unknown, REPAIR) for one in found.unknown),
        *(
            Finding(Weight.WARNING, one.device, orphaned.format(one.id[:_SHOWN]), REPAIR)
            for one in found.orphaned
        ),
    ]
