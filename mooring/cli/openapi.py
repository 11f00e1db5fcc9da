"""``mooring openapi``: the API's description, of which the page's types are made."""

from __future__ import annotations

import json


def openapi() -> None:
    """Print the description of the API (OpenAPI 3.1, JSON)."""
    from mooring.server.app import create_app
    from mooring.server.db.engine import Database
    from mooring.server.settings import Settings
    from mooring.server.state import State

    app = create_app(State(Database("sqlite+aiosqlite://"), Settings()))
    print(json.dumps(app.openapi(), indent=1, sort_keys=True))
