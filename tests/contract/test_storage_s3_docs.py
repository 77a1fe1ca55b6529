"""What docs/howto/s3.md shows: its settings are settings, and its policy allows what the storage does and no more."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from config.dispatch import PREFIX, DispatchSettings, Storage
from config.s3 import S3
from config.sources import read_settings
from dispatch.app.process import load_storage
from dispatch.app.secrets import Unusable
from plugins.storage_s3.connecting import connect
from plugins.storage_s3.lifecycle import put_rules
from plugins.storage_s3.provider import S3Storage
from plugins.storage_s3.settings import S3Settings
from protocol.storage import Promoted
from tests.contract.storage_adapters import blocks, content, digest
from tests.servers import seaweed

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "s3.md").read_text(encoding="utf-8")
MIB = 1 << 20
ACTIONS = {
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
}
"""Which permission of AWS each call needs, by its reference of actions."""


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_the_settings_shown_are_settings(block: str) -> None:
    S3.model_validate(tomllib.loads(block)["storage"]["s3"])


def test_the_adapter_is_told_every_setting_there_is() -> None:
    """Dispatch hands it the section as it is."""
    told = S3(bucket="films").model_dump()

    assert S3Settings(**told) == S3Settings("films")


def test_the_environment_tells_the_section_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ADAPTER", "s3"), ("S3__BUCKET", "films"), ("S3__PART_BYTES", "6000000")):
        monkeypatch.setenv(f"{PREFIX}STORAGE__{name}", value)
    found = read_settings(DispatchSettings, {}, toml=None, environ=os.environ)

    assert found.storage == Storage(adapter="s3", s3=S3(bucket="films", part_bytes=6_000_000))


def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    given = Storage(adapter="s3", s3=S3(bucket="films", credentials_file=tmp_path / "none"))

    with pytest.raises(Unusable, match="the credentials file"):
        load_storage(given, str(tmp_path))
    with pytest.raises(Unusable, match="known are local, s3"):
        load_storage(Storage(adapter="tape"), str(tmp_path))


async def test_the_policy_shown_is_what_the_storage_needs() -> None:
    settings = replace(seaweed.shared().settings(seaweed.own_prefix()), part_bytes=5 * MIB, whole_bytes=MIB, abort_days=6)
    client, signer = connect(settings)
    called: set[str] = set()
    client.meta.events.register("before-call.s3", lambda model, **_: called.add(model.name))
    storage = S3Storage(client, signer, settings)
    await everything(storage)
    put_rules(client, settings)
    storage.close()
    client.close()
    shown = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])

    assert {ACTIONS[call] for call in called} == {action for rule in shown["Statement"] for action in rule["Action"]}


async def everything(storage: S3Storage) -> None:
    film, direct = b"film" * (6 * MIB // 4), storage.direct
    assert direct is not None
    await storage.probe()
    await storage.write("staging/film", blocks(film))
    await storage.append("uploads/a", 0, blocks(b"ab"))
    await storage.append("uploads/a", 1, blocks(film))
    await storage.link("uploads/a", "raw/a", size=len(film) + 1, sha256=digest(b"a" + film))
    await storage.concatenate(["staging/film", "uploads/a"], "raw/b")
    write = await direct.start_write("staging/direct", size=6 * MIB, sha256=None, seconds=60)
    assert write.upload is not None
    await direct.abort_write("staging/direct", write.upload)
    write = await direct.start_write("staging/direct", size=6 * MIB, sha256=None, seconds=60)
    assert write.upload is not None
    await storage.sweep_temporary(older_than_s=0, now=4e9)
    with pytest.raises(Exception, match="no such write"):
        await direct.finish_write("staging/direct", write.upload, size=6 * MIB)
    await storage.promote("acme/processed/job_1", "work", [Promoted("staging/film", "a", len(film), digest(film))], {"b": b"b"})
    assert await content(storage, "acme/processed/job_1/b") == b"b"
    assert len(await storage.list("")) == 6
    await storage.delete("staging")
