"""A server of calls that is killed at a chosen moment of its Nth call; started again it goes on.

Words: the listening socket's descriptor, a folder, which call, and the moment: ``begun`` (it is
kept, and nothing is done), ``done`` (all but the answer) or ``answered``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mooring.can import serve
from mooring.can.protocol import Call
from mooring.can.unanswered import Unanswered
from mooring.core.lines import Lines

descriptor, folder, which, moment = (
    int(sys.argv[1]),
    Path(sys.argv[2]),
    int(sys.argv[3]),
    sys.argv[4],
)
count = folder / "count"
real = Path.unlink


def note(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def die(at: str) -> None:
    if at == moment and count.exists() and count.stat().st_size == which:
        note(count, ".")
        os.kill(os.getpid(), signal.SIGKILL)


def answer(call: Call) -> Mapping[str, Any]:
    note(count, ".")
    die("begun")
    note(folder / "done", f"{call.verb} {call.endpoint}\n")
    die("done")
    return {"Endpoint": call.endpoint}


def unlink(path: Path, missing_ok: bool = False) -> None:
    # The call's file goes once it is answered.
    die("answered")
    real(path, missing_ok)


Path.unlink = unlink  # type: ignore[method-assign]
log = Lines("debug")
calls = Unanswered(folder / "calls", "this boot", log)
serve.serve(socket.socket(fileno=descriptor), answer, calls, log)
