"""The secrets of a server: made at its first start, kept in `<data>/secrets/`, readable by their owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dispatch.ports import Ids


class Unusable(ValueError):
    """Settings that are well-formed but cannot be used here; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """`signing` makes signed links; the others are what `<data>/secrets/` shows to people."""

    signing: bytes
    admin: str
    registration: str


def keep_secret(directory: Path, name: str, fresh: Callable[[], str]) -> str:
    """The secret of that name, made at the first start, readable by its owner alone."""
    path = directory / name
    if path.exists():
        kept = path.read_text(encoding="ascii").strip()
        if not kept:
            raise Unusable(f"{path} is empty; restore it, or remove it to have a new one made")
        return kept
    secret = fresh()
    temporary = directory / f".{name}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync(directory)
    return secret


def _sync(directory: Path) -> None:
    """A rename survives a power cut only once its directory is on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_secrets(data: Path, ids: Ids) -> Secrets:
    directory = data / "secrets"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Secrets(
        signing=keep_secret(directory, "signing.key", ids.secret).encode(),
        admin=keep_secret(directory, "admin.key", lambda: f"rk_{ids.secret()}"),
        registration=keep_secret(directory, "registration.token", lambda: f"rt_{ids.secret()}"),
    )
