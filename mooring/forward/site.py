"""Several remote hosts in one process, each kept; with what is asked of them from outside.

The first named has a place that two want. Everything is let go when it is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from mooring import __version__
from mooring.core.errors import UsageError
from mooring.core.tasks import Tasks
from mooring.forward.address import Meant, Names, chosen, meant
from mooring.forward.config import Host
from mooring.forward.control import Control
from mooring.forward.explain import Explanation, View, explain, reached
from mooring.forward.keep import Keep, folder_of
from mooring.forward.local_docker import LocalDocker, path_for
from mooring.forward.news import News
from mooring.forward.report import Known, reported
from mooring.forward.run import Remote, Settings
from mooring.forward.seats import Seats
from mooring.forward.transport import Connect, Options
from mooring.forward.waking import another_network
from mooring.forward.wanted import Rules
from mooring.forward.whose import holders
from mooring.model.forward import Forwards, Place, RemoteHost, Totals

if TYPE_CHECKING:
    from mooring.core.reporting import Standing

log = structlog.get_logger(__name__)

MAX_WAIT = 24 * 3600.0
"""Seconds that a question may wait for a port."""


def settings_of(host: Host) -> Settings:
    """What is wanted of a host, from a person's description of it."""
    return Settings(
        rules=Rules(host.bind, host.include, host.exclude, host.remap),
        ssh=Options(identity=host.identity, known_hosts=host.known_hosts),
        docker_host=host.docker_host,
    )


class Site:
    """The remote hosts of one process; ``run`` keeps them, everything else only looks."""

    def __init__(
        self,
        hosts: Sequence[Host],
        state_dir: Path,
        connects: Mapping[str, Connect],
        settings: Callable[[Host], Settings] = settings_of,
    ) -> None:
        """``connects`` are the transports by name. Raises ``MooringError`` for a bad folder."""
        self.news = News()
        """Tells whenever ``status`` of any host would say something new."""
        self.standing: Callable[[], Standing] | None = None
        """How it stands with the server, where it reports to one."""
        self.began = time.time()
        self.remotes: list[Remote] = []
        self.dockers: list[LocalDocker] = []
        seats = Seats()
        for host in hosts:
            folder = folder_of(state_dir, host.address)
            name = str(host.address)
            remote = Remote(
                host.address,
                settings(host),
                connects[host.transport],
                Keep(folder, name, host.address.called),
                seats.take(name),
                self.news,
            )
            self.remotes.append(remote)
            self.dockers.append(LocalDocker(path_for(state_dir, folder), remote.docker))
        self._control = Control(state_dir, self._questions())

    async def run(self) -> None:
        """Keep every host until cancelled. Raises ``MooringError`` when a socket can't be had."""
        async with Tasks("forward") as tasks:
            for remote in self.remotes:
                tasks.start(str(remote.address), remote.run())
            tasks.supervise("network", self._notice)
            doors = [tasks.start("docker", docker.run()) for docker in self.dockers]
            doors.append(tasks.start("control", self._control.run()))
            done, _ = await asyncio.wait(doors, return_when=asyncio.FIRST_COMPLETED)
            for door in done:
                door.result()

    async def _notice(self) -> None:
        """When this machine slept or has another network: try, and look, at once."""
        why = await another_network()
        log.info("network_changed", why=why)
        for remote in self.remotes:
            remote.nudge(why)

    # --- looking

    def status(self) -> list[RemoteHost]:
        return [remote.status() for remote in self.remotes]

    def reported(self) -> Forwards:
        """What a report says: all that is known, with nothing tried."""
        return Forwards(tuple(reported(self._known(remote)) for remote in self.remotes))

    def _known(self, remote: Remote) -> Known:
        counts = remote.condition.counts
        carried = remote.tunnels.carried
        return Known(
            remote.status(),
            remote.look(),
            list(remote.keep.records),
            list(remote.keep.history),
            Totals(
                since=self.began,
                outages=tuple(counts.outages.items()),
                away_s=counts.away_s,
                drift=counts.drift,
                flaps=remote.ports.flaps,
                connections=carried.connections,
                held=remote.tunnels.counts.waited,
                failed=remote.tunnels.counts.failed,
                bytes_in=carried.bytes_in or 0,
                bytes_out=carried.bytes_out or 0,
                listening=counts.event_to_listening,
            ),
            remote.condition.away_since,
        )

    def views(self) -> list[View]:
        return [
            View(
                remote.status(),
                remote.settings.rules,
                remote.ports.containers,
                tuple(remote.keep.history),
            )
            for remote in self.remotes
        ]

    async def explain(self, what: Meant) -> Explanation:
        """Why a port or a container is there or not."""
        found = explain(what, self.views())
        if found.there or what.container:
            return found
        places = [
            Place(protocol, remote.settings.rules.bind, what.port)
            for remote in self.remotes
            for protocol in ("tcp", "udp")
            if what.ip in ("", remote.settings.rules.bind) and what.protocol in ("", protocol)
        ]
        who = await asyncio.to_thread(holders, places)
        other = next(
            (name for name in who.values() if f"(process {os.getpid()})" not in name), None
        )
        return explain(what, self.views(), other)

    async def wait(self, what: Meant, seconds: float) -> Explanation:
        """Wait until a port or a container is there, at most so long; answers how it is then."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    count = self.news.count
                    if reached(what, self.views()):
                        break
                    await self.news.after(count)
        except TimeoutError:
            log.debug("waited_in_vain", what=str(what), seconds=seconds)
        return await self.explain(what)

    # --- what can be asked from outside

    def _questions(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        async def status(asked: dict[str, Any]) -> Any:
            return {
                "version": __version__,
                "process": os.getpid(),
                "since": self.began,
                "hosts": self.status(),
                "remedies": {str(r.address): r.look().remedy for r in self.remotes},
                "server": self.standing() if self.standing else None,
            }

        async def report(asked: dict[str, Any]) -> Any:
            return self.reported()

        async def diagnose(asked: dict[str, Any]) -> Any:
            chosen = self._chosen(asked)
            found = await asyncio.gather(*(remote.diagnose() for remote in chosen))
            return [
                {"host": str(remote.address), "diagnosis": diagnosis, "records": records}
                for remote, diagnosis in zip(chosen, found, strict=True)
                for records in [list(remote.keep.records)[-_limit(asked, 10) :]]
            ]

        async def history(asked: dict[str, Any]) -> Any:
            limit = _limit(asked, 50)
            return [
                {"host": str(remote.address), "history": list(remote.keep.history)[-limit:]}
                for remote in self._chosen(asked)
            ]

        async def explained(asked: dict[str, Any]) -> Any:
            return await self.explain(_what(asked))

        async def waited(asked: dict[str, Any]) -> Any:
            seconds = asked.get("timeout")
            if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_WAIT:
                raise UsageError("waiting", f"expected 0 to {MAX_WAIT:g} seconds, got {seconds!r}")
            return await self.wait(_what(asked), float(seconds))

        async def retry(asked: dict[str, Any]) -> Any:
            chosen = self._chosen(asked)
            for remote in chosen:
                remote.nudge("it was asked for")
            return [str(remote.address) for remote in chosen]

        async def docker(asked: dict[str, Any]) -> Any:
            chosen = self._chosen(asked)
            return {
                str(remote.address): {"local": local.url, "remote": remote.docker_socket}
                for remote, local in zip(self.remotes, self.dockers, strict=True)
                if remote in chosen
            }

        async def counts(asked: dict[str, Any]) -> Any:
            return {
                str(remote.address): {
                    "link": remote.condition.counts,
                    "connections": remote.tunnels.counts,
                    "held": remote.tunnels.held,
                    "flaps": remote.ports.flaps,
                    "tasks": len(asyncio.all_tasks()),
                }
                for remote in self._chosen(asked)
            }

        return {
            "status": status,
            "diagnose": diagnose,
            "history": history,
            "explain": explained,
            "wait": waited,
            "retry": retry,
            "docker": docker,
            "counts": counts,
            "report": report,
        }

    def _chosen(self, asked: dict[str, Any]) -> list[Remote]:
        """The hosts that a question is about: the one that it names, else all."""
        known = {Names(str(r.address), r.address.called): r for r in self.remotes}
        return chosen(asked.get("host"), known)


def _limit(asked: dict[str, Any], usual: int) -> int:
    limit = asked.get("limit", usual)
    if not isinstance(limit, int) or not 1 <= limit <= 1000:
        raise UsageError("reading a limit", f"expected 1 to 1000, got {limit!r}")
    return limit


def _what(asked: dict[str, Any]) -> Meant:
    what = asked.get("what")
    if not isinstance(what, str):
        raise UsageError("reading what is meant", "expected a port or a container's name")
    return meant(what)
