"""everything a job can make: what was measured, files beside the input, content keys"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('measured_json', sa.Text(), nullable=True))
    op.add_column('jobs', sa.Column('attachments_json', sa.Text(), nullable=True))
    op.add_column('jobs', sa.Column('keys_sealed', sa.Text(), nullable=True))
    op.add_column('jobs', sa.Column('stop_asked_at', sa.Float(), nullable=True))
    op.add_column('tenants', sa.Column('limits_json', sa.Text(), nullable=True))
    op.drop_index('ix_jobs_original', table_name='jobs')
    kept = sa.text("source_kind = 'storage' OR thumbnail_json IS NOT NULL OR attachments_json IS NOT NULL")
    op.create_index('ix_jobs_original', 'jobs', ['ended_at'], unique=False, sqlite_where=kept, postgresql_where=kept)
