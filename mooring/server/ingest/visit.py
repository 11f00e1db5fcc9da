"""One report being stored: the transaction, whose report it is, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.model.event import Entity, Event, Operation
from mooring.server.db import snapshot
from mooring.server.db.tables import host
from mooring.server.db.timeline import Told
from mooring.server.merge import Difference, Row, Values

MAX_TOLD = 100
"""Of more changes than this to one host's parts only the host itself is told, and more changes
to subnets than this are told to whoever looks and left out of the timeline."""


@dataclass(slots=True)
class Outcome:
    """What came of a report.

    ``told`` goes to the timeline and, with ``events``, to the bus; ``story`` to the log. All of
    it is said after the commit, since only then is it true.
    """

    stored: bool
    set_aside: int = 0
    told: list[Told] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    story: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def all_events(self) -> list[Event]:
        return [*(t.changed for t in self.told), *self.events]

    def log(self, event: str, **fields: Any) -> None:
        self.story.append((event, fields))


class Visit:
    """What the storing of each kind of report shares."""

    def __init__(
        self, connection: AsyncConnection, sender: Row, now: float, outcome: Outcome
    ) -> None:
        self.connection = connection
        self.agent = sender
        self.network: str = sender["network_id"]
        self.now = now
        self.outcome = outcome
        self.host: str = sender["host_id"] or ""
        self.host_name: str = sender["name"]
        self.host_is_new = False
        self._host_told = False

    async def stored_host(self) -> Row | None:
        """The host's row, which nobody else changes before this transaction ends."""
        if not self.host:
            return None
        query = select(host).where(host.c.id == self.host).with_for_update(key_share=True)
        row = (await self.connection.execute(query)).mappings().first()
        return dict(row) if row else None

    async def new_host(self, values: Values) -> None:
        self.host = new_id()
        self.host_is_new = True
        empty = dict.fromkeys(("hostname", "os", "kernel", "architecture"), "")
        row = {
            **empty,
            "id": self.host,
            "network_id": self.network,
            "given_name": None,
            "first_seen": self.now,
            "last_seen": self.now,
            **values,
        }
        await self.connection.execute(insert(host).values(row))
        self.tell(Entity.HOST, Operation.CREATED, self.host, self.host_name)

    async def store(
        self,
        table: Table,
        wanted: list[Values],
        key: tuple[str, ...],
        quiet: Iterable[str] = (),
    ) -> Difference:
        """Make the host's rows of ``table`` be ``wanted``."""
        return await snapshot.store(
            self.connection,
            table,
            table.c.host_id == self.host,
            wanted,
            key,
            fixed={"host_id": self.host, "source": "machine"},
            now=self.now,
            quiet=frozenset(quiet),
        )

    def told(self, entity: Entity, operation: Operation, thing: str, title: str) -> Told:
        return Told(entity, operation, thing, self.network, title)

    def tell(self, entity: Entity, operation: Operation, thing: str, title: str) -> None:
        self.outcome.told.append(self.told(entity, operation, thing, title))

    def tell_many(self, told: list[Told]) -> None:
        if len(told) > MAX_TOLD:
            self.outcome.events += [t.changed for t in told]
        else:
            self.outcome.told += told

    def tell_host(self) -> None:
        """Tell, once, that the host changed; that it is new is told already."""
        if not self.host_is_new and not self._host_told:
            self._host_told = True
            self.tell(Entity.HOST, Operation.CHANGED, self.host, self.host_name)

    def tell_agent(self) -> None:
        self.tell(Entity.AGENT, Operation.CHANGED, self.agent["id"], self.agent["name"])

    async def tell_parts(self, entity: Entity, part: Difference, table: Table) -> None:
        """Tell the changes to a host's named parts; those of a new host are not news."""
        loud = [c for c in part.changed if not c.quiet]
        if self.host_is_new or len(part.new) + len(loud) + len(part.gone) > MAX_TOLD:
            self.tell_host()
            return
        told = [(Operation.CREATED, row["id"], row["name"]) for row in part.new]
        told += [(Operation.CHANGED, c.id, c.values["name"]) for c in loud]
        if part.gone:
            query = select(table.c.id, table.c.name).where(table.c.id.in_(part.gone))
            gone = (await self.connection.execute(query)).all()
            told += [(Operation.DELETED, row_id, name) for row_id, name in gone]
        for operation, row_id, name in told:
            self.tell(entity, operation, row_id, f"{name} on {self.host_name}")
