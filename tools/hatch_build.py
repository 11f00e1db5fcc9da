"""Takes part in every build of a package: refuses one that would lack the page's assets.

An editable install may lack them: there the page is built afterwards, in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INDEX = Path("mooring", "server", "page", "index.html")


class PageIsThere(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that hatchling finds in this file."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise RuntimeError before anything is packed when the page has not been built."""
        if version == "editable":
            return
        if not Path(self.root, INDEX).is_file():
            raise RuntimeError(
                f"the page's assets are missing: there is no {INDEX.as_posix()} in {self.root}. "
                "Build the page first (make web), then the package."
            )
