"""Calls that Docker repeats without their body, after the process that had them was killed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mooring.can.unanswered import Unanswered
from mooring.core.lines import Lines

JOIN, LEAVE = "/NetworkDriver.Join", "/NetworkDriver.Leave"


def process(folder: Path, boot: str = "this boot") -> Unanswered:
    """As a process that starts finds it."""
    return Unanswered(folder / "calls", boot, Lines("error", stream=io.StringIO()))


def begin(folder: Path, verb: str, body: bytes) -> None:
    """A call that begins, in a process that is killed before it has answered."""
    process(folder).kept(verb, body).__enter__()


def test_a_call_without_its_body_is_the_one_that_was_lost(tmp_path: Path) -> None:
    begin(tmp_path, JOIN, b"one")
    with process(tmp_path).kept(JOIN, b"") as body:
        assert body == b"one"


def test_who_is_killed_at_it_again_knows_it_again(tmp_path: Path) -> None:
    begin(tmp_path, JOIN, b"one")
    begin(tmp_path, JOIN, b"")
    with process(tmp_path).kept(JOIN, b" \n") as body:
        assert body == b"one"


def test_a_call_that_was_answered_is_no_answer_to_another(tmp_path: Path) -> None:
    with process(tmp_path).kept(JOIN, b"one") as body:
        assert body == b"one"
    with process(tmp_path).kept(JOIN, b"") as body:
        assert body == b""
    begin(tmp_path, JOIN, b"two")
    later = process(tmp_path)
    with later.kept(JOIN, b""):
        pass
    with later.kept(JOIN, b"") as body:
        assert body == b""


def test_of_two_lost_calls_the_newer_one_is_repeated_first(tmp_path: Path) -> None:
    first = process(tmp_path)
    first.kept(JOIN, b"answered in the moment of the kill").__enter__()
    first.kept(JOIN, b"one").__enter__()
    first.kept(LEAVE, b"two").__enter__()
    later = process(tmp_path)
    with later.kept(JOIN, b"") as body:
        assert body == b"one"
    with later.kept(LEAVE, b"") as body:
        assert body == b"two"


def test_a_call_whose_answer_nobody_read_is_asked_again(tmp_path: Path) -> None:
    only = process(tmp_path)
    with pytest.raises(BrokenPipeError), only.kept(JOIN, b"one"):
        raise BrokenPipeError
    with only.kept(JOIN, b"") as body:
        assert body == b"one"


def test_calls_of_before_the_boot_and_half_files_are_forgotten(tmp_path: Path) -> None:
    begin(tmp_path, JOIN, b"one")
    (tmp_path / "calls" / "half.new").write_bytes(b'{"boot')
    with process(tmp_path, "the next boot").kept(JOIN, b"") as body:
        assert body == b""
    assert list((tmp_path / "calls").iterdir()) == []


def test_without_a_folder_calls_are_served_all_the_same() -> None:
    with process(Path("/nowhere")).kept(JOIN, b"one") as body:
        assert body == b"one"
