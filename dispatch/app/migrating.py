"""`reelyard migrate`: the newest schema for a database, and the move of an installation from SQLite to PostgreSQL."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from config.dispatch import DispatchSettings
from config.sources import SettingsProblem, read_settings
from dispatch.app.databases import open_postgres, without_password
from dispatch.app.locking import held, lock
from dispatch.app.moved import DATABASE, refuse_moved
from dispatch.app.moving import Move, NotMoved, Unknown, check, move
from dispatch.app.secrets import Unusable
from dispatch.clock import RandomIds
from dispatch.store.copying_tables import Copied, NotTheSame
from dispatch.store.migrate import migrate
from dispatch.store.revisions import Revisions, revisions
from dispatch.store.running import connect

DONE, BEHIND, FAILED, UNUSABLE = 0, 1, 1, 2
NOTHING_MOVED = "Nothing has moved; the server can be started as before."


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="reelyard migrate", description="Bring the server's database to the newest schema, or move it to PostgreSQL."
    )
    made.add_argument("--config", type=Path, help="the server's TOML file of settings")
    made.add_argument("--data", type=Path, help="the server's data directory (./reelyard-data)")
    made.add_argument("--database-url", metavar="URL", help="a PostgreSQL; SQLite in the data directory without one")
    made.add_argument("--database-password-file", type=Path, metavar="FILE", help="what holds its password")
    made.add_argument("--check", action="store_true", help="only tell; exit code 1 when something is to be done")
    made.add_argument("--move-to", metavar="URL", help="move the SQLite installation of the data directory to this PostgreSQL")
    made.add_argument("--start", action="store_true", help="with --move-to: then become the server, on PostgreSQL")
    made.add_argument("--listen", metavar="HOST:PORT", help="with --start: where it listens")
    return made


def main(words: Sequence[str]) -> int:
    """0 done, 1 it failed or (--check) something is to be done, 2 it cannot be done like that."""
    told = parser().parse_args(words)
    try:
        if told.move_to and told.database_url:
            raise SettingsProblem("--move-to says already which database it is; leave --database-url out")
        if (told.start and (told.check or not told.move_to)) or (told.listen and not told.start):
            raise SettingsProblem("--start goes with --move-to, and --listen with --start")
        settings = read_settings(DispatchSettings, _given(told), toml=told.config, environ=os.environ)
        return _move(settings, told) if told.move_to else _migrate(settings, is_check=told.check)
    except (SettingsProblem, Unusable) as wrong:
        return _tell(str(wrong), UNUSABLE)
    except Unknown:
        return _tell("the connection was lost at the last moment; run this again: it finds out whether the copy stands", FAILED)
    except (NotMoved, NotTheSame, OSError, DBAPIError) as fault:
        return _tell(_reason(fault) + (f". {NOTHING_MOVED}" if told.move_to else ""), FAILED)


def _given(told: argparse.Namespace) -> dict[str, object]:
    """Over the settings file and the environment."""
    database: Mapping[str, object] = {
        "url": told.move_to or told.database_url,
        "password_file": told.database_password_file,
    }
    given = {"data": told.data, "database": {name: value for name, value in database.items() if value is not None}}
    return {name: value for name, value in given.items() if value}


def _reason(fault: Exception) -> str:
    """One line; a driver tells several, of which the first says what is wrong."""
    cause = fault.__cause__ if isinstance(fault, NotMoved) else fault
    said = str(cause.orig if isinstance(cause, DBAPIError) else cause)
    return " ".join(said.split()) or type(fault).__name__


def _tell(problem: str, code: int) -> int:
    sys.stderr.write(f"migrate: {problem}\n")
    return code


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- the schema


def _migrate(settings: DispatchSettings, *, is_check: bool) -> int:
    data, url = settings.data.absolute(), settings.database.url
    if url is not None:
        return _migrate_on(without_password(url), lambda: open_postgres(settings.database), is_check=is_check)
    if not (data / DATABASE).exists():
        raise Unusable(f"there is no {DATABASE} in {data}; a server makes it at its first start")
    refuse_moved(data)
    where, opened = str(data / DATABASE), partial(connect, f"sqlite:///{data / DATABASE}")
    if is_check:
        return _migrate_on(where, opened, is_check=True)
    with held(lock(data)):  # a running server has the newest schema of its own version, and must not meet another
        return _migrate_on(where, opened, is_check=False)


def _migrate_on(where: str, opened: Callable[[], Connection], *, is_check: bool) -> int:
    with closing(opened()) as connection:
        before = revisions(connection)
        if not before.is_known:
            raise Unusable(f"{where} has revision {before.found}, of a newer Reelyard than this one ({before.newest})")
        if before.is_newest:
            _say(f"{where} has the newest schema, revision {before.newest}")
            return DONE
        if is_check:
            _say(f"{where} is at {_named(before)}; the newest is {before.newest}: run `reelyard migrate`")
            return BEHIND
        migrate(connection)
        _say(f"{where}: from {_named(before)} to {before.newest}")
    return DONE


def _named(told: Revisions) -> str:
    return "no schema" if told.found is None else f"revision {told.found}"


# --- the move


def _move(settings: DispatchSettings, told: argparse.Namespace) -> int:
    to = without_password(told.move_to)
    ids = RandomIds()
    plan = Move(settings.data.absolute(), to, lambda: open_postgres(settings.database), ids.secret, _say)
    _check_owner(plan.data)
    if told.check:
        with closing(plan.open_target()) as target:
            check(plan, target)
        _say(f"{plan.data} can be moved to {to}")
        return BEHIND
    copied = move(plan)
    _say("\n".join(next_steps(plan, settings, copied, is_started=told.start)))
    if told.start:
        _become_server(settings, told)
    return DONE


def _check_owner(data: Path) -> None:
    """What another user makes there, the server could not write to. Raises Unusable."""
    if data.exists() and (owner := data.stat().st_uid) != os.geteuid():
        raise Unusable(f"{data} belongs to user {owner}; run this as that user (sudo -u)")


def next_steps(plan: Move, settings: DispatchSettings, copied: Mapping[str, Copied], *, is_started: bool) -> list[str]:
    """What a person reads at the end."""
    rows, mended = sum(one.rows for one in copied.values()), sum(one.mended for one in copied.values())
    lines = [f"moved: {rows:,} rows of {len(copied)} tables, each read back and compared"]
    if mended:
        lines.append(f"{mended} texts held a NUL, which PostgreSQL cannot keep: U+FFFD stands there now")
    if not is_started:
        lines += ["", "Next: give the server this setting, and start it as before, with the same data directory:", ""]
        lines += ["    [database]", f'    url = "{plan.to}"']
        if settings.database.password_file is not None:
            lines.append(f'    password_file = "{settings.database.password_file.absolute()}"')
        lines += ["", "(or in its environment: REELYARD_DISPATCH_DATABASE__URL)"]
    lines.append(f"{plan.data / DATABASE} stays as it was at the move. No server starts on it any more.")
    return lines


def _become_server(settings: DispatchSettings, told: argparse.Namespace) -> None:
    """The same process goes on as the server. Settings go by the environment: a URL may hold a password."""
    prefix = "REELYARD_DISPATCH_DATABASE__"
    os.environ[f"{prefix}URL"] = told.move_to
    if settings.database.password_file is not None:
        os.environ[f"{prefix}PASSWORD_FILE"] = str(settings.database.password_file.absolute())
    more = (("--config", told.config), ("--listen", told.listen))
    words = [word for name, value in more if value is not None for word in (name, str(value))]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "dispatch", "--data", str(settings.data), *words])
