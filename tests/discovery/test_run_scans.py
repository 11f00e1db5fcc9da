"""An agent that scans, and a real server that asks it to; the network is a fake one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import httpx2
import pytest

from mooring.core import reporting
from mooring.core.errors import MooringError
from mooring.core.reporting import Reporter
from mooring.discovery import scan_run
from mooring.discovery.run import Agent
from mooring.discovery.scan import plan
from mooring.discovery.scan_run import Tools, Wiring
from mooring.model.net import Address
from mooring.model.report import RunMark
from mooring.model.scan import ScanOrder
from mooring.server.db import tables
from tests.discovery.test_run import LOOKS_ONCE, Setting, server, setting, until
from tests.discovery.test_scan_run import ETH0, LAN, Book, Engine, nginx_on_80, nothing_on_udp

__all__ = ["server", "setting"]


@pytest.fixture
def network(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """What the agent of ``setting`` finds when it scans."""
    monkeypatch.setattr(scan_run, "LOOK_FOR_NEWS", 0.01)
    engine = Engine()
    tools = Tools(engine, lambda depth: ((1, 1024),), nginx_on_80, nothing_on_udp, acme)
    wiring = Wiring(lambda: plan.Here([ETH0], []), lambda: tools)
    setting.options = replace(LOOKS_ONCE, scans=wiring)
    return engine


def acme(host: Any) -> tuple[str, tuple[()]]:
    return ("Acme" if host.mac else "", ())


async def asked(setting: Setting, **order: Any) -> str:
    """Ask for a scan as a person does; its id."""

    async def scans() -> bool:
        return "scan" in (await setting.agent_row())["duties"]

    await until(scans)
    agent = (await setting.agent_row())["id"]
    run: str = (await setting.ask("runs", agent_id=agent, kind="scan", **order))["id"]
    return run


async def ended(setting: Setting, run: str) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        row = await setting.server.run(run)
        assert row is not None
        return row if row["state"] in ("complete", "failed", "cancelled") else None

    row: dict[str, Any] = await until(over, 20.0)
    return row


async def lines(setting: Setting, run: str) -> list[str]:
    rows = await setting.server.rows(tables.run_line, tables.run_line.c.run_id == run)
    return [row["event"] for row in rows]


async def test_a_scan_that_is_asked_for_is_stored_with_its_story(
    setting: Setting, network: Engine
) -> None:
    async with setting.run():
        run = await asked(setting)
        row = await ended(setting, run)

        async def told() -> bool:
            return "scan_ended" in await lines(setting, run)

        await until(told)
    assert (row["state"], row["kind"]) == ("complete", "scan")
    addresses = {a["ip"] for a in await setting.server.rows(tables.address)}
    assert {"10.0.0.5", "10.0.0.6"} <= addresses
    ports = await setting.server.rows(tables.port)
    assert {(p["number"], p["service"]) for p in ports} >= {(80, "nginx")}
    assert (await lines(setting, run))[0] == "scan_started"


@pytest.mark.slow
async def test_a_look_goes_on_while_a_scan_is_under_way_and_a_second_scan_waits(
    setting: Setting, network: Engine
) -> None:
    gate = asyncio.Event()
    network.events[1:1] = [gate.wait]
    async with setting.run():
        first = await asked(setting)

        async def begun() -> bool:
            return bool(network.depths)

        await until(begun)
        second = await asked(setting)
        look = await setting.request()
        assert (await ended(setting, look))["state"] == "complete"

        async def waits() -> bool:
            return await lines(setting, second) == ["scan_waits"]

        await until(waits)
        assert len(network.depths) == 1
        gate.set()
        assert (await ended(setting, first))["state"] == "complete"
        assert (await ended(setting, second))["state"] == "complete"


async def test_a_scan_that_is_cancelled_is_let_go_and_what_it_found_stays(
    setting: Setting, network: Engine
) -> None:
    network.events[3:3] = [asyncio.Event().wait]
    async with setting.run() as agent:
        run = await asked(setting)

        async def found() -> bool:
            rows = await setting.server.rows(tables.address)
            return "10.0.0.5" in {row["ip"] for row in rows}

        await until(found)
        await setting.ask(f"runs/{run}/cancel")

        async def free() -> bool:
            return run not in agent.active()

        await until(free)
    row = await setting.server.run(run)
    assert row is not None
    assert row["state"] == "cancelled"
    assert network.closed == 1
    assert await found()


@pytest.mark.slow
async def test_a_scan_that_fails_says_why(setting: Setting, network: Engine) -> None:
    async def broken() -> None:
        raise RuntimeError("the engine broke")

    network.events[1:1] = [broken]
    async with setting.run():
        row = await ended(setting, await asked(setting))
    assert row["state"] == "failed"
    assert "the engine broke" in row["reason"]


@pytest.mark.slow
async def test_what_an_agent_may_not_scan_is_refused_at_once_and_a_network_it_joins_is_not(
    setting: Setting, network: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "POLL", 0.05)
    here = plan.Here([ETH0], [])
    assert setting.options.scans
    setting.options = replace(
        setting.options,
        scans=replace(
            setting.options.scans, here=lambda: here, allowed=(ip_network("10.9.0.0/16"),)
        ),
    )
    async with setting.run():
        await ended(setting, await asked(setting, targets=["10.9.7.0/24"]))
        far = {"agent_id": (await setting.agent_row())["id"], "targets": ["10.8.0.0/24"]}
        with pytest.raises(AssertionError, match=r"10\.8\.0\.0/24 is outside .* 10\.9\.0\.0/16"):
            await setting.ask("runs", kind="scan", **far)
        here = plan.Here([replace(ETH0, addresses=(Address(ip_address("10.8.0.2"), 24),))], [])

        async def told() -> bool:
            return "10.8.0.0/24" in (await setting.agent_row())["allowed"]

        await until(told)
        await setting.ask("runs", kind="scan", **far)


async def test_an_agent_that_does_not_know_what_it_is_attached_to_does_not_say_what_it_may_scan(
    setting: Setting, network: Engine
) -> None:
    def broken() -> plan.Here:
        raise MooringError("listing the network interfaces", "the kernel does not answer")

    assert setting.options.scans
    setting.options = replace(setting.options, scans=replace(setting.options.scans, here=broken))
    async with setting.run():
        row = await ended(setting, await asked(setting, targets=["10.8.0.0/24"]))
        assert (await setting.agent_row())["allowed"] is None
    assert "the kernel does not answer" in row["reason"]


async def test_an_agent_that_may_not_scan_is_not_asked_to(setting: Setting) -> None:
    async with setting.run():
        await setting.run_in_state("complete")
        with pytest.raises((AssertionError, httpx2.HTTPError)):
            await setting.ask("runs", agent_id=(await setting.agent_row())["id"], kind="scan")


async def test_an_order_for_an_agent_that_may_not_scan_fails_with_the_reason(
    setting: Setting,
) -> None:
    book = Book()
    reporter = Reporter(setting.outbox, None, ("discovery",), "host")  # type: ignore[arg-type]
    agent = Agent(reporter, LOOKS_ONCE)
    reporter.say = book.say  # type: ignore[method-assign, assignment]
    run = RunMark("01a1fc21-767b-7291-98a6-27af129db9ad", "request", 5.0)
    agent.begin(run, ScanOrder((LAN,)))
    [(_, progress)] = book.said
    assert (progress.state, progress.reason) == (
        "failed",
        "this agent does not scan: it was started with --no-scan",
    )
