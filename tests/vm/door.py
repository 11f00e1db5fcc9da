"""Inside the machine: runs what is asked over a virtio port. JSON lines, several at once.

``{"id", "run": [...], "given", "within"}`` in; ``{"id", "code", "out", "err"}`` out, when it ended.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

PORT = Path("/dev/virtio-ports/lab")


def run(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        ran = subprocess.run(
            asked["run"], input=asked["given"], capture_output=True, text=True, errors="replace",
            timeout=asked["within"], check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        out = (late.stdout or b"").decode(errors="replace")
        return {"code": -1, "out": out, "err": f"not ended within {asked['within']} s"}
    except OSError as error:
        return {"code": 127, "out": "", "err": str(error)}
    return {"code": ran.returncode, "out": ran.stdout, "err": ran.stderr}


def main() -> None:
    port = PORT.open("r+b", buffering=0)
    writing = threading.Lock()

    def say(what: dict[str, Any]) -> None:
        data = json.dumps(what).encode() + b"\n"
        with writing:
            while data:
                data = data[port.write(data) :]

    def answer(asked: dict[str, Any]) -> None:
        say({"id": asked["id"], **run(asked)})

    say({"id": 0})
    rest = b""
    while True:
        more = port.read(65536)
        if not more:
            # Nobody has opened the other end.
            time.sleep(0.05)
            continue
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
