"""Pure. Whether an agent is there: when it was last heard of, and whether its poll broke, in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SILENT_AFTER = 40.0
"""Seconds after its last poll in which an agent is to be heard of again: it waits for 25 s in one,
gives an answer 10 s more, and has 5 s to ask again."""
BROKEN_AFTER = 10.0
"""Seconds that an agent has to poll again once the connection of a waiting poll broke, as it does
when its program is killed: one that lives tries at once, and five times within these seconds."""
LOST_AFTER = 60.0
"""Seconds without a poll after which the runs of an agent have failed, which nothing takes back."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A poll whose connection broke before it was answered: when it came, and when it broke."""

    polled_at: float
    at: float


def gone(
    heard: Mapping[str, float], broken: Mapping[str, Broken], *, now: float, listening_since: float
) -> set[str]:
    """Which of the agents that count as online are not there any more.

    ``heard`` is when each was last heard of. Nobody could be heard before ``listening_since``.
    """
    before = now - SILENT_AFTER
    silent = {agent for agent, at in heard.items() if at < before and listening_since <= before}
    return silent | {
        agent
        for agent, poll in overdue(broken, now=now, listening_since=listening_since).items()
        if agent in heard and heard[agent] <= poll.polled_at
    }


def overdue(
    broken: Mapping[str, Broken], *, now: float, listening_since: float
) -> dict[str, Broken]:
    """The broken polls after which there was time enough to be heard of again."""
    before = now - BROKEN_AFTER
    return {a: poll for a, poll in broken.items() if max(poll.at, listening_since) <= before}
