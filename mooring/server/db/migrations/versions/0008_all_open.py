"""Whether a host takes connections on every port that it is asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    column: sa.Column[bool] = sa.Column(
        "all_open", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("host", column)
