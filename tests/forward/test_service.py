"""The files by which systemd and launchd run the forwards."""

from __future__ import annotations

import configparser
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from mooring.forward.service import UNIT, launchd_plist, systemd_unit

COMMAND = ["/opt/a folder/python", "-m", "mooring", "forward", "run", "ssh://deploy@[fd00::1]:22"]


def unit(*more: str, **environment: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(systemd_unit([*COMMAND, *more], environment))
    assert parser["Install"]["WantedBy"] == "default.target"
    return parser["Service"]


def test_a_unit_runs_the_command_and_starts_it_again() -> None:
    service = unit()
    assert service["ExecStart"] == (
        '"/opt/a folder/python" -m mooring forward run ssh://deploy@[fd00::1]:22'
    )
    assert service["Restart"] == "always"


def test_a_wrong_command_line_is_not_tried_again_for_ever() -> None:
    assert unit()["RestartPreventExitStatus"] == "2"


def test_a_unit_has_its_log_bounded() -> None:
    assert int(unit()["LogRateLimitBurst"]) <= 1000


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("", '""'),
        ("web-*", '"web-*"'),
        ("it's", '"it\'s"'),
        (";", '";"'),
    ],
)
def test_words_are_written_as_systemd_reads_them(word: str, written: str) -> None:
    assert unit(word)["ExecStart"].endswith(f" {written}")


def test_a_line_break_can_not_smuggle_another_setting_in() -> None:
    with pytest.raises(ValueError, match="line break"):
        unit("x\nExecStartPost=/bin/evil")


def test_the_environment_is_taken_along() -> None:
    assert unit(MOORING_LOG_LEVEL="debug")["Environment"] == "MOORING_LOG_LEVEL=debug"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    file = tmp_path / UNIT
    file.write_text(systemd_unit(["/bin/true", "50%", "$x", 'a "b"'], {"A": "b c"}))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--user", file], capture_output=True, text=True, check=False
    )
    assert UNIT not in checked.stderr, checked.stderr


def test_a_launch_agent_runs_the_command_and_lets_no_file_grow() -> None:
    agent = plistlib.loads(launchd_plist(COMMAND, {"A": "b"}).encode())
    assert agent["ProgramArguments"] == COMMAND
    assert agent["EnvironmentVariables"] == {"A": "b"}
    assert agent["RunAtLoad"] is agent["KeepAlive"] is True
    assert agent["StandardErrorPath"] == "/dev/null"
