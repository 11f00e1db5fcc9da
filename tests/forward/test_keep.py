"""What is kept of a host outlives a crash at any moment, and stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.core.errors import MooringError
from mooring.forward import keep
from mooring.forward.address import parse
from mooring.forward.keep import MAX_HISTORY, MAX_RECORDS, MAX_STICKY, Keep, folder_of
from mooring.model.forward import Moment, StreamRecord

RECORD = StreamRecord(1.0, 2.0, None, 3, 4.0, 5.0, True, 0, "stop")


def test_what_was_saved_is_there_for_the_next(tmp_path: Path) -> None:
    first = Keep(tmp_path / "host", "ssh://host")
    first.since = 1_700_000_000_000_000_001
    first.stick({("web", "tcp", 80): 49153})
    first.record(RECORD)
    first.note(Moment(1.0, "opened", "127.0.0.1:80/tcp", "web"))
    first.save()
    again = Keep(tmp_path / "host")
    assert again.since == 1_700_000_000_000_000_001
    assert again.sticky == {("web", "tcp", 80): 49153}
    assert list(again.records) == [RECORD]
    assert list(again.history) == [Moment(1.0, "opened", "127.0.0.1:80/tcp", "web")]


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    kept.stick({})
    assert kept.changes() is None
    kept.save()
    assert not kept.file.exists()


def test_a_half_written_file_of_a_crashed_predecessor_is_cleaned_up(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    kept.note(Moment(1.0, "opened"))
    kept.save()
    (tmp_path / "kept.new").write_text('{"since": 12')
    assert list(Keep(tmp_path).history) == [Moment(1.0, "opened")]
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"since": "x"}', b"\xff\xfe"])
def test_an_unreadable_file_is_set_aside_and_does_not_keep_us_from_starting(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "kept.json").write_bytes(content)
    assert Keep(tmp_path).since is None
    assert (tmp_path / "kept.bad").read_bytes() == content


def test_a_folder_that_cannot_be_used_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MooringError) as caught:
        Keep(tmp_path / "file" / "host")
    assert caught.value.remedy == "choose another with --state-dir"


def test_everything_is_bounded(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    for number in range(MAX_HISTORY + 10):
        kept.note(Moment(float(number), "opened"))
        kept.record(RECORD)
    kept.stick({("web", "tcp", n): n for n in range(MAX_STICKY + 10)})
    assert len(kept.history) == MAX_HISTORY
    assert kept.history[-1].at == MAX_HISTORY + 9
    assert len(kept.records) == MAX_RECORDS
    assert len(kept.sticky) == MAX_STICKY
    assert ("web", "tcp", MAX_STICKY + 9) in kept.sticky


def test_what_changes_while_it_is_written_is_written_the_next_time(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    kept.note(Moment(1.0, "opened"))
    write = kept.changes()
    kept.note(Moment(2.0, "closed"))
    assert write
    write()
    assert len(Keep(tmp_path).history) == 1
    kept.save()
    assert len(Keep(tmp_path).history) == 2


def test_a_late_writer_does_not_put_older_things_over_newer_ones(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    kept.note(Moment(1.0, "opened"))
    late = kept.changes()
    kept.note(Moment(2.0, "closed"))
    kept.save()
    assert late
    late()
    assert len(Keep(tmp_path).history) == 2


def test_a_disk_that_is_full_now_is_tried_again_later(tmp_path: Path) -> None:
    kept = Keep(tmp_path)
    kept.note(Moment(1.0, "opened"))
    kept.file.with_suffix(".new").mkdir()
    with pytest.raises(OSError, match=r"kept\.new"):
        kept.save()
    kept.file.with_suffix(".new").rmdir()
    kept.save()
    assert list(Keep(tmp_path).history) == [Moment(1.0, "opened")]


def test_a_reader_beside_it_sees_every_host_and_changes_nothing(tmp_path: Path) -> None:
    for name in ("ssh://a", "ssh://b:22"):
        kept = Keep(folder_of(tmp_path, parse(name)), name)
        kept.note(Moment(1.0, "opened"))
        kept.save()
    left = tmp_path / "hosts" / "a" / "kept.new"
    left.write_text("")
    found = keep.read(tmp_path)
    assert [each.host for each in found] == ["ssh://a", "ssh://b:22"]
    assert found[0].history == (Moment(1.0, "opened"),)
    assert left.exists()
    assert keep.read(tmp_path / "nothing here") == []


def test_a_hosts_folder_is_known_by_its_name_and_stays_in_its_place(tmp_path: Path) -> None:
    def name(address: str) -> str:
        return folder_of(tmp_path, parse(address)).relative_to(tmp_path).as_posix()

    assert name("ssh://deploy@build.example:2222") == "hosts/deploy@build.example_2222"
    assert name("ssh://[2001:db8::1]") == "hosts/_2001_db8__1_"
