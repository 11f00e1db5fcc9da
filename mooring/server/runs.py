"""Pure. The life of a discovery run: which state may follow which, and what is left of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from mooring.model.event import RunState

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


def remaining(earlier: Sequence[float], elapsed: float) -> float | None:
    """An estimate of the seconds left, from how long the agent's earlier runs took."""
    if not earlier:
        return None
    return max(0.0, statistics.median(earlier) - elapsed)
