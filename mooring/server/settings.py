"""What the environment says to the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from mooring.core.errors import UsageError
from mooring.server import proxies

FILE = "mooring.sqlite3"
"""The database in the data folder."""
MOST_DAYS = 36_525
"""A hundred years."""


def _networks(said: object) -> object:
    return proxies.networks(said) if isinstance(said, str) else said


class Settings(BaseSettings):
    """Read from variables called ``MOORING_…``."""

    model_config = SettingsConfigDict(env_prefix="MOORING_", extra="ignore")

    database_url: str | None = None
    """``postgresql://user:password@host/name``; SQLite in the data folder when unset."""
    metrics_token: str | None = None
    """The Bearer token of ``/metrics``; without one there is no such page."""
    trusted_proxies: Annotated[
        tuple[proxies.Network, ...], NoDecode, BeforeValidator(_networks)
    ] = ()
    """Whose X-Forwarded-For and X-Forwarded-Proto are believed; nobody's when unset."""
    session_cookie_secure: bool = False
    """Send the session cookie over HTTPS only, also where no trusted proxy says that it is used."""
    keep_days: Annotated[float, Field(gt=0, le=MOST_DAYS)] = 90.0
    """How long the timeline, ended runs and what is gone are kept."""


def read() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        fault = error.errors()[0]
        name = "MOORING_" + "_".join(str(part) for part in fault["loc"]).upper()
        raise UsageError(
            f"reading the environment variable {name}", fault["msg"].removeprefix("Value error, ")
        ) from error


def database_address(settings: Settings, data_dir: Path) -> str:
    """The database's URL; by default a file in the data folder, whatever that is called."""
    file = URL.create("sqlite", database=str(data_dir / FILE))
    return settings.database_url or file.render_as_string()
