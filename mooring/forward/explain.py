"""Pure. Why a port or a container can be reached here or not, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mooring.forward.address import Meant
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
    """Whether it is forwarded at this moment."""
    served: bool
    """The same, and nobody's last connection to it failed."""
    lines: tuple[str, ...]


def reached(what: Meant, views: Iterable[View]) -> bool:
    """Whether a place of this machine, or every forward of a container, is there."""
    forwards = _forwards(what, views)
    ready = [f for f in forwards if f.state is ForwardState.LISTENING]
    return bool(ready) and (not what.container or len(ready) == len(forwards))


def _forwards(what: Meant, views: Iterable[View]) -> list[Forward]:
    return [f for view in views for f in view.host.forwards if _meant(what, f)]


def explain(what: Meant, views: Sequence[View], holder: str | None = None) -> Explanation:
    """Why a place of this machine, or a container, is there or not.

    ``holder`` is the program that listens on the port here, if that is not us.
    """
    lines = [_forward(f, view) for view in views for f in view.host.forwards if _meant(what, f)]
    for view in views:
        lines += _container(what.container, view) if what.container else _port(what, view)
    if not lines:
        lines = [_none(what, views)]
        lines += [line for view in views if (line := _last(what, view))]
    lines += [_link(view) for view in views if view.host.state not in UP]
    there = reached(what, views)
    if holder and not there:
        lines.append(f"here, {holder} listens on port {what}")
    failed = any(f.detail for f in _forwards(what, views) if f.state is ForwardState.LISTENING)
    return Explanation(there, there and not failed, tuple(dict.fromkeys(lines)))


def _meant(what: Meant, forward: Forward) -> bool:
    if what.container:
        return forward.container == what.container
    ip, _, port = forward.local.rpartition(":")
    return (
        port == str(what.port)
        and what.ip in ("", ip.strip("[]"))
        and what.protocol in ("", forward.protocol)
    )


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


def _port(what: Meant, view: View) -> list[str]:
    """What else of a host has to do with the number of a port."""
    host, port = view.host, what.port
    lines: list[str] = []
    if not _concerns(what, view):
        return lines
    for f in host.forwards:
        if what.protocol not in ("", f.protocol):
            continue
        remote, local = f.remote.rpartition(":")[2], f.local.rpartition(":")[2]
        if remote == str(port) != local:
            if f.state is ForwardState.UNSUPPORTED:
                lines.append(_forward(f, view))
            elif f.local:
                lines.append(f"port {port} of {host.host} ({f.container}) is reached at {f.local}")
    for c in view.containers:
        for p in c.ports:
            if what.protocol not in ("", p.protocol):
                continue
            if p.host_port == port and (why := left_out(c, p, view.rules)):
                lines.append(f"{c.name} on {host.host} publishes {port}/{p.protocol}, but {why}")
            elif p.container_port == port and p.host_port is None:
                lines.append(
                    f"{c.name} on {host.host} has port {port}/{p.protocol} and does not publish "
                    f"it: it needs -p {port}:{port}"
                )
            elif p.container_port == port and p.host_port != port:
                lines += _elsewhere(c, port, p.protocol, view)
    return lines


def _concerns(what: Meant, view: View) -> bool:
    """Whether a host's ports are at that address of this machine."""
    return what.ip in ("", view.rules.bind)


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
            lines.append(f"{name} on {host} does not run: {c.status or c.state}")
        elif any(a.network == "host" for a in c.attachments):
            lines.append(
                f"{name} on {host} uses its host's network, where Docker publishes nothing"
            )
        elif not any(p.host_port for p in c.ports):
            lines.append(f"{name} on {host} publishes no port: it needs -p PORT:PORT")
        lines += [
            f"{name} on {host} publishes {p.host_port}/{p.protocol}, but {why}"
            for p in c.ports
            if p.host_port and (why := left_out(c, p, view.rules))
        ]
    return lines


# --- nothing


def _none(what: Meant, views: Sequence[View]) -> str:
    concerned = [view for view in views if _concerns(what, view)]
    if not concerned:
        binds = ", ".join(dict.fromkeys(view.rules.bind for view in views))
        return f"nothing is forwarded at {what.ip}; what is, is at {binds}"
    known = [view.host.host for view in concerned if view.host.state in UP]
    if not known:
        return f"it can't be known whether anything has to do with {what}: there is no link"
    where = ", ".join(known)
    if what.container:
        return f"there is no container {what} on {where}"
    protocol = f"/{what.protocol}" if what.protocol else ""
    return f"no running container on {where} publishes port {what.port}{protocol}"


def _last(what: Meant, view: View) -> str | None:
    """Where it was last, until when, and who is there now."""
    if not _concerns(what, view):
        return None
    last = next((n for n in reversed(range(len(view.history))) if _told(what, view.history[n])), -1)
    if last < 0:
        return None
    moment = view.history[last]
    led = f"{moment.place} led to {moment.container} on {view.host.host}"
    over = moment
    if moment.what != "closed":
        after = view.history[last + 1 :]
        ended = [m for m in after if m.what == "stopped" or m.place == moment.place]
        if not ended:
            return None
        over = ended[0]
    detail = f": {over.detail}" if over.what == "closed" and over.detail else ""
    now = next((f for f in view.host.forwards if f"{f.local}/{f.protocol}" == moment.place), None)
    to = f"; now it leads to {now.container}" if now else ""
    return f"{led} until {when(over.at)}{detail}{to}"


def _told(what: Meant, moment: Moment) -> bool:
    """Whether it is of a listener, and of the one that is meant."""
    if moment.what not in ("opened", "retargeted", "closed"):
        return False
    if what.container:
        return moment.container == what.container
    address, _, protocol = moment.place.partition("/")
    port = address.rpartition(":")[2]
    return port == str(what.port) and what.protocol in ("", protocol)


_LINK = {
    LinkState.CONNECTING: "is being made",
    LinkState.VERIFYING: "is there, and Docker is looked for",
    LinkState.BACKOFF: "is away, and tried again",
    LinkState.BLOCKED: "is blocked until a person acts",
    LinkState.STOPPED: "is given up: the program has ended",
}


def _link(view: View) -> str:
    detail = f": {view.host.detail}" if view.host.detail else ""
    return f"the link to {view.host.host} {_LINK[view.host.state]}{detail}"


def when(at: float) -> str:
    """A moment as a person reads it, by this machine's time zone."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
