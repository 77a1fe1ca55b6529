"""The secrets of a server: made at its first start, kept in `<data>/secrets/`, readable by their owner alone."""

from __future__ import annotations

import os
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

    `is_admin_fresh`: the admin key was made at this start. `renew_registration` puts a new token in the place of the one
    until now and gives it; it blocks.
    """

    signing: bytes
    admin: str
    registration: str
    renew_registration: Callable[[], str]
    is_admin_fresh: bool = False


def keep_secret(directory: Path, name: str, fresh: Callable[[], str]) -> str:
    """The secret of that name, made at the first start, readable by its owner alone."""
    path = directory / name
    if path.exists():
        kept = path.read_text(encoding="ascii").strip()
        if not kept:
            raise Unusable(f"{path} is empty; restore it, or remove it to have a new one made")
        return kept
    return write_secret(directory, name, fresh())


def write_secret(directory: Path, name: str, secret: str) -> str:
    """Whole or not at all, and durable before it is answered."""
    temporary = directory / f".{name}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(directory / name)
    sync(directory)
    return secret


def sync(directory: Path) -> None:
    """A rename survives a power cut only once its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_secrets(data: Path, ids: Ids) -> Secrets:
    directory = data / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_fresh = not (directory / ADMIN).exists()
    return Secrets(
        signing=keep_secret(directory, "signing.key", ids.secret).encode(),
        admin=keep_secret(directory, ADMIN, lambda: f"rk_{ids.secret()}"),
        registration=keep_secret(directory, REGISTRATION, lambda: f"rt_{ids.secret()}"),
        renew_registration=lambda: write_secret(directory, REGISTRATION, f"rt_{ids.secret()}"),
        is_admin_fresh=is_fresh,
    )
