"""What commands on the server's machine share: its database, and who is at the console."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mooring.core.errors import MooringError, UsageError
from mooring.core.places import default_data_dir, make_folder

if TYPE_CHECKING:
    from mooring.server.change import Change

Result = TypeVar("Result")


def at_console(
    data_dir: Path | None,
    work: Callable[[Change], Awaitable[Result]],
    attempted: str,
    *,
    new: bool = False,
) -> Result:
    """Do something in the server's database, as its owner; it is in the audit.

    ``new`` makes a database where there is none. Raises ``UsageError`` for what can't be done.
    """
    from mooring.server import settings as server_settings
    from mooring.server.auth import Principal
    from mooring.server.change import changing
    from mooring.server.db.engine import Database, database_url
    from mooring.server.db.migrate import upgrade
    from mooring.server.roles import Conflict, NotAllowed
    from mooring.server.state import State

    folder = data_dir or default_data_dir()
    settings = server_settings.read()
    if new:
        make_folder(folder)
    elif not settings.database_url and not (folder / server_settings.FILE).is_file():
        raise MooringError(
            attempted,
            f"no server has kept anything in {folder}",
            "name the folder that the server was started with: --data-dir or MOORING_DATA_DIR",
        )
    url = database_url(server_settings.database_address(settings, folder))

    async def main() -> Result:
        database = Database(url)
        state = State(database, settings)
        try:
            await upgrade(database)
            who = Principal("console", "", _user(), role="owner")
            async with changing(state, who) as change:
                return await work(change)
        except (Conflict, NotAllowed) as refused:
            raise UsageError(attempted, str(refused)) from None
        finally:
            state.passwords.close()
            await database.close()

    return asyncio.run(main())


def _user() -> str:
    try:
        return f"{getpass.getuser()} at the console"
    except (OSError, KeyError, ImportError):  # a user id without a name
        return "somebody at the console"


def aside(text: str) -> None:
    """Say something to the person without getting into what a script reads."""
    print(text, file=sys.stderr)


def day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def minute(moment: float | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}" if moment else "never"
