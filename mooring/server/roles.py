"""Pure. Who may do what to whom: roles and accounts in, a refusal or nothing out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Role = Literal["viewer", "member", "admin", "owner"]
ROLES: tuple[Role, ...] = ("viewer", "member", "admin", "owner")
"""Each may do what those before it may."""


class NotAllowed(Exception):
    """Somebody with this role may not do it to that account."""


class Conflict(Exception):
    """Nobody may do it as things are; the text says what to do first."""


def at_least(role: str | None, least: str) -> bool:
    """Whether a role, or none, is this one or a higher one."""
    order: tuple[str, ...] = ROLES
    return role is not None and order.index(role) >= order.index(least)


def lower(one: str, other: str) -> str:
    """The lower of two roles: what a key may do for a user who may do less than it says."""
    return other if at_least(one, other) else one


def check_rank(who: str, role: str | None, wanted: str, what: str) -> None:
    """Nobody makes or changes what is above the own role. Raises ``NotAllowed``."""
    if not at_least(role, wanted):
        raise NotAllowed(f"{who} is {role} and can't {what}")


def account_state(user: Mapping[str, Any]) -> str:
    """Whether somebody can log in: active, not yet (invited), or no more (disabled)."""
    if user["disabled_at"] is not None:
        return "disabled"
    return "active" if user["password_hash"] else "invited"


def is_active_owner(user: Mapping[str, Any]) -> bool:
    return bool(user["role"] == "owner" and account_state(user) == "active")


def check_owner_stays(
    user: Mapping[str, Any], after: Mapping[str, Any] | None, owners: int
) -> None:
    """A server keeps an owner who can log in. Raises ``Conflict``.

    ``after`` is the user as it would be, ``owners`` how many can log in now.
    """
    stays = after is not None and is_active_owner(after)
    if is_active_owner(user) and not stays and owners <= 1:
        raise Conflict(
            f"{user['name']} is the only owner who can log in: "
            "make somebody else an owner first, and let them log in"
        )
