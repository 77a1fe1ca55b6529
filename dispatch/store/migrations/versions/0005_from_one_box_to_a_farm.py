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
    with op.batch_alter_table('usage', recreate='auto') as usage:
        usage.add_column(sa.Column('part', sa.String(), server_default='', nullable=False))
        usage.drop_constraint('pk_usage', type_='primary')
        usage.create_primary_key('pk_usage', ['day', 'tenant', 'key_id', 'part'])
    if op.get_bind().dialect.name == 'postgresql':
        for name in ('token', 'event', 'audit', 'change'):
            op.execute(f'CREATE SEQUENCE {name}_numbers AS bigint')
        # To look for the row that is referred to makes a serializable transaction conflict with all who add rows near it.
        op.drop_constraint('fk_tasks_job_id', 'tasks')
        op.drop_constraint('fk_attempts_task_id', 'attempts')
        op.drop_constraint('fk_staged_files_job_id', 'staged_files')
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
