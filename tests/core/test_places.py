from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.core.errors import MooringError, UsageError
from mooring.core.places import default_data_dir, make_folder, only_one

HOLDER = """
import sys, time
from pathlib import Path
from mooring.core.places import only_one
with only_one(Path(sys.argv[1]), "agent"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_data_folder_is_where_xdg_says(tmp_path):
    assert default_data_dir({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "mooring"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_a_data_home_that_is_no_absolute_path_is_ignored_as_xdg_asks(value, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = tmp_path / ".local" / "share" / "mooring"
    assert default_data_dir({"XDG_DATA_HOME": value}) == wanted


def test_a_user_without_a_home_folder_is_told_to_name_a_data_folder(monkeypatch):
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(UsageError, match="--data-dir"):
        default_data_dir({})


def test_a_folder_is_made_with_its_parents_for_its_owner_only(tmp_path):
    made = make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert made.stat().st_mode & 0o777 == 0o700
    assert list(made.iterdir()) == []


def test_a_folder_that_is_there_is_taken_as_it_is(tmp_path):
    (tmp_path / "kept").write_text("x")
    assert make_folder(tmp_path) == tmp_path
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_the_place_of_the_folder_is_an_error_that_says_so(below, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(MooringError, match="is a file"):
        make_folder(file / below)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise OSError(30, os.strerror(30), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(MooringError, match="read-only file system") as told:
        make_folder(tmp_path)
    assert str(tmp_path) in told.value.attempted
    assert "--data-dir" in told.value.remedy


def test_a_second_process_is_told_which_one_has_the_folder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        try:
            assert holder.stdout.readline() == "held\n"
            with (
                pytest.raises(MooringError, match=f"process {holder.pid}"),
                only_one(tmp_path, "agent"),
            ):
                pass
            with only_one(tmp_path, "server"):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    with only_one(tmp_path, "agent"):
        assert (tmp_path / "agent.lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_is_let_go_at_the_end(tmp_path):
    for _ in range(2):
        with only_one(tmp_path, "agent"):
            pass


def test_a_folder_of_another_option_names_that_option(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(MooringError, match=r"using the state folder") as caught:
        make_folder(tmp_path / "a file" / "below", "--state-dir")
    assert "--state-dir" in caught.value.remedy
