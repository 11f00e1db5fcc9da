"""Reports: taken from agents, and listed for people."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from fastapi import APIRouter, Request

from mooring.model import wire
from mooring.model.can import CanWiring
from mooring.model.forward import Forwards
from mooring.model.report import MAX_BYTES, Body
from mooring.model.report import Report as ReportNoun
from mooring.model.scan import Scan
from mooring.server.api.agents import known_agent
from mooring.server.api.door import AgentId, AgentKey, Reading, TheAsk, TheState, Viewer, paged
from mooring.server.api.problems import Refused
from mooring.server.api.shapes import Page, Report, ReportAnswer
from mooring.server.db import agents, timeline
from mooring.server.ingest import Outcome, ingest

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/reports", tags=["reports"])


_DUTIES: dict[type[Body], str] = {Forwards: "forward", CanWiring: "can", Scan: "scan"}
"""Whoever reports these does so by this duty; anything else is of discovery."""

BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


@router.get("")
async def list_reports(
    ask: TheAsk, connection: Reading, _: Viewer, agent_id: AgentId = None
) -> Page[Report]:
    return await paged(Report, await agents.reports(connection, ask, agent_id))


@router.post("", openapi_extra=BODY)
async def take_report(request: Request, state: TheState, who: AgentKey) -> ReportAnswer:
    """Store a report whole, in one transaction; a repeated number is answered with "seen".

    400 when there is no report in it, 413 over 16 MiB: such a report will never be taken.
    """
    began = time.perf_counter()
    data = await _body(request)
    try:
        # Reading 16 MiB takes long enough to be noticed by others on this loop.
        report = await asyncio.to_thread(wire.decode, data)
    except wire.Unreadable as error:
        log.warning("report_refused", agent_key=who.name, bytes=len(data), reason=str(error))
        raise Refused(400, str(error)) from None
    now = state.clock()
    async with state.database.write() as connection:
        # An agent's first report may come before its first poll, which says what it does.
        duty = _DUTIES.get(type(report.body), "discovery")
        sender, told = await known_agent(connection, who, report.outbox, _name(report), now, [duty])
        await timeline.write(connection, told, now)
        outcome = await ingest(connection, sender, report, len(data), now)
    state.tell([*(t.changed for t in told), *outcome.all_events])
    _log(report, outcome, (time.perf_counter() - began) * 1000)
    return ReportAnswer(result="stored" if outcome.stored else "seen", set_aside=outcome.set_aside)


async def _body(request: Request) -> bytes:
    limit = f"a report has at most {MAX_BYTES} bytes"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise Refused(413, f"{limit}, and this one declares {declared}")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BYTES:
            raise Refused(413, f"{limit}, and this one has more")
    return bytes(data)


def _name(report: ReportNoun) -> str:
    return getattr(report.body, "hostname", "") or "agent"


def _log(report: ReportNoun, outcome: Outcome, elapsed_ms: float) -> None:
    """Tell the story of a report: in full for a run's, in brief for a routine one."""
    runs = [mark.id for mark in report.runs]
    bound = log.bind(run=runs[-1]) if runs else log
    for name, fields in outcome.story:
        aside = name == "item_set_aside"
        level = "warning" if aside else "info" if runs else "debug"
        _at(bound, level, name, fields)
    result = "stored" if outcome.stored else "seen"
    _at(
        bound,
        "info" if runs else "debug",
        "report_answered",
        {"subject": report.subject, "result": result, "elapsed_ms": round(elapsed_ms, 1)},
    )


def _at(logger: Any, level: str, name: str, fields: dict[str, Any]) -> None:
    getattr(logger, level)(name, **fields)
