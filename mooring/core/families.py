"""Pure. Prometheus' families of samples: what was found in, families out; no HTTP is known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    """Without the suffixes that its samples have."""
    kind: str
    """counter, gauge or histogram."""
    help: str
    samples: tuple[Sample, ...]


Found = tuple[str, str, Labels, float]
"""The name of a family, a sample's suffix to it, the sample's labels and its value."""


def summed(known: Mapping[str, tuple[str, str]], found: Iterable[Found]) -> list[Family]:
    """All ``known`` families, of each name its kind and its help; the same labels are added up."""
    added: dict[str, dict[tuple[str, Labels], float]] = {name: {} for name in known}
    for family, suffix, labels, value in found:
        key = family + suffix, labels
        added[family][key] = added[family].get(key, 0) + value
    return [
        Family(name, kind, text, tuple(Sample(*key, value) for key, value in added[name].items()))
        for name, (kind, text) in known.items()
    ]
