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
from mooring.model.wire_reader import Reader, Unfit, keepable, moment, read

MAX_BUSES = 200
MAX_FINDINGS = 1000
MAX_COUNTED = 100
"""Verbs and their ends, and kinds of recovery, that are counted."""
TEXT = 2000
"""Characters that are kept of a text which is only shown."""


def wiring(reader: Reader, raw: Raw) -> CanWiring:
    """Without its health the report says nothing: that must be there."""
    w = read(raw, on_wire.CanWiring, driver=TEXT)
    totals = reader.each("totals", [w.totals], partial(_totals, reader))
    # The newest come last.
    early, late = w.recoveries[:-MAX_REPORTED_RECOVERIES], w.recoveries[-MAX_REPORTED_RECOVERIES:]
    reader.first("recovery", early, 0)
    return CanWiring(
        driver=w.driver,
        health=_health(reader, w.health),
        totals=totals[0] if totals else None,
        recoveries=reader.each("recovery", late, _recovery),
    )


def _health(reader: Reader, raw: Raw) -> Health:
    h = read(raw, on_wire.Health)
    modules = reader.each("modules", [h.modules], _modules)
    buses = reader.first("bus", h.buses, MAX_BUSES)
    findings = reader.first("finding", h.findings, MAX_FINDINGS)
    return Health(
        modules=modules[0] if modules else {},
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
        endpoints=reader.distinct("endpoint", raws, partial(_endpoint, f"on {b.device}: "), "id"),
    )


def _endpoint(where: str, raw: Raw) -> EndpointHealth:
    try:
        e = read(raw, on_wire.Endpoint)
    except ValueError as error:
        raise Unfit(f"{where}{error}") from error
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
        recoveries=reader.each("recoveries", recoveries, _recovered),
    )


def _calls(raw: Raw) -> Calls:
    c = read(raw, on_wire.Calls)
    return Calls(c.verb, c.ok, c.count, c.seconds)


_RECOVERED = msgspec.json.Decoder(tuple[on_wire.Word, on_wire.Whole])


def _recovered(raw: Raw) -> tuple[str, int]:
    kind, count = _RECOVERED.decode(raw)
    keepable(kind)
    return kind, count


def _recovery(raw: Raw) -> Recovery:
    r = read(raw, on_wire.Recovery, subject=TEXT)
    return Recovery(r.kind, r.device, r.subject, moment(r.at))
