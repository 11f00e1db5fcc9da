"""Clients that go in the middle of what they say."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.lab.server import a_server


async def test_a_client_that_goes_in_the_middle_of_its_report_is_no_error_of_the_server(
    tmp_path: Path, sqlite_template: Path, logs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with a_server(tmp_path, sqlite_template) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /api/v1/reports HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n"
                b"authorization: Bearer " + (await server.agent_key()).encode() + b"\r\n\r\n{"
            )
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await asyncio.sleep(0.2)
    assert "client_gone" in [e["event"] for e in logs]
    assert [e for e in logs if e["log_level"] == "error"] == []
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
