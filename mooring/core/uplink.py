"""The way to the server: an agent's requests in, parsed answers or one kind of error out.

Every request has its deadline. Never retries by itself: that is its caller's loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Self, TypeVar

import httpx2
import msgspec

from mooring import __version__
from mooring.core.errors import MooringError
from mooring.core.progress import Progress
from mooring.core.url import agent_key, server_url

DEADLINE = 10.0
"""Seconds that a request may take, unless it asks the server to wait."""
MAX_ANSWER = 1024 * 1024
"""Bytes of an answer; those of a Mooring server have some hundred."""

_GARBAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MAX_WHY = 1000

Answer = TypeVar("Answer")


class Fault(Enum):
    """Why a request failed, told apart because the next step differs."""

    AWAY = "away"
    """No server, no answer, or a server in trouble: try again."""
    KEY = "key"
    """The key is not taken: shout, and try again later."""
    REFUSED = "refused"
    """The server understood and will never take it."""


class UplinkError(MooringError):
    def __init__(self, attempted: str, why: str, fault: Fault, remedy: str = "") -> None:
        super().__init__(attempted, why, remedy)
        self.fault = fault


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


class ReportAnswer(msgspec.Struct, frozen=True):
    result: str
    set_aside: int = 0


class Work(msgspec.Struct, frozen=True):
    runs: list[str]
    cancelled: list[str]
    orders: dict[str, msgspec.Raw] = {}
    """What runs of kind scan shall do; each is read alone, so that a bad one costs only its run."""


class Uplink:
    """One agent's connection to its server. Use it with ``async with``."""

    def __init__(self, server: str, key: str) -> None:
        self.server = server_url(server)
        self._client = httpx2.AsyncClient(
            base_url=self.server + "/api/v1/",
            headers={
                "authorization": f"Bearer {agent_key(key)}",
                "accept-encoding": "identity",
                "user-agent": f"mooring-agent/{__version__}",
            },
            timeout=None,
            trust_env=False,
            verify=ssl.create_default_context() if self.server.startswith("https:") else False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def report(self, data: bytes) -> ReportAnswer:
        """Deliver one report (JSON). Answers whether it was stored now or seen before."""
        answer = await self._post("reports", data)
        return self._read(answer, ReportAnswer, "reports")

    async def poll(
        self,
        outbox: str,
        name: str,
        active: list[str],
        wait: float,
        *,
        duties: Sequence[str] = (),
        allowed: Sequence[str] | None = None,
        leaving: bool = False,
    ) -> Work:
        """Say that this agent is there and ask for work; waits up to ``wait`` seconds.

        ``allowed`` are the networks that it may be asked to scan; None if it does not say.
        """
        body: dict[str, object] = {
            "outbox": outbox,
            "version": __version__,
            "name": name,
            "duties": duties,
            "active_runs": active,
            "wait_s": wait,
            "leaving": leaving,
        }
        # A word of scans; an older server, which orders none, refuses what it does not know.
        if allowed is not None:
            body["allowed"] = allowed
        answer = await self._post("agents/poll", msgspec.json.encode(body), wait + DEADLINE)
        return self._read(answer, Work, "agents/poll")

    async def progress(self, outbox: str, run: str, progress: Progress) -> None:
        body: dict[str, object] = {
            "outbox": outbox,
            "state": progress.state,
            "trigger": progress.trigger,
            "started_at": progress.started_at,
            "phase": progress.phase,
            "done": progress.done,
            "total": progress.total,
            "reason": progress.reason,
        }
        # Words of scans; an older server, which orders none, refuses what it does not know.
        if progress.remaining_s is not None:
            body["remaining_s"] = progress.remaining_s
        if progress.lines:
            body["lines"] = progress.lines
        await self._post(f"runs/{run}/progress", msgspec.json.encode(body))

    async def _post(self, path: str, data: bytes, deadline: float = DEADLINE) -> bytes:
        attempted = f"sending to {self.server}/api/v1/{path}"
        try:
            async with (
                asyncio.timeout(deadline),
                self._client.stream(
                    "POST", path, content=data, headers={"content-type": "application/json"}
                ) as response,
            ):
                body = b""
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise UplinkError(attempted, "the answer has no end", Fault.AWAY)
        except TimeoutError:
            raise UplinkError(attempted, f"no answer within {deadline:g} s", Fault.AWAY) from None
        except (httpx2.HTTPError, OSError) as error:
            said = str(error) or type(error).__name__
            why = f"it can't be reached: {said[0].lower()}{said[1:]}"
            raise UplinkError(attempted, why, Fault.AWAY) from error
        if response.is_success:
            return body
        raise UplinkError(attempted, _why(response.status_code, body), _fault(response))

    def _read(self, body: bytes, shape: type[Answer], path: str) -> Answer:
        try:
            return msgspec.json.decode(body, type=shape)
        except _GARBAGE as error:
            raise UplinkError(
                f"reading the answer of {self.server}/api/v1/{path}",
                f"it is not one of a Mooring server: {error}",
                Fault.AWAY,
                "check the address given with --server",
            ) from error


def _why(status: int, body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
        text = problem.detail or problem.title
    except _GARBAGE:
        text = ""
    return f"HTTP {status}" + (f": {text[:_MAX_WHY]}" if text else "")


def _fault(response: httpx2.Response) -> Fault:
    if response.status_code in (401, 403):
        return Fault.KEY
    if response.status_code in (400, 413, 422):
        return Fault.REFUSED
    return Fault.AWAY
