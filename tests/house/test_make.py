"""The commands that a person types, tried in a folder with stand-ins for what they start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
MOORING = """#!/bin/sh
[ "$1" = openapi ] && { echo '{}'; exit; }
trap 'echo "ended by $1"; exit' TERM INT
echo "started $@"
while :; do sleep 0.05; done
"""
LOGGING = """#!/bin/sh
[ "$1" = -c ] || echo "$@" >>"{log}"
"""


@pytest.fixture(autouse=True)
def not_inside_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests are themselves started by make, which tells a make inside it so."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose environment and page were made already: every stamp is there and new."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(TOP / "tools", checkout / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TOP / "requirements", checkout / "requirements")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(TOP / name, checkout)
    for name in ("web/package.json", "web/package-lock.json", "web/src/main.ts"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    made = [
        ".venv/pyvenv.cfg",
        ".make/deps",
        ".make/dev",
        ".make/project",
        ".make/openapi",
        "web/openapi.json",
        "web/node_modules/.package-lock.json",
        "mooring/server/page/index.html",
    ]
    for name in made:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    programs = checkout / ".venv" / "bin"
    programs.mkdir()
    (programs / "activate").write_text(f"VIRTUAL_ENV='{checkout}/.venv'\n")
    script(programs / "mooring", MOORING)
    # What would install and build only notes that it was asked to.
    script(programs / "python", LOGGING.format(log=checkout / "log"))
    script(checkout / "tools" / "with_node", LOGGING.format(log=checkout / "log"))
    return checkout


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> str:
    """What make printed, and what it had installed and built."""
    made = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    log = folder / "log"
    return made.stdout + (log.read_text() if log.exists() else "")


def newer(folder: Path, name: str, seconds: float) -> None:
    """Make a file newer than all that was made, or as old as that."""
    when = time.time() + seconds
    os.utime(folder / name, (when, when))


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["make", "run", "ARGS=--port 9000"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_what_is_made_is_not_made_again(folder: Path) -> None:
    assert make(folder, "setup") == ""


def test_a_second_run_is_up_at_once(running: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    assert running.stdout
    assert running.stdout.readline() == "started up --port 9000\n"
    assert time.monotonic() - begun < 1.5


def test_sigterm_to_make_reaches_mooring(running: subprocess.Popen[str]) -> None:
    assert running.stdout
    running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    assert "ended by up\n" in running.stdout.read()


def test_ctrl_c_reaches_mooring(running: subprocess.Popen[str]) -> None:
    assert running.stdout
    running.stdout.readline()
    # A terminal sends it to everything that it has in front.
    os.killpg(running.pid, signal.SIGINT)
    assert "ended by up\n" in running.stdout.read()


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("requirements/run.txt", "-r requirements/run.txt"),
        ("requirements/build.txt", "-r requirements/build.txt"),
        ("pyproject.toml", "-e ."),
        ("web/package-lock.json", "npm ci"),
        ("web/src/main.ts", "npm run --silent build"),
        ("web/openapi.json", "npm run --silent gen"),
    ],
)
def test_what_changed_is_made_again(folder: Path, changed: str, again: str) -> None:
    newer(folder, changed, seconds=2)
    made = make(folder, "web")
    assert again in made
    if changed.startswith("web/"):
        assert "pip install" not in made


def test_the_page_is_not_built_again_when_the_api_says_the_same(folder: Path) -> None:
    (folder / "web" / "openapi.json").write_text("{}\n")
    newer(folder, "web/openapi.json", seconds=-2)
    code = folder / "mooring" / "server" / "api" / "hosts.py"
    code.parent.mkdir()
    code.touch()
    newer(folder, "mooring/server/api/hosts.py", seconds=2)
    assert make(folder, "web") == ""
    assert (folder / ".make" / "openapi.json").read_text() == "{}\n"


def test_the_page_is_built_again_when_the_api_says_something_else(folder: Path) -> None:
    (folder / "web" / "openapi.json").write_text("[]\n")
    newer(folder, "web/openapi.json", seconds=-2)
    newer(folder, "mooring/server/page/index.html", seconds=-1)
    code = folder / "mooring" / "server" / "api" / "hosts.py"
    code.parent.mkdir()
    code.touch()
    newer(folder, "mooring/server/api/hosts.py", seconds=2)
    assert "building the page" in make(folder, "web")
    assert (folder / "web" / "openapi.json").read_text() == "{}\n"


def test_a_machine_without_a_new_enough_python_is_told_what_to_do(
    folder: Path, tmp_path: Path
) -> None:
    shutil.rmtree(folder / ".venv")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "make", "grep", "find", "env", "awk"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    old = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n'
    script(programs / "python3", old)
    tried = subprocess.run(
        ["make", "run"],
        cwd=folder,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode != 0
    assert "needs Python 3.11 or newer" in tried.stderr
    assert "Found: Python 3.9.2" in tried.stderr


def test_a_shim_of_a_version_manager_that_refuses_is_passed_over(
    folder: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "python3", "#!/bin/sh\necho 'python3: command not found' >&2\nexit 127\n")
    (programs / "python3.12").symlink_to(sys.executable)
    found = subprocess.run(
        ["/bin/sh", "tools/find_python"],
        cwd=folder,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).exists()


def test_a_moved_checkout_gets_an_environment_of_its_own(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere")
    log = tmp_path / "log"
    python = tmp_path / "python"
    script(python, LOGGING.format(log=log))
    (moved / "tools" / "find_python").write_text(f"#!/bin/sh\necho '{python}'\n")
    subprocess.run(["tools/make_venv"], cwd=moved, capture_output=True, check=True)
    assert "-m venv --clear .venv" in log.read_text()


def test_continuous_integration_runs_all_tests_and_skips_none(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(TOP / ".ci", folder / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    script(programs / "make", '#!/bin/sh\necho "$PWD: CI=$CI make $@"\n')
    ran = subprocess.run(
        [folder / ".ci" / "run"],
        cwd=tmp_path,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == f"{folder}: CI=true make test\n"
