"""What the API answers and takes of users, sessions, keys, agents made ready, and the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from mooring.server.api.base import Asked, Moment, Name, Shape
from mooring.server.api.shapes import Agent
from mooring.server.roles import Role

Secret = Field(min_length=1, max_length=1000)
Password = Field(min_length=10, max_length=1000)
Id = Field(max_length=36)
LONGEST_GRACE = 30 * 24 * 3600


class User(Shape):
    id: str
    name: str
    role: Role
    state: Literal["active", "invited", "disabled"]
    created_at: datetime
    last_login_at: datetime | None
    invitation_expires_at: datetime | None
    """Until when a one-time link can be used, where there is one that was not."""


class UserDraft(Asked):
    name: Name
    role: Role = "viewer"


class UserChange(Asked):
    """What is left out stays."""

    name: Name | None = None
    role: Role | None = None
    disabled: bool | None = None


class InvitedUser(User):
    invitation: str
    """What the one-time link holds: /invitation?token=… on the page. Said once, here."""


class Session(Shape):
    id: str
    user: User


class Login(Asked):
    name: Name
    password: str = Secret


class Setup(Shape):
    needed: bool


class SetupOwner(Asked):
    token: str = Field(min_length=1, max_length=200)
    name: Name
    password: str = Password


class Invitation(Asked):
    token: str = Field(min_length=1, max_length=200)
    password: str = Password


class PasswordChange(Asked):
    old: str = Secret
    new: str = Password


class OpenSession(Shape):
    """Where somebody is logged in."""

    id: str
    user_id: str
    user_name: str
    current: bool
    """Whether it is the one that asks."""
    address: str
    browser: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


KeyKind = Literal["user", "agent"]


class KeyAgent(Shape):
    id: str
    name: str


class Key(Shape):
    id: str
    name: str
    prefix: str
    kind: KeyKind
    role: Role
    """What a user's key may do; an agent's reports and nothing else."""
    state: Literal["valid", "expired", "revoked"]
    network_id: str | None
    """The one network that an agent's key is for."""
    user_id: str | None
    user_name: str | None
    """Whose key it is; null for one that a command on the server's machine made."""
    agents: list[KeyAgent]
    """Those that it was made for or that used it."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    rotated_at: datetime | None
    old_until: datetime | None
    """Until when what it was before the last rotation opens too."""
    revoked_at: datetime | None


class KeyDraft(Asked):
    name: Name
    kind: KeyKind = "user"
    role: Role = "viewer"
    network_id: str | None = Field(default=None, max_length=36)
    agent_id: str | None = Field(default=None, max_length=36)
    """The agent that it is for, in place of its network."""
    expires_at: Moment | None = None


class KeyChange(Asked):
    name: Name


class KeyRotation(Asked):
    grace_s: float = Field(default=0, ge=0, le=LONGEST_GRACE)
    """For how many seconds the old secret opens beside the new one."""


class NewKey(Key):
    key: str
    """Said once, here; only its hash is kept."""


class AgentDraft(Asked):
    """An agent that is awaited, and a key for it."""

    name: Name
    network_id: str = Id
    key_expires_at: Moment | None = None


class NewAgent(Shape):
    agent: Agent
    key: NewKey


class AgentChange(Asked):
    """What is left out stays."""

    name: str | None = Field(default=None, max_length=253)
    """A name that the agent's own never replaces; null gives it its own back."""
    network_id: str | None = Field(default=None, max_length=36)


class AuditEntry(Shape):
    id: str
    at: datetime
    who_kind: Literal["user", "key", "agent", "console"]
    who_id: str
    who_name: str
    user_id: str | None
    """The user who it was, or whose key was used."""
    action: str
    entity: str
    entity_id: str
    network_id: str | None
    title: str
    """What it was done to, as it was called then."""
    detail: str
    address: str
    """Where the request came from."""
