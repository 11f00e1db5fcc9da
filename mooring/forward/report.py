"""Pure. What is known of remote hosts as the body of a report; and what in one is news at once.

Asks nobody: the diagnosis is of what is recorded, and a ping is the one that was answered last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mooring.forward.diagnose import Look, diagnose
from mooring.model.forward import (
    MAX_REPORTED_HISTORY,
    Diagnosis,
    Forward,
    Forwards,
    LinkState,
    Moment,
    RemoteHost,
    Reported,
    StreamRecord,
    Totals,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one remote host."""

    remote: RemoteHost
    look: Look
    """With nothing tried."""
    records: Sequence[StreamRecord]
    history: Sequence[Moment]
    totals: Totals
    """``away_s`` is of the outages that are over."""
    away_since: float | None = None
    """When the outage began that is not over."""


def reported(known: Known) -> Reported:
    """What a report says of one remote host."""
    remote = known.remote
    still = 0.0
    if known.away_since is not None and remote.state is not LinkState.STOPPED:
        still = max(0.0, known.look.now - known.away_since)
    return Reported(
        remote,
        _diagnosed(known),
        replace(known.totals, away_s=round(known.totals.away_s + still, 3)),
        tuple(known.history)[-MAX_REPORTED_HISTORY:],
    )


def _diagnosed(known: Known) -> Diagnosis:
    remote = known.remote
    look = replace(known.look, tried=False, docker_ms=remote.ping_ms)
    # What Docker is, or why it does not answer: then the state says the same.
    if remote.docker and remote.docker in look.detail:
        look = replace(look, docker_detail=remote.docker)
    return diagnose(known.records, look)


def stopped(body: Forwards) -> Forwards:
    """The same when the program has ended: no port of it is listened on any more."""
    return Forwards(
        tuple(
            replace(each, remote=replace(each.remote, state=LinkState.STOPPED, forwards=()))
            for each in body.remotes
        )
    )


def outline(body: Forwards) -> Forwards:
    """What is news at once: all but what counts on by itself."""
    return Forwards(tuple(_outline(each) for each in body.remotes))


def counted(body: Forwards) -> Forwards:
    """What is news after a while: all but what is measured anew at every look."""
    return Forwards(tuple(_counted(each) for each in body.remotes))


def _outline(each: Reported) -> Reported:
    quiet = _counted(each)
    forwards = tuple(map(_uncounted, each.remote.forwards))
    totals = Totals(each.totals.since, each.totals.outages)
    return replace(quiet, remote=replace(quiet.remote, forwards=forwards), totals=totals)


def _counted(each: Reported) -> Reported:
    diagnosis = replace(each.diagnosis, evidence=(), advice=())
    return replace(each, remote=replace(each.remote, ping_ms=None), diagnosis=diagnosis)


def _uncounted(forward: Forward) -> Forward:
    return replace(forward, connections=0, bytes_in=0, bytes_out=0)
