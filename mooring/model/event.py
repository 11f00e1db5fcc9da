"""What is told inside a process after something happened. Events name things and carry no data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Entity(StrEnum):
    NETWORK = "network"
    SUBNET = "subnet"
    HOST = "host"
    INTERFACE = "interface"
    PORT = "port"
    CONTAINER = "container"
    AGENT = "agent"
    REMOTE_HOST = "remote_host"
    FORWARD = "forward"
    CAN_DRIVER = "can_driver"
    CAN_BUS = "can_bus"
    RUN = "run"
    RUN_LINE = "run_line"
    """The story of a run, named by the run's id."""
    SCHEDULE = "schedule"
    REPORT = "report"
    SET_ASIDE = "set_aside"
    USER = "user"
    SESSION = "session"
    KEY = "key"


class Operation(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    RECOVERED = "recovered"
    """Something of it was missing, and was made again."""


class RunState(StrEnum):
    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset({RunState.COMPLETE, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Changed:
    """A stored thing was created, changed or deleted, and the change is committed."""

    entity: Entity
    operation: Operation
    id: str
    network_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunMoved:
    """A run entered a state."""

    id: str
    state: RunState
    network_id: str | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    """Somebody tried to come in; ``who`` is a user's or a key's name, as far as known."""

    action: str
    """login, logout, setup, key."""
    who: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Recovered:
    """A capability mended something by itself."""

    capability: str
    what: str


@dataclass(frozen=True, slots=True)
class Resync:
    """Events were lost on the way to this subscriber: whatever it shows, read it again."""


Event: TypeAlias = Changed | RunMoved | Authentication | Recovered | Resync
