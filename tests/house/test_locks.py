"""The lock files: every package at one version, by its hash, from whichever index."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
LOCKS = sorted((TOP / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)


def pins(lock: Path) -> dict[tuple[str, str], str]:
    return {(name, marker): version for name, version, marker in PINNED.findall(lock.read_text())}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_by_hash_and_names_no_index(lock: Path) -> None:
    entries = [line for line in lock.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    assert entries
    assert len(entries) == len(pins(lock))
    assert lock.read_text().count("--hash=sha256:") >= len(entries)
    assert "://" not in lock.read_text()


def test_what_runs_and_what_is_developed_with_have_the_same_versions() -> None:
    development = pins(TOP / "requirements" / "dev.txt")
    for name in ("run.txt", "build.txt"):
        lock = pins(TOP / "requirements" / name)
        assert lock.items() <= development.items()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    locked = {name for name, _ in pins(TOP / "requirements" / "run.txt")}
    for dependency in project["project"]["dependencies"]:
        name = re.split(r"[\[<>=~!]", dependency)[0].lower()
        assert name in locked
    locked = {name for name, _ in pins(TOP / "requirements" / "dev.txt")}
    for dependency in project["dependency-groups"]["dev"]:
        name = re.split(r"[\[<>=~!]", dependency)[0].lower()
        assert name in locked


def test_the_pages_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    text = (TOP / "web" / "package-lock.json").read_text()
    lock = json.loads(text)
    assert lock["packages"]
    for path, package in lock["packages"].items():
        if path and not package.get("inBundle"):
            assert package["integrity"].startswith("sha512-"), path
            assert "resolved" not in package, path
