"""The secrets of a server: made at its first start, kept in `<data>/secrets/`, readable by their owner alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dispatch.ports import Ids

ADMIN, REGISTRATION = "admin.key", "registration.token"


class Unusable(ValueError):
    """Settings that are well-formed but cannot be used here; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """`signing` makes signed links; the others are what `<data>/secrets/` shows to people.

    `is_admin_fresh`: the admin key was made at this start. `write_registration` puts a new token in the place of the one
    until now; it blocks.
    """

    signing: bytes
    admin: str
    registration: str
    write_registration: Callable[[str], object]
    is_admin_fresh: bool = False


def keep_secret(directory: Path, name: str, fresh: Callable[[], str]) -> str:
    """The secret of that name, made at the first start, readable by its owner alone.

    Of servers that start at once in a shared directory one makes it, and the others find it.
    """
    path = directory / name
    if not path.exists():
        made = _written(directory, name, fresh())
        try:
            os.link(made, path)
        except FileExistsError:
            pass  # another server was faster
        finally:
            made.unlink()
        sync(directory)
    kept = path.read_text(encoding="ascii").strip()
    if not kept:
        raise Unusable(f"{path} is empty; restore it, or remove it to have a new one made")
    return kept


def write_secret(directory: Path, name: str, secret: str) -> str:
    """Whole or not at all, and durable before it is answered."""
    _written(directory, name, secret).rename(directory / name)
    sync(directory)
    return secret


def _written(directory: Path, name: str, secret: str) -> Path:
    """Beside its place, under a name no other server takes."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Path(temporary)


def sync(directory: Path) -> None:
    """A rename survives a power cut only once its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_secrets(data: Path, ids: Ids, shared: Path | None = None) -> Secrets:
    """Of `<data>/secrets`, or of the directory that all servers of a farm have the same content of."""
    directory = shared or data / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_fresh = not (directory / ADMIN).exists()
    return Secrets(
        signing=keep_secret(directory, "signing.key", ids.secret).encode(),
        admin=keep_secret(directory, ADMIN, lambda: f"rk_{ids.secret()}"),
        registration=keep_secret(directory, REGISTRATION, lambda: f"rt_{ids.secret()}"),
        write_registration=lambda token: write_secret(directory, REGISTRATION, token),
        is_admin_fresh=is_fresh,
    )
