"""The secrets in the data directory: made once, for the owner's eyes, never empty."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dispatch.app.farm_secrets import settle_signing_key
from dispatch.app.secrets import Secrets, Unusable, keep_secret, load_secrets
from tests.contract.services_world import Counting
from tests.contract.store_adapters import open_store


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

    first.write_registration("rt_fresh")

    assert kept(load_secrets(tmp_path, ids)) == (first.signing, first.admin, "rt_fresh")
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


def test_a_secret_that_another_server_made_meanwhile_is_the_one_that_counts(tmp_path: Path) -> None:
    def late() -> str:
        keep_secret(tmp_path, "signing.key", lambda: "theirs")
        return "ours"

    assert keep_secret(tmp_path, "signing.key", late) == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["signing.key"]


def test_servers_of_a_farm_have_the_secrets_of_one_directory(tmp_path: Path) -> None:
    ids, shared = Counting(), tmp_path / "shared"
    first, second = (load_secrets(tmp_path / name, ids, shared) for name in ("a", "b"))

    assert kept(first) == kept(second)
    assert not (tmp_path / "a").exists()


async def test_a_server_with_another_signing_key_does_not_start_on_a_shared_database(tmp_path: Path) -> None:
    async with open_store("inline", tmp_path) as store:
        await settle_signing_key(store, b"one", is_shared=True)
        await settle_signing_key(store, b"one", is_shared=True)

        with pytest.raises(Unusable, match="copy their whole secrets directory"):
            await settle_signing_key(store, b"other", is_shared=True)


async def test_a_lone_server_goes_on_with_a_new_signing_key(tmp_path: Path) -> None:
    async with open_store("inline", tmp_path) as store:
        await settle_signing_key(store, b"one", is_shared=False)
        await settle_signing_key(store, b"other", is_shared=False)

        await settle_signing_key(store, b"other", is_shared=True)
