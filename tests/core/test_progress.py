"""What is said of runs: changes of stage at once, all else paced; nothing grows without end."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mooring.core.progress import (
    KEPT,
    MAX_LINES,
    MAX_RUNS,
    MAX_WAITING_LINES,
    PACE,
    Line,
    Progress,
    Telling,
)

RUNNING = Progress("running", "request", 1.0, "hosts", 0, 100)
STARTING = replace(RUNNING, state="starting")
FAILED = replace(RUNNING, state="failed", reason="no")


def line(number: int) -> Line:
    return Line(float(number), "event", str(number))


def lines(*numbers: int) -> tuple[Line, ...]:
    return tuple(map(line, numbers))


def all_of(telling: Telling, now: float) -> list[Progress]:
    said = []
    while word := telling.next(now):
        said.append(word[1])
    return said


def test_the_first_word_and_every_change_of_state_are_said_at_once() -> None:
    telling = Telling()
    assert telling.wait(0.0) is None
    for word in (STARTING, RUNNING, FAILED):
        telling.say("a", word, 0.0)
    assert telling.wait(0.0) == 0
    assert all_of(telling, 0.0) == [STARTING, RUNNING, FAILED]
    assert telling.wait(0.0) is None


def test_a_phase_s_beginning_and_its_end_are_said_at_once() -> None:
    telling = Telling()
    ports = replace(RUNNING, phase="ports", total=5)
    words = [RUNNING, replace(RUNNING, done=100), ports, replace(ports, done=5)]
    for word in words:
        telling.say("a", word, 0.0)
    assert all_of(telling, 0.0) == words
    telling.say("a", replace(ports, done=5, lines=lines(1)), 0.1)
    assert all_of(telling, 0.1) == []


def test_of_what_is_said_of_one_stage_meanwhile_the_newest_is_told_with_all_lines() -> None:
    telling = Telling()
    telling.say("a", replace(RUNNING, lines=lines(0)), 0.0)
    assert all_of(telling, 0.0) == [replace(RUNNING, lines=lines(0))]
    for done in (1, 2, 3):
        telling.say("a", replace(RUNNING, done=done, lines=lines(done)), 0.1)
    assert all_of(telling, 0.1) == []
    wait = telling.wait(0.1)
    assert wait is not None
    assert 0 < wait <= PACE
    assert all_of(telling, 0.1 + wait) == [replace(RUNNING, done=3, lines=lines(1, 2, 3))]


def test_one_run_holds_up_no_other() -> None:
    telling = Telling()
    for now in (0.0, 0.1):
        telling.say("a", RUNNING, now)
        all_of(telling, now)
    telling.say("a", RUNNING, 0.2)
    telling.say("b", RUNNING, 0.2)
    assert telling.next(0.2) == ("b", RUNNING)
    assert telling.next(0.2) is None


def test_a_long_story_comes_in_parts_and_the_end_after_all_of_it() -> None:
    telling = Telling()
    story = lines(*range(MAX_LINES * 2 + 5))
    telling.say("a", replace(RUNNING, lines=story), 0.0)
    telling.say("a", FAILED, 0.0)
    said = all_of(telling, 0.0)
    assert [len(word.lines) for word in said] == [MAX_LINES, MAX_LINES, 5, 0]
    assert tuple(one for word in said for one in word.lines) == story
    assert said[-1].state == "failed"


def test_a_word_that_could_not_be_said_is_the_next_again_and_loses_no_line() -> None:
    telling = Telling()
    telling.say("a", replace(RUNNING, lines=lines(0)), 0.0)
    word = telling.next(0.0)
    assert word
    telling.say("a", replace(RUNNING, done=5, lines=lines(1)), 0.1)
    telling.back(*word)
    assert telling.next(0.2) == ("a", replace(RUNNING, done=5, lines=lines(0, 1)))


def test_a_story_without_end_and_runs_without_end_are_bounded() -> None:
    telling = Telling()
    lost = telling.say("a", replace(RUNNING, lines=lines(*range(MAX_WAITING_LINES + 7))), 0.0)
    assert lost == 7
    assert telling.say("a", replace(RUNNING, lines=lines(1)), 0.0) == 1
    kept = [telling.say(str(number), RUNNING, 0.0) == 0 for number in range(MAX_RUNS + 5)]
    assert kept.count(True) == MAX_RUNS - 1


def test_what_nobody_took_for_long_is_forgotten() -> None:
    telling = Telling()
    telling.say("a", RUNNING, 0.0)
    assert telling.wait(KEPT + 1) is None
    telling.say("b", RUNNING, KEPT + 2)
    assert all_of(telling, KEPT + 2) == [RUNNING]


words = st.builds(
    Progress,
    state=st.sampled_from(["starting", "running", "failed"]),
    trigger=st.just(""),
    started_at=st.just(0.0),
    lines=st.lists(st.integers(0, 9).map(line), max_size=30).map(tuple),
)


@given(st.lists(st.tuples(words, st.floats(0, 2), st.booleans()), max_size=30))
def test_no_line_is_lost_or_told_twice_and_each_comes_in_its_order(
    said: list[tuple[Progress, float, bool]],
) -> None:
    telling = Telling()
    now = 0.0
    wanted: list[Line] = []
    told: list[Line] = []
    for word, wait, fails in said:
        now += wait
        wanted += word.lines
        assert telling.say("a", word, now) == 0
        while due := telling.next(now):
            if fails:
                fails = False
                telling.back(*due)
            else:
                told += due[1].lines
    while telling.runs():
        now += PACE
        told += [one for word in all_of(telling, now) for one in word.lines]
    assert told == wanted
