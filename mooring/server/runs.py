"""Pure. The life of a discovery run: which state may follow which, and what is left of it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mooring.model.event import RunState

LOOK = "look"
"""An agent looks at its own machine."""
SCAN = "scan"
"""An agent looks at networks."""

_NEXT = {
    RunState.PENDING: {RunState.STARTING, RunState.RUNNING},
    RunState.STARTING: {RunState.RUNNING},
    RunState.RUNNING: {RunState.RUNNING},
}


def may_follow(now: RunState, then: RunState) -> bool:
    """Whether a run in state ``now`` may enter ``then``.

    Forward only; any run that has not ended may end; what has ended stays as it ended.
    """
    if now.ended:
        return False
    return then.ended or then in _NEXT[now]


def title(kind: str, agent: str) -> str:
    """What a run is called."""
    return f"Scan by {agent}" if kind == SCAN else f"Look of {agent}"


def added_up(blocks: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """What all blocks of a scan hold together."""
    total: Counter[str] = Counter()
    for counts in blocks.values():
        total.update(counts)
    return dict(total)


MAX_PHASES = 20


def phases(
    before: Sequence[Mapping[str, Any]], name: str | None, done: int, total: int | None
) -> list[Mapping[str, Any]]:
    """The phases that a run has been in, after a word on how far it is in the present one."""
    if not name:
        return list(before)
    now = {"name": name, "done": done, "total": total}
    places = [n for n, phase in enumerate(before) if phase["name"] == name]
    if places:
        return [now if n == places[0] else phase for n, phase in enumerate(before)]
    return [*before, now][-MAX_PHASES:]


def all_done(stored: Mapping[str, Any]) -> dict[str, Any]:
    """How far a complete run is. The last word of its agent on it may still be on its way."""

    def whole(done: int, total: int | None) -> int:
        return done if total is None else total

    told = [{**p, "done": whole(p["done"], p["total"])} for p in stored["phases"]]
    return {"phases": told, "done": whole(stored["done"], stored["total"])}


def remaining(earlier: Sequence[float], elapsed: float) -> float | None:
    """An estimate of the seconds left, from how long the agent's earlier runs took."""
    if not earlier:
        return None
    return max(0.0, statistics.median(earlier) - elapsed)
