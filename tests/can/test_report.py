"""What is news of a machine's buses at once, and what after a while."""

from __future__ import annotations

from dataclasses import replace

from mooring.can import report
from mooring.can.report import Told
from mooring.model.can import (
    BusHealth,
    Calls,
    DriverTotals,
    EndpointHealth,
    Health,
    Recovered,
    Recovery,
)

ENDPOINT = EndpointHealth("e" * 64, "n" * 64, "joined", "vx1", "rw", 5, 6, 7)
BUS = BusHealth("vcan0", ("n" * 64,), True, True, False, "", 4, 4, (ENDPOINT,))
TOLD = Told("1.0", DriverTotals(100.0, (Calls("Join", True, 1, 0.5),), (("pair", 1),)), ())
BODY = report.wiring(Health({"can": True}, (BUS,)), TOLD)


def counted_on() -> report.CanWiring:
    more = replace(BUS, endpoints=(replace(ENDPOINT, received=50, sent=60, dropped=70),))
    totals = DriverTotals(100.0, (Calls("Join", True, 2, 1.0),), (("pair", 1),))
    return replace(BODY, health=replace(BODY.health, buses=(more,)), totals=totals)


def test_what_only_counts_on_is_no_news_at_once() -> None:
    assert counted_on() != BODY
    assert report.outline(counted_on()) == report.outline(BODY)


def test_a_bus_that_goes_down_an_endpoint_and_a_recovery_are_news_at_once() -> None:
    down = replace(BODY, health=replace(BODY.health, buses=(replace(BUS, up=False),)))
    left = replace(BODY, health=replace(BODY.health, buses=(replace(BUS, endpoints=()),)))
    mended = replace(BODY, recoveries=(Recovery(Recovered.PAIR, "vcan0", "e", 1.0),))
    for news in (down, left, mended):
        assert report.outline(news) != report.outline(BODY)


def test_of_a_driver_that_does_not_answer_the_buses_are_reported() -> None:
    body = report.wiring(Health({}, (BUS,)), None)
    assert (body.driver, body.totals, body.health.buses) == ("", None, (BUS,))
