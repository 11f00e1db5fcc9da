"""What a command prints, to a reader who goes away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["can", "install", "--dry-run"], ["--help"], ["openapi"]])
def test_a_reader_who_has_seen_enough_is_no_fault_to_be_told(words: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "mooring", *words],
        env=environment, stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert ran.stderr == ""
    assert ran.returncode == 1
