"""Pure. What is counted of forwards, in Prometheus' families: remote hosts in, samples out.

The server and a program that forwards alone show the same; neither's HTTP is known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from mooring.core.families import Family, Found, Sample, summed
from mooring.model.forward import ForwardState, LinkState, Reported, Totals


def families(reported: Iterable[Reported]) -> list[Family]:
    """Of the remote hosts of one program."""
    reported = list(reported)
    return [
        *states(
            Counter(r.remote.state.value for r in reported),
            Counter(f.state.value for r in reported for f in r.remote.forwards),
        ),
        *totals([({"remote": r.remote.host}, r.totals) for r in reported]),
    ]


def states(remote_hosts: Mapping[str, int], forwards: Mapping[str, int]) -> list[Family]:
    """How many there are in each state."""
    return [
        _gauge("mooring_remote_hosts", "Remote hosts that are forwarded.", LinkState, remote_hosts),
        _gauge("mooring_forwards", "Forwards reported.", ForwardState, forwards),
    ]


def _gauge(
    name: str, text: str, known: type[LinkState | ForwardState], counted: Mapping[str, int]
) -> Family:
    samples = (Sample(name, (("state", s.value),), counted.get(s.value, 0)) for s in known)
    return Family(name, "gauge", text, tuple(samples))


def totals(counted: Iterable[tuple[Mapping[str, str], Totals]]) -> list[Family]:
    """What has happened at each remote host since the program that forwards it was started.

    Each comes with the labels that name it; those with the same labels are added up.
    """
    return summed(
        _TOTALS,
        (
            (family, suffix, tuple(labels.items()) + more, value)
            for labels, of_one in counted
            for family, suffix, more, value in _samples(of_one)
        ),
    )


_TOTALS = {
    "mooring_forward_outages": ("counter", "Losses of the link, by what was wrong."),
    "mooring_forward_away_seconds": ("counter", "Seconds without a link."),
    "mooring_forward_connections": (
        "counter",
        (
            "Connections: accepted (all of them), held (of these, the times that one waited for "
            "the link), failed (of these, those that were reset)."
        ),
    ),
    "mooring_forward_bytes": (
        "counter",
        "Bytes from the remote host (in) and to it (out), where they can be counted.",
    ),
    "mooring_forward_drift": (
        "counter",
        "Forwards that a list found changed and no event had told of.",
    ),
    "mooring_forward_flaps": (
        "counter",
        "Containers that stopped and started again before their port was let go.",
    ),
    "mooring_forward_listening_seconds": (
        "histogram",
        "Time from a container's start event to its listening port.",
    ),
}


def _samples(t: Totals) -> Iterator[Found]:
    """Each with the labels that are its own."""
    for pattern, count in t.outages:
        yield "mooring_forward_outages", "_total", (("pattern", pattern),), count
    yield "mooring_forward_away_seconds", "_total", (), t.away_s
    for result, count in (("accepted", t.connections), ("held", t.held), ("failed", t.failed)):
        yield "mooring_forward_connections", "_total", (("result", result),), count
    for direction, size in (("in", t.bytes_in), ("out", t.bytes_out)):
        yield "mooring_forward_bytes", "_total", (("direction", direction),), size
    yield "mooring_forward_drift", "_total", (), t.drift
    yield "mooring_forward_flaps", "_total", (), t.flaps
    spread, below = t.listening, 0
    if not spread.counts:
        return
    listening = "mooring_forward_listening_seconds"
    for bound, count in zip(spread.bounds, spread.counts, strict=False):
        below += count
        yield listening, "_bucket", (("le", f"{bound:g}"),), below
    every = sum(spread.counts)
    yield listening, "_bucket", (("le", "+Inf"),), every
    yield listening, "_count", (), every
    yield listening, "_sum", (), spread.total
