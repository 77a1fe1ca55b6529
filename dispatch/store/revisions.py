"""Which schema a database has, and which one the code wants."""

from __future__ import annotations

from dataclasses import dataclass

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dispatch.store.migrate import SCRIPTS


@dataclass(frozen=True, slots=True)
class Revisions:
    """`found` is None where there are no tables yet. `is_known`: this version of the code has heard of it."""

    found: str | None
    newest: str
    is_known: bool

    @property
    def is_newest(self) -> bool:
        return self.found == self.newest


def revisions(connection: Connection) -> Revisions:
    """Reads only."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return Revisions(found, scripts.get_current_head() or "", found is None or found in known)
