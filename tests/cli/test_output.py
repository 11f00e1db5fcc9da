"""What a command prints: help, what is wrong with its words, to a reader who goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MOORING = [sys.executable, "-m", "mooring"]


@pytest.mark.parametrize("words", [["can", "install", "--dry-run"], ["--help"], ["openapi"]])
def test_a_reader_who_has_seen_enough_is_no_fault_to_be_told(words: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [*MOORING, *words],
        env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert ran.stderr == ""
    assert ran.returncode == 1


def said(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MOORING, *words], text=True, capture_output=True, check=False)


@pytest.mark.parametrize("group", ["", "can", "keys", "users", "forward service"])
def test_a_group_of_commands_alone_says_which_there_are(group: str) -> None:
    ran = said(*group.split())
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"Usage: mooring {group}".rstrip().lower() in ran.stdout.lower()
    assert said(*group.split(), "--help").stdout == ran.stdout


@pytest.mark.parametrize(
    ("words", "why", "where"),
    [
        ("discover 10.0.0.0/24", "there is no place for '10.0.0.0/24'", "discover"),
        ("discover --scan", "--scan requires an argument", "discover"),
        ("users create", "NAME requires an argument", "users create"),
        ("keys rotate", "PREFIX requires an argument", "keys rotate"),
        ("discover --fulll", "Did you mean --full?", "discover"),
        ("discover --scan 10.0.0.0/24 --rate 0", "Must be >= 1", "discover"),
        ("forward wait", "PLACE|CONTAINER requires an argument", "forward wait"),
    ],
)
def test_words_that_can_not_be_read_are_told_in_a_line_with_where_to_look(
    words: str, why: str, where: str
) -> None:
    ran = said(*words.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    first, second = ran.stderr.splitlines()
    assert first.startswith("mooring: reading the command line: ")
    assert why in first
    assert second == f"  `mooring {where} --help` says what it takes"


def test_ctrl_c_while_a_command_is_loaded_ends_it_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("raise KeyboardInterrupt\n")
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run(
        [*MOORING, "discover"], env=where, text=True, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")
