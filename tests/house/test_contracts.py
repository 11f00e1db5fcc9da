"""The floors are a fact: an import that goes sideways or up fails the check and is named."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PURE = re.compile(r"\bPure\b")
IMPURE = {
    "_thread", "aiodocker", "aiohttp", "aiosqlite", "alembic", "asyncio", "asyncpg", "asyncssh",
    "concurrent", "fastapi", "ftplib", "gufo", "http", "httpx", "httpx2", "multiprocessing",
    "psutil", "psycopg", "pyroute2", "requests", "select", "selectors", "signal", "smtplib",
    "socket", "socketserver", "sqlalchemy", "sqlite3", "sse_starlette", "ssl", "starlette",
    "subprocess", "telnetlib", "threading", "urllib.request", "urllib3", "uvicorn", "uvloop",
    "websockets", "xmlrpc", "zeroconf",
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to plant a fault in."""
    shutil.copytree(TOP / "mooring", tmp_path / "mooring", ignore=_only_code)
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    return tmp_path


def _only_code(folder: str, names: list[str]) -> set[str]:
    return {n for n in names if not n.endswith(".py") and not Path(folder, n).is_dir()}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-logo", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def plant(folder: Path, module: str, line: str) -> None:
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    if not file.exists():
        file = file.with_suffix("") / "__init__.py"
    file.write_text(f"{file.read_text()}\n{line}\n")


def test_the_package_keeps_its_contracts(copy: Path) -> None:
    checked = lint_imports(copy)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        ("mooring.discovery", "from mooring import server", "mooring.discovery -> mooring.server"),
        ("mooring.server", "import mooring.discovery", "mooring.server -> mooring.discovery"),
        ("mooring.core", "import mooring.discovery", "mooring.core -> mooring.discovery"),
        ("mooring.model", "import mooring.core.bus", "mooring.model -> mooring.core.bus"),
        ("mooring.core.bus", "import starlette.types", "mooring.core.bus -> starlette"),
        ("mooring.server.merge", "import fastapi", "mooring.server.merge -> fastapi"),
        ("mooring.discovery", "import sqlalchemy.sql", "mooring.discovery -> sqlalchemy"),
    ],
)
def test_a_planted_import_fails_the_check_and_is_named(
    copy: Path, module: str, line: str, named: str
) -> None:
    plant(copy, module, line)
    checked = lint_imports(copy)
    assert checked.returncode != 0
    assert "BROKEN" in checked.stdout
    assert named in checked.stdout


def test_a_new_package_must_be_given_a_floor(copy: Path) -> None:
    (copy / "mooring" / "attic").mkdir()
    (copy / "mooring" / "attic" / "__init__.py").write_text('"""Of no floor."""\n')
    checked = lint_imports(copy)
    assert checked.returncode != 0
    assert "attic" in checked.stdout


@pytest.mark.parametrize("target", ["check", "test"])
def test_make_runs_the_contracts(target: str) -> None:
    planned = subprocess.run(
        ["make", "--dry-run", target], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert "lint-imports" in planned.stdout


# --- modules that say "Pure" ----------------------------------------------------------------------


def source_of(module: str, folder: Path) -> Path | None:
    """The file of one of the package's modules, or nothing when it is a name in a module."""
    base = folder.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


def imports_of(file: Path) -> set[str]:
    """Every module that a file imports when it runs, inside functions too."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))
    return names


def pure_files(folder: Path) -> list[Path]:
    """The modules whose first line says "Pure", and all of the model, which says so once."""

    def first_line(file: Path) -> str:
        return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]

    nouns = set((folder / "mooring" / "model").glob("*.py"))
    every = (folder / "mooring").rglob("*.py")
    return sorted(f for f in every if f in nouns or PURE.search(first_line(f)))


def impurities(file: Path, folder: Path) -> list[str]:
    """How a module reaches, itself or through others of the package, what does I/O."""
    found = []
    seen: set[Path] = set()
    waiting = [(file, file.stem)]
    while waiting:
        here, way = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        for name in sorted(imports_of(here)):
            parts = name.split(".")
            if any(".".join(parts[: n + 1]) in IMPURE for n in range(len(parts))):
                found.append(f"{way} -> {name}")
            elif parts[0] == "mooring":
                # Importing a.b.c runs a and a.b as well.
                for n in range(1, len(parts) + 1):
                    module = ".".join(parts[:n])
                    if inner := source_of(module, folder):
                        waiting.append((inner, f"{way} -> {module}"))
    return found


@pytest.mark.parametrize("file", pure_files(TOP), ids=lambda f: f.relative_to(TOP).as_posix())
def test_a_module_that_says_pure_reaches_nothing_that_does_io(file: Path) -> None:
    assert impurities(file, TOP) == []


def test_an_impure_import_is_found_through_another_module(tmp_path: Path) -> None:
    package = tmp_path / "mooring"
    package.mkdir()
    (package / "plan.py").write_text('"""Pure. Decides."""\nfrom mooring import doing\n')
    (package / "doing.py").write_text('"""Does."""\ndef f():\n    from asyncio import sleep\n')
    (package / "types.py").write_text(
        '"""Pure. Typed."""\nfrom typing import TYPE_CHECKING\n'
        "if TYPE_CHECKING:\n    import socket\n"
    )
    assert [file.name for file in pure_files(tmp_path)] == ["plan.py", "types.py"]
    assert impurities(package / "plan.py", tmp_path) == [
        "plan -> mooring.doing -> asyncio",
        "plan -> mooring.doing -> asyncio.sleep",
    ]
    assert impurities(package / "types.py", tmp_path) == []
