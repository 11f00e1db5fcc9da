"""The published ports of one remote host: its containers in, listeners here and what can't be out.

wanted -> plan -> tunnels. What it says is true of the listeners that there really are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from mooring.forward.keep import Keep
from mooring.forward.plan import Plan, plan
from mooring.forward.seats import Seat
from mooring.forward.tunnels import Listener, Tunnels
from mooring.forward.wanted import Rules, Wish, remembered, wanted
from mooring.model.container import Container
from mooring.model.forward import Forward, ForwardState, Moment, Place, Unmet, Wanted

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What a look at the containers changed. Places that were tried again are not in it."""

    closed: tuple[Place, ...] = ()
    retargeted: tuple[Wanted, ...] = ()
    opened: tuple[Wanted, ...] = ()


@dataclass(frozen=True, slots=True)
class _Conflict:
    """A place that is wanted and not listened on."""

    why: str
    since: float
    """When that was seen first, by this machine's clock."""
    want: Wanted
    again: bool
    """Whether it is to be tried again; another host's place is given, and not taken."""


class Ports:
    """One host's ports. ``linger`` is for how many seconds one outlives its container."""

    def __init__(
        self,
        tunnels: Tunnels,
        rules: Rules,
        keep: Keep,
        seat: Seat,
        linger: float,
        clock: Callable[[], float],
    ) -> None:
        self.tunnels = tunnels
        self.containers: tuple[Container, ...] = ()
        """As they were listed last."""
        self.flaps = 0
        """How often a container came back to a port that had just lost it."""
        self.rules = rules
        self._keep = keep
        self._seat = seat
        self._linger = linger
        self._clock = clock
        self._wish = Wish()
        self._conflicts: dict[Place, _Conflict] = {}
        self._lost: dict[tuple[str, str, int], float] = {}
        """Of ports that another container here has, since when: by container, protocol, port."""
        self._log = log.bind(host=seat.host)
        self._leaving: dict[Place, tuple[Wanted, float]] = {}
        self._started: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()
        seat.settle = self.settle

    def started(self, container_id: str, at: float) -> None:
        """A container has started, at ``at`` by the remote Docker's clock."""
        self._started[container_id] = at

    async def show(self, containers: tuple[Container, ...]) -> Done:
        """These are the host's containers now: make the listeners be what they publish."""
        self.containers = containers
        known = {c.id for c in containers}
        self._started = {i: at for i, at in self._started.items() if i in known}
        self._wish = wanted(containers, self.rules, self._started, self._keep.sticky)
        self._keep.stick(remembered(self._keep.sticky, self._wish))
        self._note_lost()
        return await self.settle()

    async def settle(self) -> Done:
        """The same again, of what was shown last: another host has taken or freed a place."""
        async with self._one_at_a_time:
            # A container that is gone keeps its port for a moment: most that crash start again.
            wants = {want.place: want for want in (*self._lingering(), *self._wish.forwards)}
            lost = await self._seat.claim({place: w.container for place, w in wants.items()})
            taken = {place: why for place in wants if (why := self._seat.taken(place))}
            mine = [want for place, want in wants.items() if place not in taken]
            behind = {place: (wants[place], why) for place, why in taken.items()}
            done = await self._apply(plan(mine, self.tunnels.actual), behind)
            await self._seat.freed(lost)
            return done

    @property
    def unsettled(self) -> bool:
        """Whether a port is about to be let go."""
        return bool(self._leaving)

    @property
    def in_conflict(self) -> bool:
        """Whether a place is to be tried again."""
        return any(conflict.again for conflict in self._conflicts.values())

    async def _apply(self, todo: Plan, behind: Mapping[Place, tuple[Wanted, str]]) -> Done:
        """``behind`` are the places that other hosts have, each with who has it."""
        actual = self.tunnels.actual
        why = await self.tunnels.apply(todo)
        before, now = self._conflicts, self._clock()
        found = [(want, why[want.place], True) for want in todo.open if want.place in why]
        found += [(want, who, False) for want, who in behind.values()]
        self._conflicts = {}
        for want, reason, again in found:
            old = before.get(want.place)
            since = old.since if old else now
            self._conflicts[want.place] = _Conflict(reason, since, want, again)
        opened = tuple(want for want in todo.open if want.place not in why)
        new = [c for place, c in self._conflicts.items() if place not in before]
        self._note(todo, actual, opened, new)
        fresh = tuple(want for want in opened if want.place not in before)
        return Done(todo.close, todo.retarget, fresh)

    def _lingering(self) -> list[Wanted]:
        """Forwards whose container has just gone, unless their place is wanted by another."""
        now = asyncio.get_running_loop().time()
        places = {want.place for want in self._wish.forwards}
        for place, want in self.tunnels.actual.items():
            if place not in places:
                self._leaving.setdefault(place, (want, now))
        self.flaps += len(self._leaving.keys() & places)
        self._leaving = {
            place: (want, since)
            for place, (want, since) in self._leaving.items()
            if place not in places and now - since < self._linger and not self._seat.taken(place)
        }
        return [want for want, _ in self._leaving.values()]

    def _note(
        self,
        todo: Plan,
        before: Mapping[Place, Wanted],
        opened: tuple[Wanted, ...],
        conflicts: Iterable[_Conflict],
    ) -> None:
        now = self._clock()
        for place in todo.close:
            detail = self._seat.taken(place) or ""
            self._keep.note(Moment(now, "closed", str(place), before[place].container, detail))
        for want in todo.retarget:
            old = before[want.place]
            if old.target != want.target or old.container != want.container:
                detail = f"to {want.target}"
                self._keep.note(Moment(now, "retargeted", str(want.place), want.container, detail))
        for want in opened:
            self._keep.note(Moment(now, "opened", str(want.place), want.container))
        for conflict in conflicts:
            self._note_conflict(str(conflict.want.place), conflict.want.container, conflict.why)

    def _note_lost(self) -> None:
        """Ports that another container of this host has got since the last look."""
        before, self._lost = self._lost, {}
        for unmet in self._wish.unmet:
            if unmet.state is ForwardState.CONFLICT:
                key = _key(unmet)
                self._lost[key] = before.get(key, self._clock())
                if key not in before:
                    port = self.rules.remap.get(unmet.port, unmet.port)
                    place = str(Place(unmet.protocol, self.rules.bind, port))
                    self._note_conflict(place, unmet.container, unmet.detail)

    def _note_conflict(self, place: str, container: str, why: str) -> None:
        self._log.warning("forward_conflict", place=place, container=container, why=why)
        self._keep.note(Moment(self._clock(), "conflict", place, container, why[:500]))

    # --- looking

    def forwards(self, *, held_since: float | None) -> tuple[Forward, ...]:
        """Every forward, and every published port that is none.

        ``held_since`` is since when there is no link, in seconds since the epoch; None: there is.
        """
        found = [self._forward(each, held_since) for each in self.tunnels.listeners.values()]
        for want in self._wish.forwards:
            conflict = self._conflicts.get(want.place)
            if conflict and want.place not in self.tunnels.listeners:
                found.append(
                    Forward(
                        want.place.address,
                        str(want.target),
                        want.place.protocol,
                        want.container,
                        ForwardState.CONFLICT,
                        conflict.since,
                        detail=conflict.why,
                    )
                )
        found += [
            Forward(
                "",
                str(u.port),
                u.protocol,
                u.container,
                u.state,
                self._lost.get(_key(u), u.since),
                detail=u.detail,
            )
            for u in self._wish.unmet
        ]
        found.sort(key=lambda f: (int((f.local or f.remote).rpartition(":")[2]), f.protocol))
        return tuple(found)

    def _forward(self, listener: Listener, held_since: float | None) -> Forward:
        want, tally = listener.want, listener.tally
        state, since = ForwardState.LISTENING, listener.since
        if held_since is not None:
            state, since = ForwardState.HELD, max(since, held_since)
        if want.place in self._leaving:
            state = ForwardState.LINGERING
        return Forward(
            local=want.place.address,
            remote=str(want.target),
            protocol=want.place.protocol,
            container=want.container,
            state=state,
            since=since,
            connections=tally.connections,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            detail=tally.detail,
        )


def _key(unmet: Unmet) -> tuple[str, str, int]:
    return unmet.container_id, unmet.protocol, unmet.port
