"""No word of a client reaches the arguments of a tool: it is refused, or it stays with what is for people."""

from __future__ import annotations

import base64
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp

from plugins.ffmpeg.plugin import FFmpegPlugin
from plugins.media.probe import facts_of
from protocol.leases import Grant
from protocol.plugins import Work
from tests.contract.api_server import Server, served
from tests.ffmpeg_recipes import steps, web
from tests.hostile.ground import clip
from tests.hostile.injections import NAMES, Injection, submissions

LEAST = 25


def filled(value: Any, clip_path: Path) -> Any:  # Any: JSON of any shape
    words = json.dumps(value).replace("{clip}", str(clip_path)).replace("{roots}", str(clip_path.parent))
    return json.loads(words)


async def answer_to(server: Server, injection: Injection, clip_path: Path) -> tuple[str, int, str]:
    answer = await server.call("POST", "/api/v1/jobs", json=filled(injection.body, clip_path))
    return injection.name, answer.status, answer.json.get("error", {}).get("code", "accepted")


async def test_every_field_with_hostile_words_is_refused_and_makes_no_job(tmp_path: Path) -> None:
    roots = tmp_path / "in"
    roots.mkdir()
    clip_path = roots / "clip.mp4"
    clip_path.write_bytes(clip("mp4"))
    injections = submissions()
    async with served(tmp_path / "data", allowed_roots=(str(roots),)) as server:
        answers = [await answer_to(server, injection, clip_path) for injection in injections]
        listed = await server.call("GET", "/api/v1/jobs")
        healthy = await server.call("POST", "/api/v1/jobs", json={"profile": "web", "input": {"path": str(clip_path)}})

    wrong = [one for one, injection in zip(answers, injections, strict=True) if one[2] not in injection.codes]
    assert wrong == []
    assert all(400 <= status <= 422 for _, status, _ in answers)
    assert (listed.json["total"], healthy.status) == (0, 202)
    assert len(injections) + len(NAMES) >= LEAST


async def planned(server: Server) -> list[str]:
    """Everything the engine would put on a command line for the next task, as it comes over the wire."""
    engine = await server.new_engine()
    told = await server.lease(engine, "req-1", light_slots=1)
    grant = Grant.model_validate_json(json.dumps(told["tasks"][0]))
    assert grant.input is not None
    work = Work(grant.recipe, grant.steps, "/work", 1, input_path="/input", input_name=grant.input.filename)
    return [
        word for invocation in FFmpegPlugin().plan(work) for word in (*invocation.argv[1:], *invocation.reads, *invocation.makes)
    ]


async def test_a_file_name_of_a_form_reaches_no_argument(tmp_path: Path) -> None:
    for n, name in enumerate(NAMES):
        async with served(tmp_path / str(n)) as server:
            form = aiohttp.FormData()
            form.add_field("metadata", json.dumps({"title": name}))
            form.add_field("file", clip("mp4"), filename=name)
            sent = await server.call("POST", "/api/v1/jobs/upload", data=form)
            assert sent.status == 202, sent.body
            words = await planned(server)

        assert not [word for word in words if name.removesuffix(".mp4") in word]


async def test_the_name_of_a_resumable_upload_reaches_no_argument(tmp_path: Path) -> None:
    name = "-i /etc/passwd|$(touch evil).mp4"
    told = f"filename {base64.b64encode(name.encode()).decode()}"
    film = clip("mp4")
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(film)), "Upload-Metadata": told}
    async with served(tmp_path) as server:
        kind = {"Content-Type": "application/offset+octet-stream"}
        made = await server.call("POST", "/api/v1/uploads", headers={**headers, **kind}, data=film)
        upload_id = made.headers["Location"].rpartition("/")[2]
        sent = await server.call("POST", "/api/v1/jobs", json={"profile": "web", "input": {"upload_id": upload_id}})
        assert sent.status == 202, sent.body
        words = await planned(server)

    assert not [word for word in words if "passwd" in word or "evil" in word]


def test_what_a_file_says_of_itself_reaches_no_argument() -> None:
    evil = "x];movie=/etc/passwd[y"
    streams = [
        {
            "index": 0,
            "codec_type": "video",
            "codec_name": evil,
            "width": 320,
            "height": 180,
            "pix_fmt": evil,
            "avg_frame_rate": "10/1",
            "field_order": evil,
            "color_transfer": evil,
            "profile": evil,
            "tags": {"language": evil, "DURATION": evil, evil: evil},
            "time_base": evil,
            "duration_ts": evil,
        },
        {
            "index": 1,
            "codec_type": "audio",
            "codec_name": evil,
            "channels": 1,
            "sample_rate": "44100",
            "tags": {"language": evil},
        },
    ]
    document = {
        "streams": streams,
        "format": {"format_name": evil, "duration": "2", "tags": {"major_brand": evil, "title": evil}},
    }
    facts = facts_of(json.dumps(document).encode(), 1000)
    work = Work(web(facts, heights=(180,)), steps((180,)), "/work", 1, input_path="/input", input_name=evil)

    words = [word for invocation in FFmpegPlugin().plan(work) for word in (*invocation.argv[1:], *invocation.makes)]

    assert Fraction(facts.duration) == 2
    assert not [word for word in words if "movie=" in word or "passwd" in word]
