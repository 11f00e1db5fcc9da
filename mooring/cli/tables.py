"""What commands print for people: a console and tables that show every text as it is."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WHOLE = 10_000
"""Columns of what nobody folds."""
NARROW = 80


def console() -> Console:
    """Standard output. Into a file or a pipe goes a line for each line, however long it is.

    Without pictures: ``:ab:`` is a part of an address, ``:100:`` as well.
    """
    made = Console(highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WHOLE
    return made


def table(*columns: str, unbroken: tuple[str, ...] = ()) -> Table:
    """``unbroken``: what a person copies, whole however narrow the window is."""
    made = Table(box=None, pad_edge=False, header_style="bold dim")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in unbroken)
    return made


def add(to: Table, *cells: str | Text) -> None:
    """A row. What others have named is text, and no markup."""
    to.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def shown(of: Table, on: Console, *, wide: tuple[str, ...]) -> Table:
    """The table without the columns in which nothing stands, and in a narrow window without those
    that only a wide one has room for."""
    left_out = () if on.width >= NARROW else wide
    columns = [
        column
        for column in of.columns
        if column.header not in left_out and any(str(cell) for cell in column.cells)
    ]
    unbroken = tuple(str(column.header) for column in columns if column.no_wrap)
    made = table(*(str(column.header) for column in columns), unbroken=unbroken)
    for row in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*row)
    return made
