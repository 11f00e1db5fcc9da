"""The columns that tables share, and what all of them are made in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
)

from mooring.server.names import LONGEST, name_order

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def row_id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def of(table: str, *, null: bool = False, index: bool = False) -> Column[str]:
    """A reference to a row of ``table``, deleted with it."""
    return Column(
        f"{table}_id",
        String(36),
        ForeignKey(f"{table}.id", ondelete="SET NULL" if null else "CASCADE"),
        nullable=null,
        index=index,
    )


def seen() -> tuple[Column[str], Column[float], Column[float]]:
    return (
        Column("source", String(64), nullable=False),
        Column("first_seen", Double, nullable=False),
        Column("last_seen", Double, nullable=False),
    )


def gone() -> tuple[Column[float], Index]:
    """When a snapshot no longer held it; null while one does.

    The index is of the gone alone: to a planner without statistics an index of all is the shortest
    way to the present ones, who are nearly all there are.
    """
    at: Column[float] = Column("gone_at", Double)
    those = at.is_not(None)
    return at, Index(None, at, sqlite_where=those, postgresql_where=those)


def services() -> tuple[Column[Any], ...]:
    """Services with their evidence, the surest first; and what that one is, to ask for."""
    return (
        Column("services", JSON, nullable=False, server_default="[]"),
        Column("service", String(100), nullable=False, server_default="", index=True),
        Column("service_title", String(200), nullable=False, server_default=""),
        Column("service_category", String(64), nullable=False, server_default=""),
    )


def order_of(column: str) -> Column[str]:
    """The text of ``column`` as it is sorted; whoever changes that one changes this."""

    def made(row: Any) -> str:
        return name_order(row.get_current_parameters()[column])

    # Of no language: in every database the order is that of the characters.
    text = String(LONGEST).with_variant(String(LONGEST, collation="C"), "postgresql")
    return Column(f"{column}_order", text, nullable=False, server_default="", default=made)
