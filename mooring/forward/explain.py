"""Pure. Why a port or a container can be reached here or not, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mooring.forward.wanted import Rules, left_out
from mooring.model.container import Container
from mooring.model.forward import Forward, ForwardState, LinkState, Moment, RemoteHost

UP = (LinkState.LIVE, LinkState.SUSPECT, LinkState.SYNCING)
"""States in which the containers of a host are known."""


@dataclass(frozen=True, slots=True)
class View:
    """One host, as it is now: its status, what was listed last, and what is wanted of it."""

    host: RemoteHost
    rules: Rules
    containers: tuple[Container, ...] = ()
    history: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    there: bool
    """Whether it can be reached at this moment."""
    lines: tuple[str, ...]


def reached(what: str, views: Iterable[View]) -> bool:
    """Whether a local port (in digits) or every forward of a container (its name) is there."""
    forwards = [f for view in views for f in view.host.forwards if _meant(what, f)]
    ready = [f for f in forwards if f.state is ForwardState.LISTENING]
    return bool(ready) and (what.isdigit() or len(ready) == len(forwards))


def explain(what: str, views: Sequence[View], holder: str | None = None) -> Explanation:
    """Why a port (in digits) or a container (its name) is there or not.

    ``holder`` is the program that listens on the port here, if that is not us.
    """
    by_port = what.isdigit()
    lines = [_forward(f, view) for view in views for f in view.host.forwards if _meant(what, f)]
    for view in views:
        lines += _port(int(what), view) if by_port else _container(what, view)
    if not lines:
        lines = [_none(what, views)]
        lines += [line for view in views if (line := _last(what, view))]
    lines += [_link(view) for view in views if view.host.state not in UP]
    there = reached(what, views)
    if by_port and holder and not there:
        lines.append(f"here, {holder} listens on port {what}")
    return Explanation(there, tuple(dict.fromkeys(lines)))


def _meant(what: str, forward: Forward) -> bool:
    if what.isdigit():
        return forward.local.rpartition(":")[2] == str(int(what))
    return forward.container == what


# --- forwards


def _forward(f: Forward, view: View) -> str:
    """What becomes of a connection to a place that is ours, or shall be."""
    host = view.host
    place = f"{f.local}/{f.protocol}" if f.local else f"{f.remote}/{f.protocol}"
    leads = f"{place} leads to {f.container} on {host.host} (there {f.remote})"
    if f.state is ForwardState.LISTENING:
        said = f"{leads}, since {when(f.since)}"
        return f"{said}; its last failure: {f.detail}" if f.detail else said
    if f.state is ForwardState.HELD:
        return f"{leads}; there is no link now: connections are accepted and wait for it"
    if f.state is ForwardState.LINGERING:
        return f"{leads}, which has just stopped: the port is let go if it does not start again"
    if f.state is ForwardState.CONFLICT:
        return f"{f.container} on {host.host} is not reached: {f.detail}"
    return f"{f.container} on {host.host} publishes {place}: {f.detail}"


def _port(port: int, view: View) -> list[str]:
    """What else of a host has to do with the number of a port."""
    host = view.host
    lines = []
    for f in host.forwards:
        remote, local = f.remote.rpartition(":")[2], f.local.rpartition(":")[2]
        if remote == str(port) != local:
            if f.state is ForwardState.UNSUPPORTED:
                lines.append(_forward(f, view))
            elif f.local:
                lines.append(f"port {port} of {host.host} ({f.container}) is reached at {f.local}")
    for c in view.containers:
        for p in c.ports:
            if p.host_port == port and (why := left_out(c, p, view.rules)):
                lines.append(f"{c.name} on {host.host} publishes {port}/{p.protocol}, but {why}")
            elif p.container_port == port and p.host_port is None:
                lines.append(
                    f"{c.name} on {host.host} has port {port}/{p.protocol} and does not publish "
                    f"it: it takes -p {port}:{port}"
                )
            elif p.container_port == port and p.host_port != port:
                lines += _elsewhere(c, port, p.protocol, view)
    return lines


def _elsewhere(c: Container, port: int, protocol: str, view: View) -> list[str]:
    """A container's own port that is published under another number."""
    published = {
        str(p.host_port)
        for p in c.ports
        if p.container_port == port and p.protocol == protocol and p.host_port
    }
    return [
        f"{c.name}'s own port {port} on {view.host.host} is reached at {f.local}"
        for f in view.host.forwards
        if f.container == c.name
        and f.protocol == protocol
        and f.local
        and f.remote.rpartition(":")[2] in published
    ]


def _container(name: str, view: View) -> list[str]:
    """What else of a host has to do with a container."""
    host = view.host.host
    lines = []
    for c in view.containers:
        if c.name != name:
            continue
        if c.state != "running":
            lines.append(f"{name} on {host} is {c.state}{f' ({c.status})' if c.status else ''}")
        elif any(a.network == "host" for a in c.attachments):
            lines.append(
                f"{name} on {host} uses its host's network, where Docker publishes nothing"
            )
        elif not any(p.host_port for p in c.ports):
            lines.append(f"{name} on {host} publishes no port: it takes -p PORT:PORT")
        lines += [
            f"{name} on {host} publishes {p.host_port}/{p.protocol}, but {why}"
            for p in c.ports
            if p.host_port and (why := left_out(c, p, view.rules))
        ]
    return lines


# --- nothing


def _none(what: str, views: Sequence[View]) -> str:
    known = [view.host.host for view in views if view.host.state in UP]
    if not known:
        return f"it can't be known whether anything has to do with {what}: there is no link"
    where = ", ".join(known)
    if what.isdigit():
        return f"no running container on {where} publishes port {what}"
    return f"there is no container {what} on {where}"


def _last(what: str, view: View) -> str | None:
    """When it was there last, and what became of it."""
    for moment in reversed(view.history):
        port = moment.place.partition("/")[0].rpartition(":")[2]
        if moment.what == "closed" and what in (port, moment.container):
            detail = f": {moment.detail}" if moment.detail else ""
            return (
                f"{moment.place} led to {moment.container} on {view.host.host} until "
                f"{when(moment.at)}{detail}"
            )
    return None


def _link(view: View) -> str:
    detail = f": {view.host.detail}" if view.host.detail else ""
    return f"the link to {view.host.host} is {view.host.state}{detail}"


def when(at: float) -> str:
    """A moment as a person reads it, by this machine's time zone."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
