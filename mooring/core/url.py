"""Pure. A server's address and an agent's key as a person gives them: texts in, checked out."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from mooring.core.errors import UsageError

PLAIN = re.compile(r"[!-~]+")
"""What can stand in a header or an address as it is."""


def server_url(text: str) -> str:
    """A server's address as typed, checked: ``http://host:8930`` or ``https://…``."""
    try:
        parts = urlsplit(text)
        given = parts.hostname is not None and parts.port != 0
        extra = bool(parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        given = extra = False
    if not given or extra or parts.scheme not in ("http", "https") or not PLAIN.fullmatch(text):
        raise UsageError(
            # Not the text itself where it may hold a password.
            "reading the server's address" + ("" if "@" in text else f" {text!r}"),
            "expected http://HOST:PORT or https://HOST",
            "such as --server http://192.168.1.10:8930",
        )
    return text.rstrip("/")


def agent_key(text: str) -> str:
    """A key as it was given, without the blanks around it."""
    key = text.strip()
    if not PLAIN.fullmatch(key):
        raise UsageError(
            # Not the key itself: this goes to the log.
            "reading the agent's key",
            "expected one word of letters, digits and signs",
            "such as `mooring keys create --agent` prints",
        )
    return key
