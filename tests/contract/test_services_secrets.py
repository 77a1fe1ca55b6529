"""The secrets in the data directory: made once, for the owner's eyes, never empty."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dispatch.app.secrets import Secrets, Unusable, load_secrets
from tests.contract.services_world import Counting


def kept(secrets: Secrets) -> tuple[bytes, str, str]:
    return secrets.signing, secrets.admin, secrets.registration


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    ids = Counting()
    first = load_secrets(tmp_path, ids)

    again = load_secrets(tmp_path, ids)

    assert (kept(again), first.is_admin_fresh, again.is_admin_fresh) == (kept(first), True, False)
    assert len({first.signing, first.admin.encode(), first.registration.encode()}) == 3


def test_a_renewed_registration_token_is_what_the_next_start_finds(tmp_path: Path) -> None:
    ids = Counting()
    first = load_secrets(tmp_path, ids)

    fresh = first.renew_registration()

    assert (fresh != first.registration, kept(load_secrets(tmp_path, ids))) == (True, (first.signing, first.admin, fresh))
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["admin.key", "registration.token", "signing.key"]


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    load_secrets(tmp_path, Counting())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}

    assert modes == {"signing.key": 0o600, "admin.key": 0o600, "registration.token": 0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["signing.key", "admin.key", "registration.token"])
def test_an_empty_secret_is_never_used(tmp_path: Path, name: str) -> None:
    load_secrets(tmp_path, Counting())
    (tmp_path / "secrets" / name).write_text("\n")

    with pytest.raises(Unusable, match=name):
        load_secrets(tmp_path, Counting())
