"""A database that fails at a chosen moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from mooring.server.db.engine import Database


class Planted(Exception):
    """The database fails here."""


@contextmanager
def failing(database: Database, at: int) -> Iterator[list[Planted]]:
    """Let the ``at``-th statement that is executed from now on fail, and the commit if 0.

    Answers a list that holds the failure once it happened.
    """
    left = at
    happened: list[Planted] = []

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            refuse()

    def refuse(*_: Any) -> None:
        happened.append(Planted())
        raise happened[0]

    target, name = database.engine.sync_engine, "before_cursor_execute" if at else "commit"
    hook = count if at else refuse
    event.listen(target, name, hook)
    try:
        yield happened
    finally:
        event.remove(target, name, hook)
