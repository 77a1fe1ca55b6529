"""engines for a year: tenants that are not trusted, digests of originals"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('source_sha256', sa.String(), nullable=True))
    op.add_column('tenants', sa.Column('untrusted', sa.Integer(), server_default='0', nullable=False))
