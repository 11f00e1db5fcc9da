"""The log's reader may go away; the program goes on, and can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_signal_ends_mooring_although_nobody_reads_its_log_any_more(
    tmp_path: Path, style: str
) -> None:
    command = [sys.executable, "-m", "mooring", "up", "--port", "0", "--data-dir", str(tmp_path)]
    # Buffered as it is for a user, so that something waits to be written when the reader has gone.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    process = subprocess.Popen(
        [*command, "--every", "0.1", "--log-format", style, "--log-level", "debug"],
        stdout=subprocess.PIPE,
        stderr=write,
        env=environment,
    )
    os.close(write)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Mooring ")
        os.close(read)
        time.sleep(0.5)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None
