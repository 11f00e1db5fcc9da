"""Pure. How names are sorted: host2 before host10, 10.0.0.9 before 10.0.0.10, Host3 after host2."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Interface

LONGEST = 253
"""Characters of a name's order; what comes behind them orders nothing."""
_NUMBER = re.compile(r"0*([0-9]+)")


def name_order(name: str) -> str:
    """The text by which a name is sorted, character by character.

    Before each number stands how many digits it has, so that a longer one comes after a shorter.
    Case and accents order nothing; an address of IPv6 is written in full.
    """
    try:
        return f"9{IPv6Interface(name).exploded}"
    except ValueError:
        letters = unicodedata.normalize("NFKD", name.casefold())
        plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
        return _NUMBER.sub(_measured, plain)[:LONGEST]


def _measured(number: re.Match[str]) -> str:
    digits = number[1]
    return (str(len(digits)) if len(digits) < 9 else f"9{len(digits):03}") + digits
