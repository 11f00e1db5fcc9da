"""Which machine a CAN driver is on, where its reporter reports nothing else."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("can_driver", sa.Column("identity", sa.String(length=128), nullable=True))
