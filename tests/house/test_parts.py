"""A missing part skips a test with its reason, and fails it where nothing may be missing."""

from __future__ import annotations

import pytest

from tests import parts


def missing() -> str:
    raise parts.Missing("there is no such thing on this machine")


@pytest.fixture(autouse=True)
def one_part_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts.PARTS, "a unicorn", missing)
    monkeypatch.setitem(parts.PARTS, "a file", lambda: "/etc/hosts")
    monkeypatch.delenv("CI", raising=False)


def test_a_part_that_is_here_is_said_where() -> None:
    assert parts.need("a file") == "/etc/hosts"


def test_a_missing_part_skips_the_test_and_says_why() -> None:
    with pytest.raises(pytest.skip.Exception, match="needs a unicorn: there is no such thing"):
        parts.need("a unicorn")


def test_a_missing_part_fails_the_test_where_all_must_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs a unicorn: there is no such thing"):
        parts.need("a unicorn")


def test_a_misspelt_part_is_not_skipped_for_ever() -> None:
    with pytest.raises(ValueError, match="no such part: 'dokcerd'"):
        parts.need("dokcerd")
