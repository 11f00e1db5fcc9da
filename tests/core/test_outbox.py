from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import structlog.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mooring.core import outbox as module
from mooring.core.errors import MooringError
from mooring.core.ids import is_id, new_id
from mooring.core.outbox import LOST, RESERVED, Outbox
from mooring.model import wire
from mooring.model.machine import Machine, OperatingSystem
from mooring.model.report import MAX_BYTES, Engines, Report, RunMark, SetAside

EMPTY = Engines(())


def machine(content: str) -> Machine:
    system = OperatingSystem("Linux", "6.1", "x86_64")
    return Machine("id", content, system, (), (), (), ())


def mark(name: str, *, final: bool = False) -> RunMark:
    return RunMark(str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "request", 1.0, final)


def reports(outbox: Outbox) -> list[Report]:
    """All that waits, in the order of its delivery, as it stands on disk."""
    found = []
    while waiting := outbox.take():
        found.append(wire.decode(waiting.read()))
        outbox.done(waiting)
    return found


def contents(outbox: Outbox) -> list[tuple[str, str]]:
    return [(r.subject, getattr(r.body, "hostname", "")) for r in reports(outbox)]


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "box")


# --- what it keeps


def test_a_report_is_written_down_as_it_was_put(box):
    aside = (SetAside("container", "x", "no id"),)
    put = box.put("containers", EMPTY, mark("r", final=True), aside)
    waiting = box.take()
    assert waiting is not None
    assert wire.decode(waiting.read()) == put
    assert (waiting.subject, waiting.number, waiting.runs) == ("containers", 1, put.runs)
    assert put.set_aside == aside
    assert put.outbox == box.id
    assert is_id(box.id)


def test_an_empty_outbox_has_nothing_to_take(box):
    assert box.take() is None
    assert len(box) == 0
    assert box.runs() == set()


def test_reports_come_out_in_the_order_in_which_their_subjects_came(box):
    for subject in ("b", "a", "c"):
        box.put(subject, machine(subject))
    assert [r.subject for r in reports(box)] == ["b", "a", "c"]


def test_a_newer_snapshot_takes_the_place_of_the_waiting_one(box):
    box.put("a", machine("old"))
    box.put("b", machine("b"))
    box.put("a", machine("new"))
    assert len(box) == 2
    assert contents(box) == [("a", "new"), ("b", "b")]


def test_the_newer_snapshot_carries_the_run_marks_of_the_one_it_replaced(box):
    box.put("a", machine("1"), mark("r"))
    box.put("a", machine("2"))
    box.put("a", machine("3"), mark("s", final=True))
    assert box.runs() == {mark("r").id, mark("s").id}
    assert reports(box)[0].runs == (mark("r"), mark("s", final=True))


def test_an_agent_that_starts_over_and_over_without_a_server_gathers_marks_up_to_a_bound(
    box, monkeypatch
):
    monkeypatch.setattr(module, "MAX_MARKS", 3)
    for number in range(10):
        box.put("a", machine(""), mark(str(number)))
    kept = reports(box)[0].runs
    assert [m.id for m in kept] == [mark(str(n)).id for n in (7, 8, 9)]


def test_the_report_that_is_being_delivered_is_not_replaced(box):
    box.put("a", machine("1"), mark("r"))
    taken = box.take()
    assert taken is not None
    box.put("a", machine("2"))
    box.put("a", machine("3"))
    assert wire.decode(taken.read()).body == machine("1")
    box.done(taken)
    left = reports(box)
    assert [r.body for r in left] == [machine("3")]
    assert left[0].runs == ()


def test_the_last_report_of_a_run_is_not_delivered_before_its_first(box):
    box.put("machine", machine("1"), mark("old"))
    box.put("containers", EMPTY, mark("old", final=True))
    taken = box.take()
    assert taken is not None
    box.put("machine", machine("2"), mark("new"))
    box.put("containers", EMPTY, mark("new", final=True))
    box.release()
    left = reports(Outbox(box.folder))
    assert [r.subject for r in left] == ["machine", "machine", "containers"]
    assert list(left[-1].runs) == [mark("old", final=True), mark("new", final=True)]


def test_looks_again_and_again_without_a_server_stay_in_their_order(box):
    box.put("machine", machine("0"), mark("0"))
    box.put("containers", EMPTY, mark("0", final=True))
    assert box.take() is not None
    for look in range(1, 5):
        box.put("machine", machine(str(look)), mark(str(look)))
        box.put("containers", EMPTY, mark(str(look), final=True))
    stored: set[str] = set()
    for report in reports(box):
        if report.subject == "machine":
            stored |= {m.id for m in report.runs}
        else:
            assert {m.id for m in report.runs} <= stored
    assert len(stored) == 5


def test_after_a_failed_delivery_the_same_report_is_next(box):
    box.put("a", machine("1"))
    box.put("b", machine("2"))
    first = box.take()
    box.release()
    assert box.take() == first


def test_a_report_whose_delivery_failed_is_replaced_by_a_newer_one(box):
    box.put("a", machine("1"), mark("r"))
    box.take()
    box.release()
    box.put("a", machine("2"))
    left = reports(box)
    assert [(r.body, r.runs) for r in left] == [(machine("2"), (mark("r"),))]


def test_of_many_subjects_the_oldest_report_is_dropped_and_that_is_logged(tmp_path):
    box = Outbox(tmp_path, max_subjects=2)
    taken = None
    with structlog.testing.capture_logs() as told:
        for number in range(6):
            box.put(f"s{number}", EMPTY)
            taken = taken or box.take()
    assert [r.subject for r in reports(box)] == ["s0", "s3", "s4", "s5"]
    assert [(e["event"], e["dropped"]) for e in told] == [
        ("outbox_full", "s1"),
        ("outbox_full", "s2"),
    ]
    assert files(tmp_path) == {"state"}


def test_a_report_larger_than_a_server_takes_is_an_error_and_costs_nothing_else(box):
    box.put("a", machine("small"))
    # One over the limit by its size, whatever its parts are.
    with (
        mock.patch.object(module.wire, "encode", return_value=b"x" * (MAX_BYTES + 1)),
        pytest.raises(MooringError, match=f"takes at most {MAX_BYTES}"),
    ):
        box.put("a", machine("large"))
    assert contents(box) == [("a", "small")]


# --- opened again


def test_what_waits_is_there_after_a_restart_in_its_order_with_its_marks(box):
    box.put("b", machine("b"), mark("r"))
    box.put("a", machine("a"))
    box.put("b", machine("b2"))
    again = Outbox(box.folder)
    assert again.id == box.id
    assert again.runs() == {mark("r").id}
    assert contents(again) == [("b", "b2"), ("a", "a")]


def test_numbers_go_on_after_a_restart_also_when_nothing_waits(box):
    last = [box.put("a", EMPTY).number for _ in range(3)][-1]
    reports(box)
    assert Outbox(box.folder).put("a", EMPTY).number > last


def test_not_every_report_writes_the_state_file(box, monkeypatch):
    written = []
    real = module._write
    monkeypatch.setattr(module, "_write", lambda p, d: (written.append(p.name), real(p, d)))
    for _ in range(RESERVED // 2):
        box.put("a", EMPTY)
    assert written.count("state") <= 1


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\xff\xfe",
        b"not JSON",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"outbox": 5, "number": 1}',
        b'{"outbox": "../../etc", "number": 1}',
        b'{"outbox": "01a1fc21-767b-7291-98a6-27af129db9ad", "number": -1}',
        b'{"outbox": "01a1fc21-767b-7291-98a6-27af129db9ad", "number": "1"}',
        b'{"outbox": "01a1fc21-767b-7291-98a6-27af129db9ad", "number": true}',
        b'{"outbox": "01a1fc21-767b-7291-98a6-27af129db9ad", "number": 99999999999999999999}',
    ],
)
def test_a_damaged_state_file_loses_no_report_and_no_number_is_given_again(state, box):
    box.put("a", machine("1"))
    delivered = [box.put("b", EMPTY).number for _ in range(5)][-1]
    box.done(box._waiting[1])
    (box.folder / "state").write_bytes(state)
    with structlog.testing.capture_logs() as told:
        again = Outbox(box.folder)
    assert [e["event"] for e in told] == ["outbox_state_unreadable"]
    assert again.id == box.id
    assert again.put("b", EMPTY).number > delivered
    assert contents(again) == [("a", "1"), ("b", "")]


def test_with_the_state_file_gone_and_nothing_waiting_it_is_another_outbox(box):
    box.put("a", EMPTY)
    reports(box)
    (box.folder / "state").unlink()
    again = Outbox(box.folder)
    assert again.id != box.id
    assert again.put("a", EMPTY).number == 1


def test_numbering_can_be_lost_more_often_than_ever_happens(box):
    number = 0
    for _ in range(20):
        number = Outbox(box.folder).put("a", EMPTY).number
        (box.folder / "state").unlink()
    assert 19 * LOST < number < 2**53


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"version": 99}', b"[" * 50_000])
def test_a_report_file_that_cannot_be_read_is_set_apart_and_the_others_are_delivered(content, box):
    box.put("a", machine("a"))
    (box.folder / "0000000000000000.json").write_bytes(content)
    with structlog.testing.capture_logs() as told:
        again = Outbox(box.folder)
    assert [e["event"] for e in told] == ["outbox_file_unreadable"]
    assert contents(again) == [("a", "a")]
    kept = again.refused / "0000000000000000.json"
    assert kept.read_bytes() == content
    assert kept.with_suffix(".reason").read_text()


def test_a_report_of_another_outbox_is_set_apart(box, tmp_path):
    other = Outbox(tmp_path / "other")
    other.put("a", machine("theirs"))
    for path in other.folder.glob("*.json"):
        shutil.copy(path, box.folder / "0000000000000009.json")
    again = Outbox(box.folder)
    assert len(again) == 0
    assert "another outbox" in (again.refused / "0000000000000009.reason").read_text()


def test_what_a_crash_left_half_written_is_removed(box):
    (box.folder / "0000000000000001.json.new").write_bytes(b'{"versi')
    (box.refused / "x.reason.new").write_bytes(b"")
    assert len(Outbox(box.folder)) == 0
    assert files(box.folder) == {"state"}


# --- refused


def test_a_refused_report_is_kept_with_its_reason_and_the_others_pass(box):
    box.put("a", machine("bad"))
    box.put("b", machine("good"))
    waiting = box.take()
    assert waiting is not None
    kept = box.refuse(waiting, "HTTP 400: no")
    assert wire.decode(kept.read_bytes()).body == machine("bad")
    assert kept.with_suffix(".reason").read_text() == "HTTP 400: no"
    assert contents(box) == [("b", "good")]
    assert len(Outbox(box.folder)) == 0


def test_only_so_many_refused_reports_are_kept(box, monkeypatch):
    monkeypatch.setattr(module, "MAX_REFUSED", 3)
    for number in range(8):
        box.put("a", machine(str(number)))
        waiting = box.take()
        assert waiting is not None
        box.refuse(waiting, "no")
    kept = sorted(box.refused.glob("*.json"))
    assert [wire.decode(p.read_bytes()).number for p in kept] == [6, 7, 8]
    assert len(list(box.refused.glob("*.reason"))) == 3


def test_a_report_whose_file_has_vanished_can_be_given_up(box):
    box.put("a", EMPTY)
    box.put("b", EMPTY)
    waiting = box.take()
    assert waiting is not None
    waiting.path.unlink()
    with pytest.raises(FileNotFoundError):
        waiting.read()
    box.refuse(waiting, "it is gone")
    assert [r.subject for r in reports(box)] == ["b"]
    assert files(box.refused) == set()


# --- the disk


@contextlib.contextmanager
def disk(error: int, call: str = "fsync") -> Iterator[None]:
    def fail(*args: object) -> None:
        raise OSError(error, os.strerror(error))

    with mock.patch.object(module.os, call, fail):
        yield


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_takes_nothing_is_an_error_that_says_so_and_nothing_is_lost(call, error, box):
    box.put("a", machine("1"), mark("r"))
    with disk(error, call), pytest.raises(MooringError) as told:
        box.put("a", machine("2"))
    assert told.value.why == os.strerror(error).lower()
    assert str(box.folder) in told.value.attempted
    assert contents(Outbox(box.folder)) == [("a", "1")]


def test_after_a_full_disk_the_next_report_has_a_number_of_its_own(box):
    box.put("a", machine("1"))
    with disk(errno.ENOSPC), pytest.raises(MooringError):
        box.put("a", machine("2"))
    assert box.put("a", machine("3")).number == 3


@pytest.mark.parametrize("what", ["done", "refuse"])
def test_a_report_that_cannot_be_removed_passes_all_the_same_and_is_seen_again_later(what, box):
    box.put("a", machine("1"))
    box.put("b", machine("2"))
    waiting = box.take()
    assert waiting is not None
    act = box.done if what == "done" else lambda w: box.refuse(w, "no")
    with disk(errno.EROFS, "unlink"), disk(errno.EROFS, "replace"), pytest.raises(MooringError):
        act(waiting)
    following = box.take()
    assert following is not None
    assert following.subject == "b"
    assert [r.subject for r in reports(Outbox(box.folder))] == ["a", "b"]


@pytest.mark.parametrize("in_the_way", ["box", "box/refused", "box/state"])
def test_an_outbox_that_cannot_be_opened_is_an_error_that_names_it(in_the_way, tmp_path):
    place = tmp_path / in_the_way
    place.parent.mkdir(exist_ok=True)
    if in_the_way == "box/state":
        place.mkdir()
    else:
        place.write_text("x")
    with pytest.raises(MooringError) as told:
        Outbox(tmp_path / "box")
    assert str(tmp_path / "box") in told.value.attempted
    assert "--data-dir" in told.value.remedy


def test_what_is_kept_is_for_the_owner_only(box):
    assert box.folder.stat().st_mode & 0o777 == 0o700


# --- against a model, with crashes at any moment


class Crash(BaseException):
    """The power is cut. Not an Exception: nothing may handle it."""


class FailingDisk:
    """Lets so many disk operations through, and crashes at the next, before or after it."""

    def __init__(self, left: int, *, after: bool, torn: bool) -> None:
        self.left = left
        self.after = after
        self.torn = torn
        self.real = {name: getattr(os, name) for name in ("replace", "fsync", "unlink")}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in self.real:
                stack.enter_context(mock.patch.object(os, name, self._counted(name)))
            yield

    def _counted(self, name: str) -> Callable[..., None]:
        def call(*args: object, **kwargs: object) -> None:
            self.left -= 1
            if self.left == 0 and not self.after:
                if name == "fsync" and self.torn and isinstance(args[0], int):
                    with contextlib.suppress(OSError):  # a folder's descriptor
                        os.ftruncate(args[0], 3)
                raise Crash
            self.real[name](*args, **kwargs)
            if self.left == 0:
                raise Crash

        return call


@dataclass(frozen=True)
class Kept:
    subject: str
    content: str
    marks: tuple[str, ...] = ()


class OutboxModel(RuleBasedStateMachine):
    """The outbox beside a list that says what it should hold."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mooring-outbox-"))
        self.box = Outbox(self.folder, max_subjects=3)
        self.id = self.box.id
        self.kept: list[Kept] = []
        self.taken: Kept | None = None
        self.waiting: module.Waiting | None = None
        self.content = 0
        self.highest = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def after_put(self, subject: str, run: RunMark | None) -> tuple[Kept, list[Kept]]:
        self.content += 1
        marks = (run.id,) if run else ()
        kept = list(self.kept)
        for place in reversed(range(len(kept))):
            old = kept[place]
            if old.subject == subject and old is not self.taken:
                new = Kept(subject, str(self.content), old.marks + marks)
                kept[place] = new
                return new, kept
        new = Kept(subject, str(self.content), marks)
        kept.append(new)
        if len(kept) > 2 * 3:
            kept.remove(next(k for k in kept if k is not self.taken))
        return new, kept

    subjects = st.sampled_from("abcdefgh")
    runs = st.none() | st.builds(
        RunMark, st.builds(new_id), st.just("request"), st.just(1.0), st.booleans()
    )

    @rule(subject=subjects, run=runs)
    def put(self, subject: str, run: RunMark | None) -> None:
        new, kept = self.after_put(subject, run)
        report = self.box.put(subject, machine(new.content), run)
        assert report.number > self.highest
        self.highest = report.number
        self.kept = kept

    @rule()
    def take(self) -> None:
        self.waiting = self.box.take()
        self.taken = self.kept[0] if self.kept else None
        assert (self.waiting is None) == (self.taken is None)
        if self.waiting is not None and self.taken is not None:
            report = wire.decode(self.waiting.read())
            assert report.body == machine(self.taken.content)
            assert report.number == self.waiting.number

    @precondition(lambda self: self.taken is not None)
    @rule()
    def done(self) -> None:
        self.box.done(self.waiting)
        self.let_go()

    @precondition(lambda self: self.taken is not None)
    @rule()
    def refuse(self) -> None:
        self.box.refuse(self.waiting, "no")
        self.let_go()

    def let_go(self) -> None:
        assert self.taken is not None
        self.kept.remove(self.taken)
        self.taken = self.waiting = None

    @rule()
    def release(self) -> None:
        self.box.release()
        self.taken = self.waiting = None

    @rule()
    def reopen(self) -> None:
        self.box = Outbox(self.folder, max_subjects=3)
        self.taken = self.waiting = None

    crashes = st.builds(FailingDisk, st.integers(1, 9), after=st.booleans(), torn=st.booleans())

    @rule(subject=subjects, run=runs, crash=crashes)
    def crash_in_put(self, subject: str, run: RunMark | None, crash: FailingDisk) -> None:
        new, kept = self.after_put(subject, run)
        # Which report was on its way is not known after a crash: it may be the one that is dropped
        # when there are too many.
        dropped = [*self.kept, new][-2 * 3 :]
        self.crash(lambda: self.box.put(subject, machine(new.content), run), crash, kept, dropped)

    @precondition(lambda self: self.taken is not None)
    @rule(crash=crashes, refuse=st.booleans())
    def crash_in_letting_go(self, crash: FailingDisk, refuse: bool) -> None:
        waiting = self.waiting
        kept = [k for k in self.kept if k is not self.taken]
        act = (lambda: self.box.refuse(waiting, "no")) if refuse else lambda: self.box.done(waiting)
        self.crash(act, crash, kept)

    @rule(crash=crashes)
    def crash_in_reopening(self, crash: FailingDisk) -> None:
        self.crash(lambda: Outbox(self.folder, max_subjects=3), crash, self.kept)

    def crash(self, act: Callable[[], object], crash: FailingDisk, *after: list[Kept]) -> None:
        """Whatever was being done has then happened or not, and never by half."""
        with contextlib.suppress(Crash), crash():
            act()
        self.box = Outbox(self.folder, max_subjects=3)
        self.taken = self.waiting = None
        assert self.on_disk() in (*after, self.kept), (after, self.kept)
        self.kept = self.on_disk()

    def on_disk(self) -> list[Kept]:
        found = []
        for waiting in self.box._waiting:
            report = wire.decode(waiting.read())
            assert report.number == waiting.number
            self.highest = max(self.highest, report.number)
            marks = tuple(m.id for m in report.runs)
            assert isinstance(report.body, Machine)
            found.append(Kept(report.subject, report.body.hostname, marks))
        return found

    @invariant()
    def it_holds_what_the_model_says(self) -> None:
        if not hasattr(self, "box"):
            return
        assert self.box.id == self.id
        assert self.on_disk() == self.kept
        assert self.box.runs() == {m for k in self.kept for m in k.marks}
        assert len(self.box) == len(self.kept)
        assert all(sum(k.subject == s for k in self.kept) <= 2 for s in "abcdefgh")
        on_disk = {f"{w.path.name}" for w in self.box._waiting}
        assert {p.name for p in self.folder.glob("*.json")} == on_disk
        assert json.loads((self.folder / "state").read_bytes())["number"] >= self.highest


def as_often(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


def test_whatever_is_done_and_wherever_it_crashes_it_holds_what_a_list_would():
    run_state_machine_as_test(OutboxModel, settings=as_often(10))


@pytest.mark.slow
def test_the_same_many_times_over():
    run_state_machine_as_test(OutboxModel, settings=as_often(150))
