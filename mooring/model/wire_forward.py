"""Reads a forwards report: its remote hosts, and of each its forwards, totals and history."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import msgspec
from msgspec import Raw

from mooring.model import wire_shapes as on_wire
from mooring.model.forward import (
    MAX_REPORTED_HISTORY,
    Diagnosis,
    Drop,
    Forward,
    Forwards,
    Moment,
    Pattern,
    RemoteHost,
    Reported,
    Spread,
    Totals,
)
from mooring.model.wire_reader import Reader, Unfit, cut, keepable, moment, read

MAX_REMOTES = 200
MAX_OUTAGES = 100
"""Patterns that outages are counted by."""
TEXT = 2000
"""Characters that are kept of a text which is only shown."""


def forwards(reader: Reader, f: on_wire.Forwards) -> Forwards:
    raws = reader.first("remote host", f.remotes, MAX_REMOTES)
    return Forwards(reader.distinct("remote host", raws, partial(_reported, reader), "remote.host"))


def _reported(reader: Reader, raw: Raw) -> Reported:
    r = read(raw, on_wire.Reported)
    remote = _remote(reader, r.remote)
    where = f"at {remote.host}: "
    # The newest come last.
    early, late = r.history[:-MAX_REPORTED_HISTORY], r.history[-MAX_REPORTED_HISTORY:]
    reader.first("moment", early, 0)
    diagnosis = reader.each("diagnosis", [r.diagnosis], _diagnosis)
    totals = reader.each("totals", [r.totals], partial(_totals, reader))
    return Reported(
        remote,
        diagnosis[0] if diagnosis else Diagnosis(Pattern.UNKNOWN, (), ()),
        totals[0] if totals else Totals(since=remote.since),
        reader.each("moment", late, partial(_moment, where)),
    )


def _remote(reader: Reader, raw: Raw) -> RemoteHost:
    r = read(raw, on_wire.RemoteHost, docker=TEXT, detail=TEXT)
    raws = reader.some("forward", r.forwards)
    drop = reader.each("last drop", [r.last_drop], _drop)
    return RemoteHost(
        host=r.host,
        state=r.state,
        since=moment(r.since),
        generation=r.generation,
        consecutive_failures=r.consecutive_failures,
        docker=r.docker,
        ping_ms=r.ping_ms,
        last_drop=drop[0] if drop else None,
        forwards=reader.each("forward", raws, partial(_forward, f"at {r.host}: ")),
        detail=r.detail,
    )


def _drop(raw: Raw) -> Drop | None:
    if bytes(raw) == b"null":
        return None
    d = read(raw, on_wire.Drop)
    return Drop(moment(d.at), d.pattern, d.seconds)


def _forward(where: str, raw: Raw) -> Forward:
    try:
        f = read(raw, on_wire.Forward, detail=TEXT)
    except ValueError as error:
        raise Unfit(f"{where}{error}") from error
    return Forward(
        local=f.local,
        remote=f.remote,
        protocol=f.protocol,
        container=f.container,
        state=f.state,
        since=moment(f.since),
        connections=f.connections,
        bytes_in=f.bytes_in,
        bytes_out=f.bytes_out,
        detail=f.detail,
    )


def _diagnosis(raw: Raw) -> Diagnosis:
    d = read(raw, on_wire.Diagnosis)
    evidence, advice = (tuple(cut(text, TEXT) for text in said) for said in (d.evidence, d.advice))
    return Diagnosis(d.pattern, evidence, advice, d.now)


_OUTAGES = msgspec.json.Decoder(tuple[on_wire.Word, on_wire.Whole])


def _outage(raw: Raw) -> tuple[str, int]:
    pattern, count = _OUTAGES.decode(raw)
    keepable(pattern)
    return pattern, count


def _totals(reader: Reader, raw: Raw) -> Totals:
    t = read(raw, on_wire.Totals)
    listening = reader.each("spread", [t.listening], _spread)
    return Totals(
        since=moment(t.since),
        outages=reader.each("outage", reader.first("outage", t.outages, MAX_OUTAGES), _outage),
        away_s=t.away_s,
        drift=t.drift,
        flaps=t.flaps,
        connections=t.connections,
        held=t.held,
        failed=t.failed,
        bytes_in=t.bytes_in,
        bytes_out=t.bytes_out,
        listening=listening[0] if listening else Spread(),
    )


def _spread(raw: Raw) -> Spread:
    if bytes(raw) == b"null":
        return Spread()
    s = read(raw, on_wire.Spread)
    if any(low >= high for low, high in pairwise(s.bounds)):
        raise Unfit(f"expected bounds that grow, got {s.bounds}")
    if (s.bounds or s.counts) and len(s.counts) != len(s.bounds) + 1:
        raise Unfit(f"expected {len(s.bounds) + 1} counts, got {len(s.counts)}")
    return Spread(tuple(s.bounds), tuple(s.counts), s.total)


def _moment(where: str, raw: Raw) -> Moment:
    try:
        m = read(raw, on_wire.Happened, detail=TEXT)
    except ValueError as error:
        raise Unfit(f"{where}{error}") from error
    return Moment(moment(m.at), m.what, m.place, m.container, m.detail)
