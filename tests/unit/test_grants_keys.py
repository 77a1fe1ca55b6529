"""Who is told a job's content keys: the engine that encrypts, with the grant of that task alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.core.records import Graph, StagedRow
from dispatch.services.grants import GrantWriter
from dispatch.services.sealing import Sealer
from protocol.addresses import FetchPolicy
from protocol.packaging import CmafPackaging, ContentKeys, DrmSystem, Encryption, ProtectionScheme
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts
from protocol.states import TaskKind
from tests.ffmpeg_recipes import rendition
from tests.unit.dispatch_jobs import NOW, after, analyzed, granted, make_job, submitted, video

SECRET = b"s" * 32
KEYS = ContentKeys.model_validate({"keys": ({"key_id": "00" * 16, "key": "9a0e0d0c0b0a09080706050403020199"},)})
SEALED = CmafPackaging(encryption=Encryption(scheme=ProtectionScheme.CENC, systems=(DrmSystem.WIDEVINE,)))


def sealer(secret: bytes = SECRET) -> Sealer:
    return Sealer(secret, lambda: "chance")


def planned(packaging: CmafPackaging) -> Graph:
    """A job that brought keys, looked at and planned."""
    profile = Profile(name="mine", renditions=(rendition(360),), packaging=packaging)
    graph = submitted(profile, keys_sealed=sealer().seal(KEYS.model_dump_json()))
    return after(granted(graph, 1), analyzed(1, video(1280, 720)))


def told(graph: Graph, by: Sealer) -> dict[TaskKind, ContentKeys | None]:
    """What the grant of each task says."""
    writer = GrantWriter(SECRET, by, lease_s=60.0, fetch=FetchPolicy())
    facts = OutputFacts(role=FileRole.RENDITION)
    row = StagedRow(graph.job.job_id, "360p/video_360p.mp4", "tsk_1", 2, 1, "0" * 64, facts.model_dump_json())
    tasks = [replace(task, token=7) for task in graph.tasks if task.recipe_json is not None]
    return {task.kind: writer.write(task, graph.job, now=NOW, staged=(row,)).keys for task in tasks}


def test_keys_go_to_the_task_that_encrypts_and_to_no_other() -> None:
    assert told(planned(SEALED), sealer()) == {TaskKind.ANALYZE: None, TaskKind.TRANSCODE: None, TaskKind.PACKAGE: KEYS}


def test_a_package_in_the_clear_is_told_none() -> None:
    assert told(planned(CmafPackaging()), sealer())[TaskKind.PACKAGE] is None


def test_keys_that_another_secret_sealed_are_told_to_nobody() -> None:
    assert told(planned(SEALED), sealer(b"other" * 8))[TaskKind.PACKAGE] is None


def test_a_task_that_encrypts_needs_an_engine_that_has_proven_it() -> None:
    needs = {task.kind: task.needs for task in planned(SEALED).tasks}

    assert needs[TaskKind.PACKAGE] == ("operation:package", "packaging:encryption")


@pytest.mark.parametrize("text", [repr(make_job(keys_sealed="sealed")), repr(planned(SEALED).job)])
def test_a_job_in_words_has_no_key(text: str) -> None:
    assert "9a0e0d0c" not in text
