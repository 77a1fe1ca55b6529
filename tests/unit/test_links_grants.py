"""What the links of a grant lead to: past dispatch where the storage gives links, to dispatch where none can be made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from dispatch.core.records import Graph, Source, StagedRow
from dispatch.core.s3_inputs import ObjectAt, object_of, source_of
from dispatch.services.grants import GrantWriter, Past
from dispatch.services.s3_inputs import Buckets, S3Inputs
from dispatch.services.sealing import Sealer
from protocol.addresses import FetchPolicy
from protocol.leases import Grant
from protocol.objects import ObjectFacts
from protocol.packaging import CmafPackaging
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts
from protocol.states import TaskKind
from protocol.storage import DirectWrite, StorageUnavailable
from tests.ffmpeg_recipes import rendition
from tests.unit.dispatch_jobs import NOW, after, analyzed, granted, submitted, video

PREFIX = "https://bucket.example/"
WEEK = 7 * 86_400


@dataclass(frozen=True)
class Links:
    """A storage, or a bucket of others, that signs unless it cannot."""

    is_away: bool = False

    def read_link(self, *names: str, seconds: int, filename: str | None = None) -> str:
        if self.is_away:
            raise StorageUnavailable("/".join(names), "no credentials")
        return f"{PREFIX}{'/'.join(names)}?seconds={seconds}"

    async def look(self, bucket: str, key: str, *, head_bytes: int) -> ObjectFacts:
        raise NotImplementedError

    async def start_write(self, path: str, *, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        raise NotImplementedError

    async def finish_write(self, path: str, upload: str, *, size: int) -> None:
        raise NotImplementedError

    async def abort_write(self, path: str, upload: str) -> None:
        raise NotImplementedError


def graph_of(source: Source) -> Graph:
    profile = Profile(name="mine", renditions=(rendition(360),), packaging=CmafPackaging())
    graph = submitted(profile)
    graph = replace(graph, job=replace(graph.job, source=source))
    return after(granted(graph, 1), analyzed(1, video(1280, 720)))


def grants(source: Source, past: Past) -> dict[TaskKind, Grant]:
    graph = graph_of(source)
    writer = GrantWriter(b"s" * 32, Sealer(b"s" * 32, lambda: "chance"), lease_s=60.0, fetch=FetchPolicy(), past=past)
    facts = OutputFacts(role=FileRole.RENDITION)
    row = StagedRow(graph.job.job_id, "360p/video_360p.mp4", "tsk_1", 2, 1, "0" * 64, facts.model_dump_json())
    tasks = [replace(task, token=7) for task in graph.tasks if task.recipe_json is not None]
    return {task.kind: writer.write(task, graph.job, now=NOW, staged=(row,)) for task in tasks}


def in_bucket(*buckets: str, is_away: bool = False) -> Past:
    return Past(buckets=S3Inputs((Buckets(Links(is_away), frozenset(buckets), frozenset()),)))


STORED = Source("storage", "default/raw/job_1_original.mp4", "film.mp4", 1000, "a" * 64)
ON_SERVER = Source("server", "/films/film.mp4", "film.mp4", 1000)
OBJECT = source_of(ObjectAt("footage", "a/b/film 1.mp4", "0123-4"), 1000)


def url_of(grant: Grant) -> str:
    assert grant.input is not None
    return grant.input.url


def test_originals_and_what_siblings_staged_are_read_by_links_of_the_storage() -> None:
    found = grants(STORED, Past(direct=Links()))

    assert url_of(found[TaskKind.TRANSCODE]) == f"{PREFIX}{STORED.path}?seconds={WEEK}"
    (sibling,) = found[TaskKind.PACKAGE].inputs
    assert sibling.access.url == f"{PREFIX}staging/job_1/tsk_1/2/360p/video_360p.mp4?seconds={WEEK}"


def test_only_tasks_that_make_files_stage_them_directly() -> None:
    found = grants(STORED, Past(direct=Links()))

    assert {kind: grant.stages_directly for kind, grant in found.items()} == {
        TaskKind.ANALYZE: False,
        TaskKind.TRANSCODE: True,
        TaskKind.PACKAGE: True,
    }


@pytest.mark.parametrize("past", [Past(), Past(direct=Links(is_away=True))])
def test_without_a_link_of_the_storage_dispatch_gives_one(past: Past) -> None:
    found = grants(STORED, past)

    assert url_of(found[TaskKind.TRANSCODE]).startswith("/files/s/")
    assert found[TaskKind.PACKAGE].inputs[0].access.url.startswith("/files/s/")


def test_a_file_of_the_server_is_read_by_way_of_dispatch() -> None:
    assert url_of(grants(ON_SERVER, Past(direct=Links()))[TaskKind.TRANSCODE]).startswith("/files/s/")


def test_an_object_is_read_where_it_lies_and_must_be_the_one_submitted() -> None:
    access = grants(OBJECT, in_bucket("footage"))[TaskKind.TRANSCODE].input

    assert access is not None
    assert (access.url, access.etag) == (f"{PREFIX}footage/a/b/film 1.mp4?seconds={WEEK}", "0123-4")
    assert (access.filename, access.size) == ("film 1.mp4", 1000)


@pytest.mark.parametrize("past", [in_bucket("others"), in_bucket("footage", is_away=True), Past()])
def test_an_object_without_a_link_is_asked_of_dispatch_again(past: Past) -> None:
    access = grants(OBJECT, past)[TaskKind.TRANSCODE].input

    assert access is not None
    assert access.url.startswith("/files/s/")
    assert access.etag == "0123-4"


@pytest.mark.parametrize("key", ["film.mp4", "a/b/c.mp4", "ü /%41+?&#.mp4", "dir/"])
@pytest.mark.parametrize("etag", ["0123", "a/b-12", "%2F", ""])
def test_an_object_is_found_again_by_what_the_row_says(key: str, etag: str) -> None:
    told = ObjectAt("footage.2026", key, etag)

    assert object_of(source_of(told, 1)) == told
