"""Much work in turns: what is made of many things, and others have a turn between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from itertools import islice
from typing import TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")

TURN = 100
"""Things that something is made of before others have a turn."""


async def each(make: Callable[[Thing], Made], things: Collection[Thing]) -> list[Made]:
    """What ``make`` makes of each."""
    made: list[Made] = []
    left = iter(things)
    while some := [make(thing) for thing in islice(left, TURN)]:
        if made:
            await asyncio.sleep(0)
        made += some
    return made
