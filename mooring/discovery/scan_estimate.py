"""Pure. How long a scan has still to go, from how fast it goes and how scans usually spend it."""

from __future__ import annotations

from mooring.model.scan import Depth

PHASES = ("hosts", "ports", "services")

_SHARES: dict[Depth, dict[str, float]] = {
    # How the time of a scan is usually spent.
    Depth.NONE: {"hosts": 1.0},
    Depth.LIGHT: {"hosts": 0.15, "ports": 0.25, "services": 0.6},
    Depth.FULL: {"hosts": 0.03, "ports": 0.87, "services": 0.1},
}

_EARLY = 0.02
"""The part of a phase from which on its own speed says more than nothing."""


def phases(depth: Depth) -> tuple[str, ...]:
    return tuple(_SHARES[depth])


def remaining_s(
    depth: Depth,
    phase: str,
    done: int,
    total: int,
    elapsed_s: float,
    told_s: float | None = None,
) -> float | None:
    """Seconds left of the whole scan; None while nothing can be said.

    ``elapsed_s`` is the time in this phase so far, ``told_s`` what its doer says is left of it.
    The phases that follow are taken to need their usual share of what this one needs.
    """
    left = told_s
    if left is None:
        if total <= 0 or done >= total:
            left = 0.0
        elif done < total * _EARLY:
            return None
        else:
            left = elapsed_s * (total - done) / done
    shares = _SHARES[depth]
    order = phases(depth)
    if phase not in shares:
        return None
    later = sum(shares[name] for name in order[order.index(phase) + 1 :])
    return left + (elapsed_s + left) * later / shares[phase]
