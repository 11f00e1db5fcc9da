"""Pure. What is to be said of runs to the server: merged, paced and bounded; never sent here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

PACE = 1.0
"""Seconds between two words on one run, unless its state or phase changes, or a phase ends."""
MAX_LINES = 50
"""Lines of a run's story that one word carries."""
MAX_WAITING_LINES = 1000
"""Lines of one run that wait at most; what comes then is in the agent's log alone."""
MAX_RUNS = 100
KEPT = 600.0
"""Seconds that a word is kept for a server that is away."""
MAX_TEXT = 500
"""Characters of a line's text."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a run's story: an event, with words for a person."""

    at: float
    event: str
    text: str
    level: str = "info"
    """``info``, ``warning`` or ``error``."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; ``done`` of ``total`` in ``phase``."""

    state: str
    trigger: str
    started_at: float
    phase: str | None = None
    done: int = 0
    total: int | None = None
    reason: str | None = None
    remaining_s: float | None = None
    """The agent's own estimate of the seconds left, of the whole run."""
    lines: tuple[Line, ...] = ()

    @property
    def stage(self) -> tuple[str, str | None, bool]:
        """What is said at once when it changes: state, phase, and whether the phase has ended."""
        return self.state, self.phase, self.total is not None and self.done >= self.total


@dataclass(slots=True)
class _Run:
    waiting: deque[Progress] = field(default_factory=deque)
    """One word of each stage, in their order; each with the lines that came in it."""
    since: float = 0.0
    """When the oldest of them came."""
    said: tuple[str, str | None, bool] | None = None
    """The stage that was said last."""
    due: float = 0.0
    """When the next word may follow."""

    def add(self, word: Progress) -> int:
        """Take a word; how many of its lines there was no room for."""
        room = MAX_WAITING_LINES - sum(len(w.lines) for w in self.waiting)
        lost = max(0, len(word.lines) - room)
        word = replace(word, lines=word.lines[: max(0, room)])
        if self.waiting and self.waiting[-1].stage == word.stage:
            last = self.waiting.pop()
            word = replace(word, lines=last.lines + word.lines)
        self.waiting.append(word)
        return lost

    def may(self) -> float:
        """When the next word may be said: 0 is at once."""
        change = len(self.waiting) > 1 or self.waiting[0].stage != self.said
        return 0.0 if change else self.due


class Telling:
    """The words that wait, of all runs. Times are of any clock that only goes forward."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def say(self, run: str, word: Progress, now: float) -> int:
        """Keep a word until it is its turn. How many lines, or words, there was no room for."""
        known = self._runs.get(run)
        if known is None:
            self._forget(now)
            if len(self._runs) >= MAX_RUNS:
                return max(1, len(word.lines))
            known = self._runs[run] = _Run()
        if not known.waiting:
            known.since = now
        return known.add(word)

    def wait(self, now: float) -> float | None:
        """Seconds until a word may be said; None while there is none."""
        self._forget(now)
        times = [run.may() for run in self._runs.values() if run.waiting]
        return max(0.0, min(times) - now) if times else None

    def runs(self) -> set[str]:
        """The runs of which a word waits."""
        return {name for name, run in self._runs.items() if run.waiting}

    def next(self, now: float) -> tuple[str, Progress] | None:
        """The word whose turn it is. Who can't say it gives it ``back``."""
        ready = [(run.due, name) for name, run in self._runs.items() if run.waiting]
        ready = [(due, name) for due, name in ready if self._runs[name].may() <= now]
        if not ready:
            return None
        name = min(ready)[1]
        run = self._runs[name]
        word = run.waiting.popleft()
        if len(word.lines) > MAX_LINES:
            run.waiting.appendleft(replace(word, lines=word.lines[MAX_LINES:]))
            word = replace(word, lines=word.lines[:MAX_LINES])
        run.said, run.due = word.stage, now + PACE
        return name, word

    def back(self, name: str, word: Progress) -> None:
        """It could not be said: it is the next again, unless a newer one of its stage is."""
        run = self._runs.get(name)
        if run is None:
            return
        run.said = None
        if run.waiting and run.waiting[0].stage == word.stage:
            newer = run.waiting.popleft()
            word = replace(newer, lines=word.lines + newer.lines)
        run.waiting.appendleft(word)

    def _forget(self, now: float) -> None:
        """Words that nobody took for long, and runs of which nothing was said for as long."""
        for name, run in list(self._runs.items()):
            if now - (run.since if run.waiting else run.due) > KEPT:
                del self._runs[name]
