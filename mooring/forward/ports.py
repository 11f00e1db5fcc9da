"""The published ports of one remote host: its containers in, listeners here and what can't be out.

wanted -> plan -> tunnels. What it says is true of the listeners that there really are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from mooring.forward.keep import Keep
from mooring.forward.plan import Plan, plan
from mooring.forward.seats import Seat
from mooring.forward.tunnels import Listener, Tunnels
from mooring.forward.wanted import Rules, Wish, remembered, wanted
from mooring.model.container import Container
from mooring.model.forward import Forward, ForwardState, Moment, Place, Wanted

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What a look at the containers changed. Places that were tried again are not in it."""

    closed: tuple[Place, ...] = ()
    retargeted: tuple[Wanted, ...] = ()
    opened: tuple[Wanted, ...] = ()


@dataclass(frozen=True, slots=True)
class _Failure:
    why: str
    since: float
    want: Wanted


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
        self._failed: dict[Place, _Failure] = {}
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
        return await self.settle()

    async def settle(self) -> Done:
        """The same again, of what was shown last: another host has taken or freed a place."""
        async with self._one_at_a_time:
            # A container that is gone keeps its port for a moment: most that crash start again.
            wants = {want.place: want for want in (*self._lingering(), *self._wish.forwards)}
            lost = await self._seat.claim({place: w.container for place, w in wants.items()})
            mine = [want for place, want in wants.items() if not self._seat.taken(place)]
            done = await self._apply(plan(mine, self.tunnels.actual))
            await self._seat.freed(lost)
            return done

    @property
    def unsettled(self) -> bool:
        """Whether a port is about to be let go."""
        return bool(self._leaving)

    @property
    def in_conflict(self) -> bool:
        """Whether a place is to be tried again."""
        return bool(self._failed)

    async def _apply(self, todo: Plan) -> Done:
        before = self.tunnels.actual
        why = await self.tunnels.apply(todo)
        retried = self._failed.keys() & {want.place for want in todo.open}
        now = self._clock()
        failed = {}
        for want in todo.open:
            if want.place in why:
                old = self._failed.get(want.place)
                since = old.since if old else now
                failed[want.place] = _Failure(why[want.place], since, want)
        self._failed = failed
        opened = tuple(want for want in todo.open if want.place not in failed)
        self._note(todo, before, opened, {p: f for p, f in failed.items() if p not in retried})
        fresh = tuple(want for want in opened if want.place not in retried)
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
        failed: Mapping[Place, _Failure],
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
        for place, failure in failed.items():
            log.warning("forward_conflict", place=str(place), why=failure.why)
            self._keep.note(
                Moment(now, "conflict", str(place), failure.want.container, failure.why[:500])
            )

    # --- looking

    def forwards(self, *, held: bool) -> tuple[Forward, ...]:
        """Every forward, and every published port that is none; ``held``: there is no link."""
        found = [self._forward(each, held) for each in self.tunnels.listeners.values()]
        for want in self._wish.forwards:
            failure = self._failed.get(want.place)
            why = self._seat.taken(want.place) or (failure.why if failure else None)
            if why and want.place not in self.tunnels.listeners:
                since = failure.since if failure else want.since
                found.append(
                    Forward(
                        want.place.address,
                        str(want.target),
                        want.place.protocol,
                        want.container,
                        ForwardState.CONFLICT,
                        since,
                        detail=why,
                    )
                )
        found += [
            Forward("", str(u.port), u.protocol, u.container, u.state, u.since, detail=u.detail)
            for u in self._wish.unmet
        ]
        found.sort(key=lambda f: (int((f.local or f.remote).rpartition(":")[2]), f.protocol))
        return tuple(found)

    def _forward(self, listener: Listener, held: bool) -> Forward:
        want, tally = listener.want, listener.tally
        state = ForwardState.HELD if held else ForwardState.LISTENING
        if want.place in self._leaving:
            state = ForwardState.LINGERING
        return Forward(
            local=want.place.address,
            remote=str(want.target),
            protocol=want.place.protocol,
            container=want.container,
            state=state,
            since=listener.since,
            connections=tally.connections,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            detail=tally.detail,
        )
