"""What somebody changes: one transaction that holds the change, its place on the timeline and in
the audit; told after the commit and never before."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.event import Changed, Event
from mooring.server.auth import Principal
from mooring.server.db import audit, timeline
from mooring.server.db.audit import Deed
from mooring.server.db.timeline import Told
from mooring.server.state import State


@dataclass
class Change:
    """A transaction of somebody's, and what is to be told of it."""

    connection: AsyncConnection
    who: Principal
    now: float
    told: list[Told] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def tell(self, did: Told, *followed: Told, action: str = "", detail: str = "") -> None:
        """Somebody did this, and what followed from it: for the timeline, the first for the audit.

        ``action`` is a word for the audit where created, changed and deleted say too little.
        """
        self.told += (did, *followed)
        self.deeds.append(Deed(did.changed, action or did.operation.value, did.title, detail))

    def note(self, changed: Changed, title: str, *, action: str = "", detail: str = "") -> None:
        """Somebody did what is no news of the site (to an account, say): for the audit alone."""
        self.events.append(changed)
        self.deeds.append(Deed(changed, action or changed.operation.value, title, detail))

    def add(self, *events: Event) -> None:
        """What else happened: for whoever listens, and for no book."""
        self.events += events


@contextlib.asynccontextmanager
async def changing(state: State, who: Principal) -> AsyncIterator[Change]:
    """A transaction in which ``who`` changes something; what it says of that is kept with it."""
    async with state.database.write() as connection:
        change = Change(connection, who, state.clock())
        yield change
        await timeline.write(connection, change.told, change.now)
        await audit.write(connection, change.who, change.deeds, change.now)
    state.tell([*(told.changed for told in change.told), *change.events])
