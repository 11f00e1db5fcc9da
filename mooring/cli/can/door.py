"""``mooring can`` in the list of all commands; ``mooring.cli.main`` goes to it by a shorter way."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def can(*arguments: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
    """Run ``mooring can`` with these arguments."""
    from mooring.cli.can import main

    main(arguments)
