"""The catalogue: what is read, what is refused and how that is said, and whose entry stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.core.errors import UsageError
from mooring.discovery.catalogue import BadEntry, load, users_folders
from mooring.discovery.catalogue.pattern import BadPattern, read_pattern
from mooring.discovery.catalogue.reader import read
from mooring.discovery.seen import BOUNDS, Sight
from mooring.model.service import Means

GOOD = """\
[[service]]
name = "grafana"
title = "Grafana"
category = "monitoring"
ports = [3000]

[[service.match]]
means = "http_title"
pattern = '^Grafana$'
confidence = 0.9

[[service]]
name = "other"
title = "Other"
category = "web"

[[service.match]]
means = "http_header"
header = "X-Other"
confidence = 0.8

[[service.match]]
means = "http_body"
pattern = 'other'
confidence = 0.2
"""


def with_line(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_an_entry_is_read_as_it_is_written() -> None:
    grafana, other = read(GOOD, "mine.toml")
    assert (grafana.name, grafana.title, grafana.ports) == ("grafana", "Grafana", (3000,))
    assert grafana.source == "mine.toml:1"
    assert [m.means for m in other.matches] == [Means.HTTP_HEADER, Means.HTTP_BODY]
    assert other.matches[0].of == "x-other"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pattern = '^Grafana$'", "pattern = '^Grafana($'", "a regular expression"),
        ("pattern = 'other'", "pattern = '(o+)+ther'", "a regular expression"),
        ("pattern = 'other'", "pattern = 'o.*ther'", "a regular expression"),
        ("pattern = 'other'", "pattern = 7", "a regular expression"),
        ("confidence = 0.2", "confidence = 2", "a number above 0, at most 1"),
        ("confidence = 0.2", "confidence = true", "a number above 0, at most 1"),
        ("confidence = 0.2", 'confidence = 0.2\nheader = "x"', "one of means, pattern"),
        ('means = "http_body"', 'means = "smell"', "one of banner"),
        ('means = "http_body"', 'means = "port"', "one of banner"),
        ('means = "http_body"', 'means = "banner"\nquestion = "why"', "one of afp"),
        ('means = "http_body"', 'means = "http_body"\npath = "api"', "a path that begins with /"),
        ('header = "X-Other"', "header = 1", "the name of the header"),
        ("ports = [3000]", "ports = [0]", "a list of ports"),
        ("ports = [3000]", "ports = 3000", "a list of ports"),
        ("ports = [3000]", "ports = [3000]\ncolour = 1", "one of name, title"),
        ("ports = [3000]", "ports = [3000]\ngeneric = 1", "true or false"),
        ("ports = [3000]", 'ports = [3000]\ninstead_of = ["A B"]', "a list of names"),
        ('name = "other"', 'name = "Other One"', "lower case letters"),
        ('title = "Other"', 'title = ""', "a text of 1 to 80 characters"),
        ('category = "web"', 'category = "stuff"', "one of access"),
        ('category = "web"', "category = ;", "a TOML file"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_what_was_expected(
    old: str, new: str, expected: str
) -> None:
    text = with_line(old, new)
    with pytest.raises(BadEntry) as raised:
        read(text, "mine.toml")
    wrong = new.splitlines()[-1]
    assert raised.value.attempted == (
        f"reading the catalogue mine.toml, line {line_of(text, wrong)}"
    )
    assert expected in raised.value.remedy


def test_a_mistake_in_matches_that_are_written_inline_has_its_line_too() -> None:
    text = """\
[[service]]
name = "a"
title = "A"
category = "web"
match = [
  { means = "image", pattern = '^a$', confidence = 0.9 },
  { means = "image", pattern = '^b(', confidence = 0.9 },
]
"""
    with pytest.raises(BadEntry, match="line 7"):
        read(text, "mine.toml")


def test_a_service_without_a_match_is_a_mistake() -> None:
    with pytest.raises(BadEntry, match="at least one"):
        read('[[service]]\nname = "a"\ntitle = "A"\ncategory = "web"\n', "mine.toml")


def test_our_own_entries_are_right_and_many() -> None:
    loaded = load()
    assert not loaded.left_out
    assert len(loaded.catalogue.entries) >= 120


def test_a_light_scan_asks_for_the_ports_of_most_services_first() -> None:
    ports = load().catalogue.light_ports
    assert ports[:2] == (80, 443)
    assert {22, 53, 25, 21} <= set(ports[:30])
    assert len(ports) == len(set(ports))


def test_a_users_entry_takes_the_place_of_ours_and_a_later_folders_of_both(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mine.toml").write_text(GOOD.replace('"Grafana"', f'"My Grafana {number}"'))
    one = load([tmp_path / "1"]).catalogue.entries
    both = load([tmp_path / "1", tmp_path / "2"]).catalogue.entries
    assert one["grafana"].title == "My Grafana 1"
    assert both["grafana"].title == "My Grafana 2"
    assert "openssh" in both


@pytest.mark.parametrize("content", [b"[[service]]\nname = 1\n", b"\xff\xfe", b"#" * 2_000_000])
def test_a_users_file_with_a_mistake_costs_only_itself(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    (tmp_path / "good.toml").write_text(GOOD)
    loaded = load([tmp_path])
    assert loaded.catalogue.entries["other"].title == "Other"
    assert [str(tmp_path / "bad.toml") in str(error) for error in loaded.left_out] == [True]


def test_the_users_folders_are_the_systems_the_homes_and_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    home = tmp_path / "config" / "mooring" / "catalogue"
    named = tmp_path / "named"
    home.mkdir(parents=True)
    named.mkdir()
    found = users_folders(named, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert found[-2:] == (home, named)
    with pytest.raises(UsageError, match="there is no such folder"):
        users_folders(tmp_path / "nowhere", {})


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*b", "(a|a)*b", "(a|aa)+$", "a*a*a*a*b", "(.*a){20}", "(?:x+x+)+y",
        r"([\w.]+)+@", "a.*b.*c.*d", "^(a?){60}a{60}", "x" * 501, "(?i:(a+)+)",
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        read_pattern(pattern, BOUNDS[Means.HTTP_BODY])


@pytest.mark.parametrize(
    "pattern",
    [
        r'<meta name="generator" content="WordPress (?P<version>[\d.]{1,20})"',
        r'"database":\s{0,4}"ok".{0,80}"version":\s{0,4}"(?P<version>[\w.+-]{1,30})"',
        r"<title>[^<]{0,200}</title>", "^Ok\\.\n$", "window.(grafana|jenkins)BootData", "",
    ],
)  # fmt: skip
def test_a_pattern_with_bounds_is_taken(pattern: str) -> None:
    assert read_pattern(pattern, BOUNDS[Means.HTTP_BODY]).text == pattern


def test_a_pattern_with_what_only_a_later_engine_has_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mooring.discovery.catalogue.pattern._AT_MOST_ONE", frozenset())
    with pytest.raises(BadPattern, match="not known: it has a part of the kind LITERAL"):
        read_pattern("grafana", BOUNDS[Means.HTTP_TITLE])


pieces = st.sampled_from(
    ["a", "ab", "[ab]", "[^b]", r"\w", r"\d", ".", "a?", "b{0,5}", "a+", ".*", "(a|b)", "(ab|b)",
     "(?:ab)?", "^", "$", "(a{1,3}b)", "(?=a)", "é", r"\s{0,4}"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(pieces, max_size=6).map("".join), st.text("abAB1 é<", max_size=30))
def test_looking_for_a_part_first_hides_no_match(text: str, seen: str) -> None:
    try:
        pattern = read_pattern(text, BOUNDS[Means.HTTP_TITLE])
    except BadPattern:
        return
    found = pattern.search(Sight(Means.HTTP_TITLE, seen))
    plainly = re.search(text, seen, re.IGNORECASE | re.DOTALL)
    assert (found and found.span()) == (plainly and plainly.span())


@settings(deadline=None, max_examples=60)
@given(st.lists(pieces, max_size=6).map("".join))
def test_what_is_taken_ends_on_the_worst_of_texts(text: str) -> None:
    # No limit of time here: a pattern that explodes would hold this test beyond its own.
    try:
        pattern = read_pattern(text, BOUNDS[Means.BANNER])
    except BadPattern:
        return
    for worst in ("a" * 4096, "ab" * 2048, "a" * 4095 + "!"):
        pattern.search(Sight(Means.BANNER, worst))
