"""The store: SQLAlchemy Core statements over one schema, Alembic migrations, and the thread that writes."""
