"""Asks one open TCP port what it is: an address and a port in, what was seen out.

Waits for a greeting, sends a GET, shakes hands in TLS, and asks what is silent in the protocols of
``questions``; stops as soon as it is known. Changes nothing on the other side.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from mooring.discovery import identify
from mooring.discovery.catalogue import Catalogue
from mooring.discovery.catalogue.entry import PRINTERS
from mooring.discovery.probes.certificate import certificate_sights
from mooring.discovery.probes.http import Browser
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.line import Line, NoLine, NoTls, line
from mooring.discovery.probes.page import (
    MAX_BODY,
    Page,
    icon_path,
    page_sights,
    plain_on_tls,
    same_place,
    title,
)
from mooring.discovery.probes.plan import approach
from mooring.discovery.probes.questions import Question
from mooring.discovery.seen import Seen, Sight, readable
from mooring.model.net import IpAddress
from mooring.model.service import Means, OpenPort, Protocol

MOST_REDIRECTS = 2
_SIDE_BY_SIDE = 6
"""Questions asked of one port at a time."""
_HTTP_S = 5.0
"""Seconds for all that is asked of a port over HTTP."""


@dataclass(slots=True)
class Asked:
    """What became of asking a port."""

    ip: IpAddress
    number: int
    sights: list[Sight] = field(default_factory=list)
    tls: bool = False
    story: list[str] = field(default_factory=list)
    """What was asked and what came of it, a line each, for a person."""
    closed: str = ""
    """Why no connection came about; "" for an open port."""
    ended: bool = False
    """It took a connection, and was asked all that there is to ask."""

    @property
    def seen(self) -> Seen:
        return Seen(Protocol.TCP, self.number, tuple(self.sights), self.tls, self.ended)


async def identify_port(ip: IpAddress, port: int, catalogue: Catalogue, limits: Limits) -> OpenPort:
    """What is on an open TCP port. Takes at most the limits' seconds; never raises."""
    asked = await ask_port(ip, port, catalogue, limits)
    return identify.identify(asked.seen, catalogue)


async def ask_port(ip: IpAddress, port: int, catalogue: Catalogue, limits: Limits) -> Asked:
    """All that a port shows, and the story of asking it."""
    asked = Asked(ip, port)
    if port in PRINTERS and not limits.ask_printers:
        asked.story.append(identify.LEFT_ALONE)
        return asked
    async with limits.turn(ip) as seconds:
        if not seconds:
            asked.story.append(f"not asked: this host has had its {limits.host_s:g} s")
            return asked
        try:
            async with asyncio.timeout(seconds):
                await _Asking(asked, catalogue, limits).ask()
                asked.ended = not asked.closed
        except TimeoutError:
            asked.story.append(f"cut off after {seconds:.1f} s")
    return asked


class _Asking:
    """One port being asked; what it shows is kept as it comes, so a cut-off loses nothing."""

    def __init__(self, asked: Asked, catalogue: Catalogue, limits: Limits) -> None:
        self.asked = asked
        self.catalogue = catalogue
        self.limits = limits
        self.way = approach(asked.number, catalogue)
        self.connected = False
        self.greeted = False
        self.own_asked = not self.way.first
        """It was asked what is usual on its port."""
        self.answered = False
        self.waits_on = False
        self.pages: list[Page] = []

    async def ask(self) -> None:
        for step in self._steps():
            try:
                await step()
            except NoLine as error:
                self._no_line(error)
            if self.asked.closed or self._known():
                return

    def _steps(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """The ways to make it speak, the likeliest first."""
        plain, tls = partial(self._talk, tls=False), partial(self._talk, tls=True)
        own = self._own_questions
        others = partial(self._questions, self.way.then)
        if self.way.tls:
            yield from (tls, plain, own, others)
        elif self.way.first and not self.way.http and not self.way.greets:
            yield from (own, plain, tls, others)
        else:
            yield plain
            # What wants TLS breaks off when it hears a GET; who waits on wants something else.
            yield from (own, others, tls) if self.waits_on else (tls, own, others)

    def _known(self) -> bool:
        """Whether it needs no other way: its protocol has shown, or it has a name."""
        if plain_on_tls(self.pages) and not self.answered:
            return False
        # What speaks another protocol that looks like HTTP (RTSP) has a page for a GET as well.
        if self.greeted or self.answered or (self.pages and self.own_asked):
            return True
        return bool(identify.identify(self.asked.seen, self.catalogue).services)

    async def _talk(self, *, tls: bool) -> None:
        """Wait for a greeting, then send a GET."""
        if self.asked.tls and not tls:
            return
        try:
            async with self.line(tls=tls) as over:
                if tls:
                    self.asked.tls = True
                    # What it said to a GET without TLS is no page of its own.
                    self.asked.sights.clear()
                    self.pages.clear()
                    shown = certificate_sights(over.certificate)
                    self.asked.sights += shown
                    self.tell("TLS", shown[0].text if shown else "no certificate")
                # A GET does no harm where HTTP is usual: who would greet does so all the same.
                if not self.way.http:
                    if said := await over.hear(self._greeting_s(over)):
                        self.greeted = True
                        self.banner("", said)
                        self.tell("waited for a greeting", _text(said))
                        return
                    self.tell("waited for a greeting", "nothing")
                await self._browse(over)
        except NoTls as error:
            if error.speaks:
                self.asked.tls = self.answered = True
            self.tell("TLS", str(error))

    async def _browse(self, over: Line) -> None:
        async with AsyncExitStack() as lines:
            visit = _Visit(self, lines, over)
            page = await visit.get("/")
            self.waits_on = not self.asked.sights and not over.ended
            at = "/"
            for _ in range(MOST_REDIRECTS):
                target = page and visit.followed(page.header("location"), at)
                if not page or not 300 <= page.status < 400 or not target:
                    break
                page, at = await visit.get(target, counts_as="/"), target
            if page is None:
                return
            icon = visit.followed(icon_path(page.text), at)
            if icon and self.catalogue.knows_favicons and not self._sure():
                await visit.icon(icon)
            for path in identify.paths_to_ask(self.asked.seen, self.catalogue):
                await visit.get(path, counts_as=path)

    def _sure(self) -> bool:
        found = identify.verdicts(self.asked.seen, self.catalogue)
        return any(v.named and not v.entry.generic for v in found)

    async def _own_questions(self) -> None:
        self.own_asked = True
        await self._questions(self.way.first)

    async def _questions(self, questions: Sequence[Question]) -> None:
        """Ask some at a time, until one is answered."""
        for first in range(0, len(questions), _SIDE_BY_SIDE):
            async with asyncio.TaskGroup() as group:
                now = questions[first : first + _SIDE_BY_SIDE]
                for question in now:
                    group.create_task(self._question(question))
            if self.asked.closed or self.answered:
                return

    async def _question(self, question: Question) -> None:
        usual = self.asked.number in question.ports
        try:
            async with self.line(tls=self.asked.tls) as over:
                await over.say(question.send)
                said = await over.hear(self.answer_s(over, usual=usual))
        except NoLine as error:
            self._no_line(error)
            return
        answered = question.answered(said)
        if answered:
            self.answered = True
            self.banner(question.name, said)
        suits = "" if answered or not said else ", which is no answer to it"
        self.tell(f"asked in {question.name}", (_text(said) or "nothing") + suits)

    @asynccontextmanager
    async def line(self, *, tls: bool) -> AsyncIterator[Line]:
        connect_s, tls_s = self.limits.connect_s, None
        if tls:
            usual = self.way.tls or self.asked.tls
            tls_s = connect_s if usual else 1.5 * self.limits.answer_s
        async with line(self.asked.ip, self.asked.number, connect_s, tls_s) as over:
            self.connected = True
            yield over

    def _no_line(self, error: NoLine) -> None:
        self.tell("connecting", str(error))
        # Of an open port only the first connection tells: it may refuse a later one.
        if not self.connected and not isinstance(error, NoTls):
            self.asked.closed = str(error)

    def _greeting_s(self, over: Line) -> float:
        usual = 3 * self.limits.answer_s if self.way.greets else self.limits.greeting_s
        return usual + 4 * over.round_trip_s

    def answer_s(self, over: Line, *, usual: bool) -> float:
        return self.limits.answer_s * (3 if usual else 1) + 4 * over.round_trip_s

    def banner(self, question: str, said: bytes) -> None:
        text = _text(said)
        self.asked.sights.append(Sight(Means.BANNER, text, of=question))
        if text.startswith("SSH-"):
            self.asked.sights.append(Sight(Means.SSH, text.splitlines()[0]))

    def tell(self, what: str, came: str) -> None:
        self.asked.story.append(f"{what}: {readable(came, 120)}")


class _Visit:
    """The pages of one port, over as few lines as it allows."""

    def __init__(self, asking: _Asking, lines: AsyncExitStack, over: Line) -> None:
        self._asking = asking
        self._asked = asking.asked
        self._lines = lines
        self._over = over
        self._browser = Browser(over, self._asked.ip, self._asked.number)
        self._end = time.monotonic() + _HTTP_S

    async def get(self, path: str, *, counts_as: str = "/") -> Page | None:
        """A page, whose sights are kept; None for what is no HTTP, which is kept as a banner."""
        page = await self._get(path)
        if isinstance(page, bytes):
            self._asking.tell(f"GET {path}", _text(page) or "nothing")
            # A TLS alert is told by the handshake that follows.
            if page and not page.startswith(b"\x15\x03") and not self._asking.pages:
                self._asking.banner("", page)
            return None
        self._asking.pages.append(page)
        self._asked.sights += page_sights(page, counts_as)
        self._asking.tell(f"GET {path}", f"{page.status} {title(page.text)}")
        return page

    async def icon(self, path: str) -> None:
        page = await self._get(path)
        whole = isinstance(page, Page) and page.status == 200 and len(page.body) < MAX_BODY
        if isinstance(page, bytes) or not whole or not page.body.strip():
            self._asking.tell(f"GET {path}", "no icon")
            return
        digest = hashlib.sha256(page.body).hexdigest()
        self._asked.sights.append(Sight(Means.FAVICON, digest))
        self._asking.tell(f"GET {path}", f"an icon, {digest}")

    def followed(self, target: str, base: str) -> str | None:
        """The path of a link, None when it leads elsewhere or to the page itself."""
        asked = self._asked
        if not target:
            return None
        path = same_place(asked.ip, asked.number, target, base, tls=asked.tls)
        return None if path == base else path

    async def _get(self, path: str) -> Page | bytes:
        if not self._browser.ended:
            page = await self._by(path)
            if page or not self._asking.pages:
                return page
        # It closes after an answer: a line for each.
        try:
            opening = self._asking.line(tls=self._asked.tls)
            self._over = await self._lines.enter_async_context(opening)
        except NoLine:
            return b""
        self._browser = Browser(self._over, self._asked.ip, self._asked.number)
        return await self._by(path)

    async def _by(self, path: str) -> Page | bytes:
        usual = self._asking.way.http or bool(self._asking.pages)
        first_s = self._asking.answer_s(self._over, usual=usual)
        left = max(0.1, self._end - time.monotonic())
        return await self._browser.get(path, first_s, left)


def _text(said: bytes) -> str:
    return said.decode("latin-1")
