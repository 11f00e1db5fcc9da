"""Reads a can report: a machine's CAN buses, their endpoints, what is wrong, what was mended."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Raw

from mooring.model import wire_shapes as on_wire
from mooring.model.can import (
    MAX_REPORTED_RECOVERIES,
    BusHealth,
    Calls,
    CanWiring,
    DriverTotals,
    EndpointHealth,
    Finding,
    Health,
    Recovery,
)
from mooring.model.wire_reader import TEXT, Reader, counted, keepable, moment, read

MAX_BUSES = 200
MAX_FINDINGS = 1000
MAX_COUNTED = 100
"""Verbs and their ends, and kinds of recovery, that are counted."""


def wiring(reader: Reader, raw: Raw) -> CanWiring:
    """Without its health the report says nothing: that must be there."""
    w = read(raw, on_wire.CanWiring, driver=TEXT)
    recoveries = reader.last("recovery", w.recoveries, MAX_REPORTED_RECOVERIES)
    return CanWiring(
        driver=w.driver,
        health=_health(reader, w.health),
        totals=reader.one("totals", w.totals, partial(_totals, reader), None),
        recoveries=reader.each("recovery", recoveries, _recovery),
        identity=w.identity,
    )


def _health(reader: Reader, raw: Raw) -> Health:
    h = read(raw, on_wire.Health)
    buses = reader.first("bus", h.buses, MAX_BUSES)
    findings = reader.first("finding", h.findings, MAX_FINDINGS)
    return Health(
        modules=reader.one("modules", h.modules, _modules, {}),
        buses=reader.distinct("bus", buses, partial(_bus, reader), "device"),
        findings=reader.each("finding", findings, _finding),
    )


_MODULES = msgspec.json.Decoder(on_wire.Modules)


def _modules(raw: Raw) -> dict[str, bool]:
    modules: dict[str, bool] = _MODULES.decode(raw)
    keepable(*modules)
    return modules


def _bus(reader: Reader, raw: Raw) -> BusHealth:
    b = read(raw, on_wire.Bus)
    keepable(*b.networks)
    raws = reader.some("endpoint", b.endpoints)
    return BusHealth(
        device=b.device,
        networks=tuple(b.networks),
        present=b.present,
        up=b.up,
        physical=b.physical,
        state=b.state,
        rules_wanted=b.rules_wanted,
        rules_present=b.rules_present,
        endpoints=reader.distinct("endpoint", raws, _endpoint, "id", f"on {b.device}: "),
    )


def _endpoint(raw: Raw) -> EndpointHealth:
    e = read(raw, on_wire.Endpoint)
    return EndpointHealth(
        id=e.id,
        network=e.network,
        state=e.state,
        interface=e.interface,
        access=e.access,
        received=e.received,
        sent=e.sent,
        dropped=e.dropped,
    )


def _finding(raw: Raw) -> Finding:
    f = read(raw, on_wire.Finding, subject=TEXT, what=TEXT, remedy=TEXT)
    return Finding(f.weight, f.subject, f.what, f.remedy)


def _totals(reader: Reader, raw: Raw) -> DriverTotals | None:
    if bytes(raw) == b"null":
        return None
    t = read(raw, on_wire.DriverTotals)
    calls = reader.first("calls", t.calls, MAX_COUNTED)
    recoveries = reader.first("recoveries", t.recoveries, MAX_COUNTED)
    return DriverTotals(
        since=moment(t.since),
        calls=reader.each("calls", calls, _calls),
        recoveries=reader.each("recoveries", recoveries, counted),
    )


def _calls(raw: Raw) -> Calls:
    c = read(raw, on_wire.Calls)
    return Calls(c.verb, c.ok, c.count, c.seconds)


def _recovery(raw: Raw) -> Recovery:
    r = read(raw, on_wire.Recovery, subject=TEXT)
    return Recovery(r.kind, r.device, r.subject, moment(r.at))
