"""Our own code as it is now, on a small disk: mounted in the machine at /opt/mooring."""

from __future__ import annotations

import compileall
import py_compile
import shutil
from pathlib import Path

from tests.vm.image import TOP, disk, temporary

PARTS = ("mooring", "packaging")


def code(folder: Path) -> Path:
    """The disk's file, in ``folder``."""
    with temporary(folder) as tree:
        own = shutil.ignore_patterns("__pycache__", "page")
        for part in PARTS:
            shutil.copytree(TOP / part, tree / part, ignore=own)
        # Here it takes a second, and there at every start of a program: it cannot be written there.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        for part in ("can", "cli", "core", "model"):
            where = f"/opt/mooring/mooring/{part}"
            compileall.compile_dir(
                tree / "mooring" / part, ddir=where, quiet=2, invalidation_mode=unchecked
            )
        return disk(tree, folder / "code.img", "64M")
