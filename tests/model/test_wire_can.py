"""A report of CAN buses to JSON and back: single bad parts are set aside, shown texts are cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from mooring.model import wire, wire_can, wire_reader
from mooring.model.can import (
    MAX_REPORTED_RECOVERIES,
    BusHealth,
    Calls,
    CanWiring,
    DriverTotals,
    EndpointHealth,
    Finding,
    Health,
    Recovered,
    Recovery,
    Weight,
)
from mooring.model.report import Report
from tests.model import nouns
from tests.model.test_wire import few, read, refused

MEMBER = EndpointHealth("e" * 64, "a" * 64, "joined", "vx1", "rw", 3, 2, 1)
BUS = BusHealth("vcan0", ("a" * 64,), True, True, False, "", 4, 4, (MEMBER,))
OTHER = replace(BUS, device="can0", physical=True)
MISSING = Finding(Weight.ERROR, "vcan0", "2 rules missing", "run `mooring can repair`")
MENDED = Recovery(Recovered.RULES, "vcan0", "4 rules", 1.5)
WIRING = CanWiring(
    "1.0",
    Health({"vcan": True}, (BUS, OTHER), (MISSING,)),
    DriverTotals(1.0, (Calls("Join", True, 2, 0.5),), (("rules", 1),)),
    (MENDED,),
)


def written(wiring: CanWiring = WIRING) -> dict[str, Any]:
    spoilt: dict[str, Any] = json.loads(wire.encode(Report("can", "o", 1, 1.0, wiring)))
    return spoilt


def wiring_of(report: Report) -> CanWiring:
    assert isinstance(report.body, CanWiring)
    return report.body


@few
@given(nouns.wirings)
def test_every_wiring_comes_back_as_it_was(wiring: CanWiring) -> None:
    back = wire.decode(wire.encode(Report("can", "o", 1, 0.0, wiring)))
    assert back.body == wiring
    assert not back.set_aside


def test_a_driver_that_does_not_answer_has_no_totals() -> None:
    silent = replace(WIRING, driver="", totals=None, recoveries=())
    assert read(written(silent)).body == silent


ONE_BUS = replace(WIRING, health=replace(WIRING.health, buses=(OTHER,)))
NO_MEMBER = replace(
    WIRING, health=replace(WIRING.health, buses=(replace(BUS, endpoints=()), OTHER))
)
TOTALS = WIRING.totals
assert TOTALS

SPOILT: dict[str, tuple[tuple[Any, ...], Any, str, CanWiring]] = {
    # Where, what, which kind is set aside, and what is read all the same.
    "modules that are none": (
        ("health", "modules", "vcan"),
        "yes",
        "modules",
        replace(WIRING, health=replace(WIRING.health, modules={})),
    ),
    "a module with a NUL": (
        ("health", "modules"),
        {"\0": True},
        "modules",
        replace(WIRING, health=replace(WIRING.health, modules={})),
    ),
    "a bus without a device": (("health", "buses", 0, "device"), "", "bus", ONE_BUS),
    "a bus that is a number": (("health", "buses", 0), 7, "bus", ONE_BUS),
    "a bus with a NUL": (("health", "buses", 0, "state"), "\0", "bus", ONE_BUS),
    "a network with a NUL": (("health", "buses", 0, "networks"), ["\0"], "bus", ONE_BUS),
    "rules below none": (("health", "buses", 0, "rules_present"), -1, "bus", ONE_BUS),
    "an endpoint without id": (
        ("health", "buses", 0, "endpoints", 0, "id"),
        "",
        "endpoint",
        NO_MEMBER,
    ),
    "an endpoint with too long an interface": (
        ("health", "buses", 0, "endpoints", 0, "interface"),
        "x" * 254,
        "endpoint",
        NO_MEMBER,
    ),
    "frames below none": (
        ("health", "buses", 0, "endpoints", 0, "received"),
        -1,
        "endpoint",
        NO_MEMBER,
    ),
    "a finding of no weight": (
        ("health", "findings", 0, "weight"),
        "light",
        "finding",
        replace(WIRING, health=replace(WIRING.health, findings=())),
    ),
    "totals that are none": (("totals", "since"), "noon", "totals", replace(WIRING, totals=None)),
    "calls that took less than nothing": (
        ("totals", "calls", 0, "seconds"),
        -1,
        "calls",
        replace(WIRING, totals=replace(TOTALS, calls=())),
    ),
    "a kind with a NUL": (
        ("totals", "recoveries", 0),
        ["\0", 1],
        "recoveries",
        replace(WIRING, totals=replace(TOTALS, recoveries=())),
    ),
    "a recovery of what nobody knows": (
        ("recoveries", 0, "kind"),
        "mood",
        "recovery",
        replace(WIRING, recoveries=()),
    ),
    "a recovery without time": (
        ("recoveries", 0, "at"),
        None,
        "recovery",
        replace(WIRING, recoveries=()),
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_part_is_set_aside_and_costs_nothing_else(name: str) -> None:
    where, what, kind, left = SPOILT[name]
    report = written()
    part = report["can"]
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = what
    back = read(report)
    assert [aside.kind for aside in back.set_aside] == [kind]
    assert back.body == left


def test_a_bad_endpoint_is_set_aside_with_its_bus() -> None:
    report = written()
    report["can"]["health"]["buses"][1]["endpoints"][0]["sent"] = "many"
    (aside,) = read(report).set_aside
    assert aside.reason.startswith("on can0: ")


@pytest.mark.parametrize("health", [None, 7, {}, {"modules": {}}, {"modules": {}, "buses": 1}])
def test_a_report_without_health_is_none(health: Any) -> None:
    report = written()
    report["can"]["health"] = health
    assert "does not fit its shape" in refused(json.dumps(report).encode())


def test_texts_that_are_only_shown_are_cut_and_never_refused() -> None:
    report = written()
    can = report["can"]
    can["driver"] = can["recoveries"][0]["subject"] = "a\0" + "x" * 9000
    can["health"]["findings"][0] |= dict.fromkeys(("subject", "what", "remedy"), "y" * 9000)
    back = read(report)
    assert back.set_aside == ()
    wiring = wiring_of(back)
    assert wiring.driver.startswith("axxx")
    (finding,), (recovery,) = wiring.health.findings, wiring.recoveries
    texts = (wiring.driver, finding.subject, finding.what, finding.remedy, recovery.subject)
    assert {len(text) for text in texts} == {wire_can.TEXT}


def test_of_too_many_the_rest_is_set_aside_as_one() -> None:
    report = written()
    can = report["can"]
    (finding,), (mended,) = can["health"]["findings"], can["recoveries"]
    (first, second) = can["health"]["buses"]
    (member,) = first["endpoints"]
    first["endpoints"] = [{**member, "id": str(n)} for n in range(wire_reader.MAX_ITEMS + 5)]
    can["health"]["buses"] += [{**second, "device": str(n)} for n in range(wire_can.MAX_BUSES)]
    can["health"]["findings"] = [finding] * (wire_can.MAX_FINDINGS + 3)
    can["totals"]["calls"] *= wire_can.MAX_COUNTED + 4
    can["recoveries"] = [{**mended, "at": n} for n in range(MAX_REPORTED_RECOVERIES + 6)]
    back = read(report)
    wiring = wiring_of(back)
    assert len(wiring.health.buses) == wire_can.MAX_BUSES
    assert len(wiring.health.findings) == wire_can.MAX_FINDINGS
    assert len(wiring.health.buses[0].endpoints) == wire_reader.MAX_ITEMS
    # There is one bound for the endpoints of all buses together.
    assert wiring.health.buses[1].endpoints == ()
    assert wiring.totals
    assert len(wiring.totals.calls) == wire_can.MAX_COUNTED
    # The newest come last, and are kept.
    assert len(wiring.recoveries) == MAX_REPORTED_RECOVERIES
    assert wiring.recoveries[-1].at == MAX_REPORTED_RECOVERIES + 5
    asides = {(a.kind, a.item) for a in back.set_aside}
    assert {
        ("bus", "2 more"),
        ("endpoint", "5 more"),
        ("finding", "3 more"),
        ("calls", "4 more"),
        ("recovery", "6 more"),
    } <= asides


def test_a_second_bus_of_one_device_is_set_aside() -> None:
    twice = replace(WIRING, health=replace(WIRING.health, buses=(BUS, BUS)))
    back = read(written(twice))
    assert wiring_of(back).health.buses == (BUS,)
    assert [a.kind for a in back.set_aside] == ["bus"]
