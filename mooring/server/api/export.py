"""Any list as CSV: all that fits, page after page, for `Accept: text/csv` or `?format=csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from mooring.server.db.listing import MAX_LIMIT

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_ROWS = 100_000
"""Rows of one export."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Export:
    """ASGI middleware: asks the app for the pages of a list, and hands on their rows as CSV.

    What is no list, or is refused, is answered as it is.
    """

    def __init__(self, app: App, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_wanted(scope):
            await self.app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = {name: value for name, value in query if name != "format"}
        asked.setdefault("limit", str(MAX_LIMIT))
        columns: list[str] | None = None
        rows = 0
        while True:
            inner = {**scope, "query_string": urlencode(asked).encode()}
            answer = await _answer(self.app, inner, receive)
            scope["route"] = inner.get("route")
            page = answer.page() if columns is None else answer.page() or {}
            if page is None:
                await answer.replay(send)
                return
            items: list[dict[str, Any]] = page.get("items", [])
            if columns is None:
                columns = _columns(inner, items)
                await send(_START)
                await send(_part([columns]))
            rows += len(items)
            following = page.get("next") if rows < MAX_ROWS else None
            body = _part([_cell(item.get(name)) for name in columns] for item in items)
            await send({**body, "more_body": following is not None})
            if following is None:
                return
            asked["cursor"] = following

    def _is_wanted(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "GET":
            return False
        if not scope["path"].startswith(self.prefix):
            return False
        headers = dict(scope["headers"])
        accepts = headers.get(b"accept", b"").partition(b",")[0].partition(b";")[0].strip()
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        return accepts == b"text/csv" or query.get("format") == "csv"


_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"content-disposition", b"attachment"),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept"),
    ],
}


class _Answer:
    """An answer of the app, held until it is known what becomes of it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def take(self, message: Message) -> None:
        self.messages.append(message)

    def page(self) -> dict[str, Any] | None:
        """The page of a list, or None for anything else."""
        start = self.messages[0]
        kind = dict(start["headers"]).get(b"content-type", b"")
        if start["status"] != 200 or not kind.startswith(b"application/json"):
            return None
        said = json.loads(b"".join(m.get("body", b"") for m in self.messages))
        is_list = isinstance(said, dict) and {"items", "next", "total"} <= said.keys()
        return said if is_list else None

    async def replay(self, send: Send) -> None:
        for message in self.messages:
            await send(message)


async def _answer(app: App, scope: Scope, receive: Receive) -> _Answer:
    answer = _Answer()
    await app(scope, receive, answer.take)
    return answer


def _columns(scope: Scope, items: list[dict[str, Any]]) -> list[str]:
    """The columns of a list: its items' fields, also where there are none."""
    if items:
        return list(items[0])
    page = getattr(scope.get("route"), "response_model", None)
    parts = getattr(page, "__pydantic_generic_metadata__", {}).get("args", ())
    return [name for part in parts for name in getattr(part, "model_fields", {})]


def _cell(value: Any) -> str:
    """A value as a cell; no text of a stranger's is a formula to whoever opens the table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = " ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _part(rows: Iterable[list[str]]) -> Message:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return {"type": "http.response.body", "body": text.getvalue().encode(), "more_body": True}
