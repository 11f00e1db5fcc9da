"""Tables for people: whatever others named is printed as it is, in any window."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest

from mooring.cli import main, tables
from mooring.cli.scan import Collected, _print
from mooring.discovery.scan.events import Found, HostDone, HostFound, Warned
from mooring.discovery.scan.plan import Plan

# The whole of main() is called, which reads the words from sys.argv as it always does.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

MAC = "02:ab:00:cd:0a:01"
HOST = ipaddress.ip_address("fd00:100:a:b:cd:ab:1:ffff")


def printed(capsys: pytest.CaptureFixture[str], *, ports_asked: bool = True) -> list[str]:
    """The lines about a scan that found a host with a port, and warned."""
    found = Collected(ports_asked=ports_asked)
    found.take(HostFound(Found(HOST, signs=("arp", "tcp"), mac=MAC)))
    found.take(HostDone(HOST, (11211,) if ports_asked else ()))
    found.take(Warned("reading the catalogue [a", "'[/unclosed' is no pattern", "mend [b]it[/b]"))
    _print(Plan(()), found, with_services=ports_asked)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 200, None])
def test_an_address_is_printed_as_it_is_in_any_window(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys)
    assert all(len(line.rstrip()) <= (width or 1000) for line in lines)
    (line,) = [line for line in lines if line.startswith(str(HOST))]
    assert line.split()[:2] == [str(HOST), MAC]
    assert any("'[/unclosed' is no pattern" in line for line in lines)
    assert "  mend [b]it[/b]" in lines


def test_into_a_pipe_each_row_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    made = tables.table("service")
    tables.add(made, "likely " + "one or another of them, " * 20)
    tables.console().print(made)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_scan_that_looked_at_no_port_counts_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ports_asked=False)
    assert lines[0].split() == ["address", "MAC", "by"]
    assert any(re.fullmatch(r"ended early: 1 host, 0\.0 s", line) for line in lines)


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["mooring", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


@pytest.mark.parametrize("name", ["[/x] of [red]", ":ab: \\[a"])
def test_whatever_a_key_or_a_user_is_called_it_is_listed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("MOORING_DATABASE_URL", raising=False)
    for words in (["keys", "create", "--name"], ["users", "create"]):
        called(monkeypatch, *words, name)
    for what in ("keys", "users"):
        capsys.readouterr()
        called(monkeypatch, what, "list")
        assert name in capsys.readouterr().out
