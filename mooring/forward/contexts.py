"""Docker's contexts on this machine, those that are reached by SSH; reads files, changes none."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from mooring.core.errors import UsageError, why_os
from mooring.forward import address
from mooring.forward.address import Address

log = structlog.get_logger(__name__)

MAX_CONTEXTS = 1000
MAX_BYTES = 1024 * 1024


class _Endpoint(msgspec.Struct, rename="pascal"):
    host: str = ""


class _Context(msgspec.Struct, rename="pascal"):
    name: str
    endpoints: dict[str, _Endpoint] = {}


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the docker command keeps its contexts ($DOCKER_CONFIG, else ``~/.docker``)."""
    config = environ.get("DOCKER_CONFIG")
    return (Path(config) if config else Path.home() / ".docker") / "contexts" / "meta"


def contexts(where: Path) -> dict[str, str]:
    """The contexts by name, each with its engine's address, as ``docker context ls`` shows them.

    Files that make no sense are passed over; each is a folder of its own with a ``meta.json``.
    """
    found = {}
    for file in sorted(where.glob("*/meta.json"))[:MAX_CONTEXTS]:
        try:
            with file.open("rb") as opened:
                read = msgspec.json.decode(opened.read(MAX_BYTES), type=_Context)
        except OSError as error:
            log.warning("context_unreadable", path=str(file), why=why_os(error))
            continue
        except ValueError as error:
            log.warning("context_unreadable", path=str(file), why=str(error))
            continue
        endpoint = read.endpoints.get("docker")
        found[read.name] = endpoint.host if endpoint else ""
    return found


def resolve(text: str, where: Path | None = None) -> Address:
    """A remote host from its address or from the name of a Docker context.

    Raises ``UsageError`` that names the fault.
    """
    if "://" in text:
        return address.parse(text)
    attempted = f"reading the remote host {text[:200]!r}"
    known = contexts(where or folder())
    host = known.get(text)
    if host is None:
        raise UsageError(
            attempted,
            "it is no address (ssh://USER@HOST[:PORT]) and there is no Docker context of that name",
            _advice(text, known),
        )
    if not host.startswith("ssh://"):
        leads = host or "this machine's own Docker"
        raise UsageError(
            attempted,
            f"the Docker context leads to {leads}, and not over SSH",
            f"name one that does ({', '.join(_by_ssh(known)) or 'there is none'}), or an address "
            "such as ssh://deploy@build.example",
        )
    try:
        return replace(address.parse(host), called=text)
    except UsageError as error:
        why = f"the Docker context leads to {host!r}: {error.why}"
        raise UsageError(attempted, why, error.remedy) from None


def _by_ssh(known: Mapping[str, str]) -> list[str]:
    return [name for name, host in known.items() if host.startswith("ssh://")]


def _advice(text: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(text, list(known), 1)
    if close:
        return f"did you mean the context {close[0]}?"
    if names := _by_ssh(known):
        return f"contexts that lead over SSH: {', '.join(names)}"
    return f"an address is such as ssh://{text}"
