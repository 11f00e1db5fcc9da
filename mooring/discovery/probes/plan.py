"""Pure. A port's number and the catalogue in, how it is best approached out."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.discovery.catalogue import Catalogue
from mooring.discovery.probes.questions import Question, in_order
from mooring.model.service import Means

TLS_FIRST = frozenset((
    443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 2376, 3269, 4443, 5061, 5671, 5986,
    6443, 6514, 6697, 8006, 8007, 8443, 8883, 9443, 10250, 10443,
))  # fmt: skip
"""Ports that usually speak TLS from the first byte."""

_HTTP = {Means.HTTP_STATUS, Means.HTTP_TITLE, Means.HTTP_HEADER, Means.HTTP_BODY, Means.FAVICON}


@dataclass(frozen=True, slots=True)
class Approach:
    """What is usual on a port: what is tried first, and what is worth a longer wait."""

    greets: bool
    http: bool
    tls: bool
    first: tuple[Question, ...]
    then: tuple[Question, ...]


def approach(port: int, catalogue: Catalogue) -> Approach:
    matches = [m for entry in catalogue.usually_on(port) for m in entry.matches]
    first, then = in_order(port)
    return Approach(
        greets=any(m.means is Means.SSH or (m.means is Means.BANNER and not m.of) for m in matches),
        http=any(m.means in _HTTP for m in matches),
        tls=port in TLS_FIRST,
        first=first,
        then=then,
    )
