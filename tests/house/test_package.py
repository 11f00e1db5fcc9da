"""The package: it holds the page, or it is not built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGE = Path("mooring", "server", "page")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a package is made from, with a page that was built."""
    leave = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(TOP / "mooring", tmp_path / "mooring", ignore=leave)
    shutil.copytree(TOP / "tools", tmp_path / "tools", ignore=leave)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(TOP / name, tmp_path)
    (tmp_path / "README.md").write_text("# Mooring\n")
    # What git ignores, as the page is, is left out of a package unless it is asked for.
    shutil.copy(TOP / ".gitignore", tmp_path)
    shutil.rmtree(tmp_path / PAGE, ignore_errors=True)
    (tmp_path / PAGE / "assets").mkdir(parents=True)
    (tmp_path / PAGE / "index.html").write_text("<!doctype html>")
    (tmp_path / PAGE / "assets" / "app.js").write_text("export {}")
    return tmp_path


def build(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    program = f"import hatchling.build as b; print(b.build_{what}('out'))"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_wheel_holds_the_page_and_the_code(copy: Path) -> None:
    built = build(copy, "wheel")
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(copy.glob("out/*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {
        "mooring/server/page/index.html",
        "mooring/server/page/assets/app.js",
        "mooring/py.typed",
        "mooring/server/db/migrations/versions/0001_first.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "web/", "tools/"))]


def test_a_source_package_holds_the_page_and_what_builds_it_again(copy: Path) -> None:
    built = build(copy, "sdist")
    assert built.returncode == 0, built.stderr
    with tarfile.open(next(copy.glob("out/*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "mooring/server/page/index.html",
        "tools/hatch_build.py",
        "pyproject.toml",
        "LICENSE",
    } <= names


@pytest.mark.parametrize("what", ["wheel", "sdist"])
def test_no_package_is_built_without_the_page(copy: Path, what: str) -> None:
    shutil.rmtree(copy / PAGE)
    built = build(copy, what)
    assert built.returncode != 0
    assert "the page's assets are missing" in built.stderr
    assert "make web" in built.stderr
    assert not list(copy.glob("out/mooring-*"))


def test_an_editable_install_may_come_before_the_page(copy: Path) -> None:
    shutil.rmtree(copy / PAGE)
    built = build(copy, "editable")
    assert built.returncode == 0, built.stderr
