"""from one box to a farm: who leads, which servers there are, what each commit touched, facts of the farm, limits they share"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

LONG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'leadership',
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('server_id', sa.String(), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('epoch', LONG, nullable=False),
        sa.Column('until', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('name', name='pk_leadership'),
    )
    op.create_table(
        'servers',
        sa.Column('server_id', sa.String(), nullable=False),
        sa.Column('boot_id', sa.String(), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('version', sa.String(), nullable=False),
        sa.Column('started_at', sa.Float(), nullable=False),
        sa.Column('seen_at', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('server_id', name='pk_servers'),
    )
    op.create_table(
        'changes',
        sa.Column('seq', LONG, autoincrement=False, nullable=False),
        sa.Column('server_id', sa.String(), nullable=False),
        sa.Column('at', sa.Float(), nullable=False),
        sa.Column('refs_json', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('seq', name='pk_changes'),
    )
    op.create_index('ix_changes_at', 'changes', ['at'], unique=False)
    op.create_table(
        'facts',
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('value', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('name', name='pk_facts'),
    )
    op.create_table(
        'rate_windows',
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('calls', LONG, nullable=False),
        sa.Column('ends', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('name', name='pk_rate_windows'),
    )
    op.create_index('ix_rate_windows_ends', 'rate_windows', ['ends'], unique=False)
