"""A private key's file in; whether it can be used, and its public half, out. Asks nobody."""

from __future__ import annotations

import base64
from enum import Enum, auto
from pathlib import Path

import asyncssh


class State(Enum):
    USABLE = auto()
    LOCKED = auto()
    """It needs a passphrase."""
    BROKEN = auto()
    """It is no private key, or of an unknown kind."""
    MISSING = auto()


def look_at(path: Path) -> tuple[State, bytes | None]:
    """Whether a private key can be used, and its public half, by which an agent knows it."""
    public: bytes | None = None
    try:
        key = asyncssh.read_private_key(path)
        return State.USABLE, key.public_data
    except asyncssh.KeyImportError as error:
        state = State.LOCKED if "passphrase" in str(error).lower() else State.BROKEN
        public = _clear_half(path.read_bytes())
    except OSError:
        state = State.MISSING
    for name in (path.with_name(path.name + ".pub"), path):
        if public is None:
            try:
                public = asyncssh.read_public_key(name).public_data
            except (OSError, asyncssh.KeyImportError):
                continue
    return state, public


def _clear_half(data: bytes) -> bytes | None:
    """The public half in OpenSSH's private format, where it is not encrypted (PROTOCOL.key)."""
    try:
        inner = base64.b64decode(b"".join(data.strip().splitlines()[1:-1]), validate=True)
    except ValueError:
        return None
    magic = b"openssh-key-v1\0"
    if not inner.startswith(magic):
        return None
    at, part = len(magic), b""
    for before in (0, 0, 0, 4):  # cipher, KDF, its options; how many keys there are
        at += before
        size = int.from_bytes(inner[at : at + 4], "big")
        part = inner[at + 4 : at + 4 + size]
        at += 4 + size
    return part or None
