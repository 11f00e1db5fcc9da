"""``mooring forward service``: runs the forwards from log-in, or start, on: systemd, launchd."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from mooring.cli.forward.options import NONE, Options, StateDir, state_folder, wanted
from mooring.core.errors import MooringError, UsageError, why_os
from mooring.forward import service as files

app = App(name="service", help="Run the forwards as a service of this user.")

DryRun = Annotated[bool, Parameter(negative="", help="Only print what would be written and run.")]
_TAKEN_ALONG = ("DOCKER_CONFIG", "MOORING_DATA_DIR", "MOORING_LOG_LEVEL", "XDG_DATA_HOME")


@dataclass(frozen=True, slots=True)
class Manager:
    """Who runs services here: the file that tells it of ours, and what is run."""

    file: Path
    up: tuple[tuple[str, ...], ...]
    down: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...] = ()
    """Run when the file is gone."""


def _manager() -> Manager:
    if sys.platform == "darwin":
        file = Path.home() / "Library" / "LaunchAgents" / files.AGENT
        domain = f"gui/{os.getuid()}"
        out = ("launchctl", "bootout", f"{domain}/{files.LABEL}")
        return Manager(file, (("launchctl", "bootstrap", domain, str(file)),), (out,))
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    user = ("systemctl", "--user")
    return Manager(
        config / "systemd" / "user" / files.UNIT,
        ((*user, "daemon-reload"), (*user, "enable", files.UNIT), (*user, "restart", files.UNIT)),
        ((*user, "disable", "--now", files.UNIT),),
        ((*user, "daemon-reload"),),
    )


@app.command
def install(
    *hosts: Annotated[str, Parameter(help="The remote hosts, as of `mooring forward run`.")],
    options: Options = NONE,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
) -> None:
    """Write the service's file, and start it now and at every log-in.

    systemd's journal keeps its log within bounds; under launchd it keeps a log of at most 10 MiB
    itself, in the state folder.
    """
    chosen = wanted(hosts, options)
    if chosen.server and not chosen.key_file:
        raise UsageError(
            f"installing a service that reports to {chosen.server}",
            "there is no key file, and a service does not have your environment",
            "write the key to a file that is yours alone (chmod 600), and name --key-file FILE",
        )
    folder = state_folder(state_dir)
    manager = _manager()
    text = _text(hosts, options, folder)
    if dry_run:
        print(f"# {manager.file}\n{text}")
        for command in manager.up:
            print(f"# {shlex.join(command)}")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = manager.file.read_text() if manager.file.exists() else None
        _write(manager.file, text)
    except OSError as error:
        raise MooringError(f"writing {manager.file}", why_os(error), "see --dry-run") from error
    print(f"wrote {manager.file}")
    try:
        for command in manager.up:
            _do(command)
    except MooringError as error:
        # What could not be started now shall not start by itself some day.
        _restore(manager.file, before)
        raise MooringError(error.attempted, error.why, f"{error.remedy}; {_UNCHANGED}") from error
    _say_more()


_UNCHANGED = "nothing was installed"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


def _restore(file: Path, before: str | None) -> None:
    try:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, before)
    except OSError as error:
        raise MooringError(f"taking {file} back", why_os(error), f"remove it: {file}") from error


@app.command
def uninstall(*, dry_run: DryRun = False) -> None:
    """Stop the service and remove its file; what the forwards remember stays."""
    manager = _manager()
    if dry_run:
        for command in manager.down:
            print(f"# {shlex.join(command)}")
        print(f"# rm {manager.file}")
        return
    if not manager.file.exists():
        raise UsageError("removing the service", f"there is no {manager.file}", "nothing to do")
    failed = None
    for command in manager.down:
        try:
            _do(command)
        except MooringError as error:
            # The file goes in any case: it must not start again at the next log-in.
            failed = error
    try:
        manager.file.unlink()
    except OSError as error:
        raise MooringError(f"removing {manager.file}", why_os(error)) from error
    print(f"removed {manager.file}")
    for command in manager.after:
        _do(command)
    if failed:
        raise failed


def _text(hosts: Sequence[str], options: Options, folder: Path) -> str:
    command = [sys.executable, "-m", "mooring", "forward", "run", *_arguments(hosts, options)]
    command += ["--state-dir", str(folder)]
    environment = {name: os.environ[name] for name in _TAKEN_ALONG if os.environ.get(name)}
    if sys.platform == "darwin":
        command += ["--log-file", str(folder / "forward.log")]
        # launchd starts with a bare PATH; ProxyCommand and the like come from anywhere.
        environment["PATH"] = os.environ.get("PATH", os.defpath)
        return files.launchd_plist(command, environment)
    try:
        return files.systemd_unit(command, environment)
    except ValueError as error:
        raise UsageError("writing the service's file", str(error)) from None


def _arguments(hosts: Sequence[str], options: Options) -> list[str]:
    """The command line that says the same again, from wherever it is run."""
    words = [*hosts]
    for name, value in vars(options).items():
        if value == getattr(NONE, name):
            continue
        option = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, tuple) else (value,):
            words += [option, str(each.expanduser().absolute() if isinstance(each, Path) else each)]
    return words


def _do(command: Sequence[str]) -> None:
    shown = shlex.join(command)
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MooringError(
            f"running {shown}", why_os(error), "start it by other means: mooring forward run …"
        ) from error
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or [f"status {ran.returncode}"]
        raise MooringError(f"running {shown}", said[0], _what_helps(said[0], shown))
    print(f"ran {shown}")


def _what_helps(said: str, shown: str) -> str:
    if re.search(r"\bbus\b|XDG_RUNTIME_DIR", said):
        # sudo, su and cron start without systemd's instance of the user.
        user, number = os.environ.get("USER") or str(os.getuid()), os.getuid()
        return (
            f"this session has no systemd of its user's: log in as {user} by ssh or on the screen, "
            f"or: sudo loginctl enable-linger {user}; export XDG_RUNTIME_DIR=/run/user/{number}"
        )
    return f"see what it says by itself: {shown}"


def _say_more() -> None:
    print("look at it: mooring forward status; journalctl --user -u mooring-forward -f"
          if sys.platform != "darwin" else "look at it: mooring forward status")  # fmt: skip
    if sys.platform != "darwin":
        user = os.environ.get("USER", "")
        if not Path("/var/lib/systemd/linger", user).exists():
            print(f"to have it also while you are not logged in: loginctl enable-linger {user}")
        if os.environ.get("SSH_AUTH_SOCK"):
            print("for keys of the SSH agent: systemctl --user import-environment SSH_AUTH_SOCK")
