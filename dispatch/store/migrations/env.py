"""Alembic's entry: runs the migrations on the connection that `migrate` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from dispatch.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
    transaction_per_migration=False,
)
context.run_migrations()
