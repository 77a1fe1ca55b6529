"""What only the S3 storage must do: know what its server keeps, stay in its prefix, tell plainly what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from plugins.storage_s3.connecting import connect
from plugins.storage_s3.lifecycle import put_rules, rules_of
from plugins.storage_s3.opening import open_storage
from plugins.storage_s3.probing import Probing
from plugins.storage_s3.provider import S3Storage
from plugins.storage_s3.settings import S3Settings
from plugins.storage_s3.trial import Unfit
from protocol.storage import NotFound, Promoted, StagedFileLost, StorageError, StorageUnavailable, TargetDiffers
from tests.contract.storage_adapters import blocks, content, digest, names, s3
from tests.servers import seaweed
from tests.servers.fault_proxy import fault_proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1 << 20
TARGET = "acme/processed/job_1"
FILM = bytes(range(256)) * (12 * MIB // 256)


@pytest.fixture
def storage() -> Iterator[S3Storage]:
    with s3(part_bytes=5 * MIB) as made:
        yield made


@contextmanager
def changed(change: Callable[[S3Client], None], **fields: Any) -> Iterator[S3Storage]:  # Any: fields of S3Settings
    """A storage whose client of its own was changed first."""
    settings = replace(seaweed.shared().settings(seaweed.own_prefix()), **fields)
    client, signer = connect(settings)
    change(client)
    storage = S3Storage(client, signer, settings)
    try:
        yield storage
    finally:
        storage.close()
        client.close()


def without(header: str, *calls: str) -> Callable[[S3Client], None]:
    """As a server behaves that never looks at this header."""

    def drop(params: dict[str, Any], **_: object) -> None:  # Any: a request of boto3
        params["headers"].pop(header, None)

    def change(client: S3Client) -> None:
        for call in calls:
            client.meta.events.register(f"before-call.s3.{call}", drop)

    return change


@pytest.mark.parametrize("call", ["PutObject", "CompleteMultipartUpload"])
async def test_a_server_that_overwrites_is_refused_in_one_line(call: str) -> None:
    with changed(without("If-None-Match", call)) as storage:
        with pytest.raises(Unfit, match="ignores If-None-Match on"):
            storage.try_out()
        with pytest.raises(StorageUnavailable, match="ignores If-None-Match"):
            await storage.write("a", blocks(b"x"))
        with pytest.raises(StorageUnavailable, match="ignores If-None-Match"):
            await storage.probe()

        assert await names(storage) == []


async def test_where_copies_overwrite_they_are_made_in_parts() -> None:
    """Only the end of a write in parts decides then; so two promotions still never overwrite each other."""
    with changed(without("If-None-Match", "CopyObject")) as storage:
        written = await storage.write("staging/a", blocks(b"film"))
        files = [Promoted("staging/a", "a", 4, written.sha256)]
        await storage.promote(TARGET, "work", files, {})
        await storage.promote(TARGET, "work", files, {})
        await storage.write(f"{TARGET}/a", blocks(b"FILM"), create_only=False)

        with pytest.raises(TargetDiffers):
            await storage.promote(TARGET, "work", files, {})
        assert await content(storage, f"{TARGET}/a") == b"FILM"


async def test_where_nobody_vouches_for_a_digest_the_bytes_are_read() -> None:
    def forgets(client: S3Client) -> None:
        client.meta.events.register("after-call.s3.HeadObject", lambda parsed, **_: parsed.pop("ChecksumSHA256", None))

    with changed(forgets) as storage:
        await storage.write("staging/a", blocks(b"film"))
        await storage.write("staging/b", blocks(b"other"))

        await storage.promote(TARGET, "work", [Promoted("staging/a", "a", 4, digest(b"film"))], {})
        with pytest.raises(StagedFileLost):
            await storage.promote("acme/processed/job_2", "work", [Promoted("staging/b", "b", 5, digest(b"wrong"))], {})
        assert await names(storage, "acme") == [f"{TARGET}/a"]


async def test_a_foreign_or_truncated_staged_object_is_found() -> None:
    """Whatever its metadata claim: only what the storage checked itself counts."""
    film, prefix, client = b"film" * 1000, seaweed.own_prefix(), seaweed.shared().client()
    with s3(prefix=prefix) as storage:
        for value in (film[:-1], film[:-1] + b"!"):
            claim = {"reelyard-sha256": digest(film)}
            client.put_object(Bucket=seaweed.BUCKET, Key=f"{prefix}/staging/a", Body=value, Metadata=claim)

            with pytest.raises(StagedFileLost):
                await storage.promote(TARGET, "work", [Promoted("staging/a", "a", len(film), digest(film))], {})
            with pytest.raises(StagedFileLost):
                await storage.link("staging/a", "raw/a", size=len(film), sha256=digest(film))

        assert await names(storage) == ["staging/a"]
    client.close()


async def test_large_files_are_copied_in_parts_and_checked() -> None:
    with s3(part_bytes=5 * MIB, copy_bytes=5 * MIB) as storage:
        written = await storage.write("staging/film", blocks(FILM))
        files = [Promoted("staging/film", "film", written.size, written.sha256)]
        await storage.promote(TARGET, "work", files, {})
        await storage.promote(TARGET, "work", files, {})

        assert await content(storage, f"{TARGET}/film") == FILM
        with pytest.raises(TargetDiffers):
            await storage.promote(TARGET, "work", [replace(files[0], sha256=digest(b"other"))], {})
        with pytest.raises(StagedFileLost):
            await storage.promote("other", "work", [replace(files[0], sha256=digest(b"other"))], {})


async def test_a_prefix_is_all_that_a_storage_sees() -> None:
    prefix = seaweed.own_prefix()
    with s3(prefix=prefix) as outer, s3(prefix=f"{prefix}/farm") as inner, s3(prefix=f"{prefix}/far") as beside:
        for one in (outer, inner, beside):
            await one.write("a/b", blocks(b"x"))
        await inner.delete("a")

        assert await names(inner) == []
        assert await names(beside) == ["a/b"]
        assert await names(outer) == ["a/b", "far/a/b"]


async def test_what_was_begun_and_left_is_swept(storage: S3Storage) -> None:
    direct = storage.direct
    assert direct is not None
    await direct.start_write("staging/film", size=100 * MIB, sha256=None, seconds=60)

    assert await storage.sweep_temporary(older_than_s=3600, now=0) == 0
    assert await storage.sweep_temporary(older_than_s=0, now=4e9) == 1
    assert await storage.sweep_temporary(older_than_s=0, now=4e9) == 0


@pytest.mark.trust
async def test_more_than_a_page_of_files_is_listed_and_removed() -> None:
    prefix, client = seaweed.own_prefix(), seaweed.shared().client()
    expected = [f"many/{number:04d}" for number in range(1005)]
    with s3(prefix=prefix) as storage:
        for path in expected:
            client.put_object(Bucket=seaweed.BUCKET, Key=f"{prefix}/{path}", Body=b"")

        assert await names(storage, "many") == expected
        await storage.delete("many")
        assert await names(storage) == []
    client.close()


async def test_a_line_that_breaks_is_taken_up_where_it_broke() -> None:
    server = seaweed.shared()
    async with fault_proxy("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy:
        with s3(endpoint=f"http://127.0.0.1:{proxy.port}", part_bytes=8 * MIB) as storage:
            await storage.write("film", blocks(FILM))
            read = []
            async for block in await storage.read("film", 100):
                read.append(block)
                if len(read) in (1, 4):
                    proxy.cut()

            assert b"".join(read) == FILM[100:]


async def test_a_storage_that_is_away_is_told_and_comes_back() -> None:
    server = seaweed.shared()
    async with fault_proxy("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy:
        with s3(endpoint=f"http://127.0.0.1:{proxy.port}", attempts=1) as storage:
            await storage.write("a", blocks(b"film"))
            await proxy.close()
            calls: list[Callable[[], Any]] = [  # Any: what they give is not looked at
                lambda: storage.read("a"),
                lambda: storage.write("b", blocks(b"b")),
                lambda: storage.stat("a"),
                lambda: storage.list(""),
                lambda: storage.delete("a"),
                lambda: storage.append("b", 0, blocks(b"x")),
                storage.probe,
                lambda: storage.promote("out", "work", [], {"x": b"x"}),
            ]
            for call in calls:
                with pytest.raises(StorageUnavailable, match="cannot be reached"):
                    await call()
            await proxy.open()

            await storage.probe()
            assert await content(storage, "a") == b"film"


async def test_a_probe_that_hangs_is_told_by_its_deadline_and_never_begun_twice() -> None:
    """Behind a firewall that drops packets nothing comes back, not even a refusal."""
    begun, answer = [], threading.Event()

    def hangs() -> None:
        begun.append(1)
        answer.wait()

    probing = Probing(hangs, deadline_s=0.01)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="did not answer"):
            await probing.run()
    answer.set()
    probing.close()
    await probing.run()

    assert begun == [1]


async def test_wrong_credentials_are_told_without_them(tmp_path: Path) -> None:
    wrong = tmp_path / "credentials"
    wrong.write_text("[default]\naws_access_key_id=nobody\naws_secret_access_key=not-the-secret\n")
    with s3(credentials_file=wrong) as storage, pytest.raises(StorageUnavailable) as told:
        await storage.probe()

    assert "access key" in str(told.value) or "credentials" in str(told.value)
    assert "not-the-secret" not in str(told.value)


async def test_a_missing_bucket_is_told() -> None:
    with s3(bucket="no-such-bucket") as storage, pytest.raises(StorageError) as told:
        await storage.stat("a")

    assert isinstance(told.value, NotFound | StorageUnavailable)


def test_rules_of_the_bucket_are_put_at_the_start_and_foreign_ones_stay() -> None:
    client, bucket = seaweed.shared().client(), f"rules-{seaweed.own_prefix()}"
    client.create_bucket(Bucket=bucket)
    foreign = {"ID": "keep", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [foreign]})  # type: ignore[list-item]  # as it comes
    settings = replace(seaweed.shared().settings("farm"), bucket=bucket, manage_lifecycle=True)
    open_storage(asdict(settings)).close()
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    again = put_rules(client, settings)
    client.close()

    assert (rules, again) == ([foreign, *rules_of(settings)], False)


def test_a_server_that_is_away_at_the_start_is_tried_later() -> None:
    settings = S3Settings("films", endpoint="http://127.0.0.1:9", attempts=1, credentials_file=seaweed.shared().credentials)
    with structlog.testing.capture_logs() as logs:
        open_storage(asdict(settings)).close()

    assert [line["event"] for line in logs] == ["storage_not_tried_yet"]


def test_a_credentials_file_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="credentials file"):
        open_storage(asdict(S3Settings("films", credentials_file=tmp_path / "none")))
