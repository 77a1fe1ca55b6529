"""What a user names becomes the submission the server expects, or one clear refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.errors import ClientCode, ClientError
from client.options import SubmitOptions
from client.sources import LocalFile, RemoteInput, Source, key_for, read_metadata, read_source, read_submission
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, S3Object
from protocol.media import LiveInput

FILE = LocalFile(Path("my.mp4"))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("my.mp4", FILE),
        ("/a/b:c.mp4", LocalFile(Path("/a/b:c.mp4"))),
        ("server:/media/x.mkv", RemoteInput(JobInput(path="/media/x.mkv"))),
        ("http://h/x.mp4?a=1", RemoteInput(JobInput(url="http://h/x.mp4?a=1"))),
        ("HTTPS://h/x.mp4", RemoteInput(JobInput(url="HTTPS://h/x.mp4"))),
        ("live:rtmp", RemoteInput(JobInput(live=LiveInput(protocol="rtmp")))),
        ("live:srt", RemoteInput(JobInput(live=LiveInput(protocol="srt")))),
        ("live:https://h/l.m3u8", RemoteInput(JobInput(live=LiveInput(protocol="hls", url="https://h/l.m3u8")))),
        ("./live:rtmp", LocalFile(Path("live:rtmp"))),
        ("s3://bucket/a/b.mp4", RemoteInput(JobInput(s3=S3Object(bucket="bucket", key="a/b.mp4")))),
    ],
)
def test_inputs_are_told_apart_by_how_they_begin(text: str, source: Source) -> None:
    assert read_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["ftp://h/x.mp4", "s3://bucket", "s3:///key", "server:", "http://" + "x" * 5000, "live:", "live:hls", "live:rtmp://h/x"],
)
def test_other_inputs_are_refused_as_usage(text: str) -> None:
    with pytest.raises(ClientError) as caught:
        read_source(text)

    assert caught.value.code is ClientCode.USAGE


def test_what_the_user_did_not_set_is_left_to_the_server() -> None:
    submission = read_submission(FILE, SubmitOptions(inputs=["my.mp4"]))

    assert submission.model_dump(exclude_unset=True) == {}


def test_a_stream_is_made_with_the_profile_for_streams_unless_told() -> None:
    stream = RemoteInput(JobInput(live=LiveInput(protocol="rtmp")))

    told = [read_submission(stream, SubmitOptions(inputs=["live:rtmp"], profile=name)).profile for name in (None, "mine")]
    assert told == ["live", "mine"]


def test_every_option_has_its_field() -> None:
    options = SubmitOptions(
        inputs=["server:/x"],
        profile="web",
        priority=9,
        meta=["title=a=b", "empty="],
        ttl=60,
        webhook="https://hooks.example/x",
        expires_at="2027-01-31T00:00:00Z",
        requires=["encoder:libx264"],
        tag=["site:oslo"],
        strict=True,
    )

    assert read_submission(RemoteInput(JobInput(path="/x")), options) == JobSubmission(
        input=JobInput(path="/x"),
        profile="web",
        priority=9,
        metadata={"title": "a=b", "empty": ""},
        ttl_s=60,
        webhook_url="https://hooks.example/x",
        expires_at="2027-01-31T00:00:00Z",
        required_capabilities=frozenset({"encoder:libx264"}),
        tags=frozenset({"site:oslo"}),
        integrity="strict",
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (SubmitOptions(inputs=["x"], priority=11), "priority"),
        (SubmitOptions(inputs=["x"], priority=0), "priority"),
        (SubmitOptions(inputs=["x"], profile="Not A Name"), "profile"),
        (SubmitOptions(inputs=["x"], ttl=0), "ttl_s"),
        (SubmitOptions(inputs=["x"], tag=["oslo"]), "tags"),
        (SubmitOptions(inputs=["x"], meta=["a=\x1b[2J"]), "metadata"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_sent(options: SubmitOptions, field: str) -> None:
    with pytest.raises(ReelyardError) as caught:
        read_submission(FILE, options)

    assert (caught.value.code, caught.value.message.partition(":")[0].partition(".")[0]) == (ErrorCode.VALIDATION_FAILED, field)


@pytest.mark.parametrize("pair", ["title", "=x", ""])
def test_metadata_without_a_name_is_refused(pair: str) -> None:
    with pytest.raises(ClientError):
        read_metadata([pair])


def test_each_call_of_a_submit_has_its_own_idempotency_key() -> None:
    options = SubmitOptions(inputs=["a", "b"], idempotency_key="mine")

    assert [key_for(options, n) for n in (None, 0, 1)] == ["mine", "mine.0", "mine.1"]
    assert key_for(SubmitOptions(inputs=["a"]), 0) is None
