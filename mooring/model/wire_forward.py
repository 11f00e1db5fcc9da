"""Reads a forwards report: its remote hosts, and of each its forwards, totals and history."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

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
from mooring.model.wire_reader import TEXT, Reader, Unfit, counted, cut, moment, read

MAX_REMOTES = 200
MAX_OUTAGES = 100
"""Patterns that outages are counted by."""


def forwards(reader: Reader, f: on_wire.Forwards) -> Forwards:
    raws = reader.first("remote host", f.remotes, MAX_REMOTES)
    return Forwards(reader.distinct("remote host", raws, partial(_reported, reader), "remote.host"))


def _reported(reader: Reader, raw: Raw) -> Reported:
    r = read(raw, on_wire.Reported)
    remote = _remote(reader, r.remote)
    history = reader.last("moment", r.history, MAX_REPORTED_HISTORY)
    unknown, nothing = Diagnosis(Pattern.UNKNOWN, (), ()), Totals(since=remote.since)
    return Reported(
        remote,
        reader.one("diagnosis", r.diagnosis, _diagnosis, unknown),
        reader.one("totals", r.totals, partial(_totals, reader), nothing),
        reader.each("moment", history, _moment, f"at {remote.host}: "),
    )


def _remote(reader: Reader, raw: Raw) -> RemoteHost:
    r = read(raw, on_wire.RemoteHost, docker=TEXT, detail=TEXT)
    raws = reader.some("forward", r.forwards)
    return RemoteHost(
        host=r.host,
        state=r.state,
        since=moment(r.since),
        generation=r.generation,
        consecutive_failures=r.consecutive_failures,
        docker=r.docker,
        ping_ms=r.ping_ms,
        last_drop=reader.one("last drop", r.last_drop, _drop, None),
        forwards=reader.each("forward", raws, _forward, f"at {r.host}: "),
        detail=r.detail,
    )


def _drop(raw: Raw) -> Drop | None:
    if bytes(raw) == b"null":
        return None
    d = read(raw, on_wire.Drop)
    return Drop(moment(d.at), d.pattern, d.seconds)


def _forward(raw: Raw) -> Forward:
    f = read(raw, on_wire.Forward, detail=TEXT)
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


def _totals(reader: Reader, raw: Raw) -> Totals:
    t = read(raw, on_wire.Totals)
    return Totals(
        since=moment(t.since),
        outages=reader.each("outage", reader.first("outage", t.outages, MAX_OUTAGES), counted),
        away_s=t.away_s,
        drift=t.drift,
        flaps=t.flaps,
        connections=t.connections,
        held=t.held,
        failed=t.failed,
        bytes_in=t.bytes_in,
        bytes_out=t.bytes_out,
        listening=reader.one("spread", t.listening, _spread, Spread()),
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


def _moment(raw: Raw) -> Moment:
    m = read(raw, on_wire.Happened, detail=TEXT)
    return Moment(moment(m.at), m.what, m.place, m.container, m.detail)
