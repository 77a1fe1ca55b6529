"""Hostile words for every field of a client that could travel to a tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]  # Any: what a hostile client sends has no narrower type
RENDITION: Json = {
    "name": "180p",
    "height": 180,
    "crf": 23,
    "profile": "main",
    "level": "3.1",
    "audio": {"bitrate": 96_000, "sample_rate": 44_100},
    "min_source_width": 320,
    "min_source_height": 180,
}


@dataclass(frozen=True, slots=True)
class Injection:
    """A submission that must be refused: the field, and the words in it."""

    field: str
    body: Json
    codes: tuple[str, ...] = ("VALIDATION_FAILED",)

    @property
    def name(self) -> str:
        return f"{self.field}-{self.words[:30]!r}"

    @property
    def words(self) -> str:
        return str(_last(self.body))


def _last(value: object) -> object:
    """The innermost value of what was put in last."""
    while isinstance(value, Mapping | list) and value:
        value = value[-1] if isinstance(value, list) else list(value.values())[-1]
    return value


def _outputs(part: str, **fields: object) -> Json:
    return {"outputs": {part: fields}}


def _rendition(**fields: object) -> Json:
    return {"outputs": {"renditions": [{**{k: v for k, v in RENDITION.items() if k not in fields}, **fields}]}}


def _sound(**fields: object) -> Json:
    return _rendition(audio={"bitrate": 96_000, "sample_rate": 44_100} | fields)


def _rows() -> list[tuple[str, Json]]:
    return [
        ("profile", {"profile": "web; touch /tmp/evil"}),
        ("profile", {"profile": "../../etc/passwd"}),
        ("profile", {"profile": "web\n-f tee"}),
        ("rendition.name", _rendition(name="180p]file:/etc/cron.d/x")),
        ("rendition.name", _rendition(name="../../../x")),
        ("rendition.name", _rendition(name="%n%s")),
        ("rendition.height", _rendition(height="180:flags=bicubic,movie=/etc/passwd")),
        ("rendition.crf", _rendition(crf="23 -vf movie=/etc/passwd")),
        ("rendition.preset", _rendition(preset="medium -x264-params stats=/tmp/evil")),
        ("rendition.profile", _rendition(profile="high:level=1")),
        ("rendition.level", _rendition(level="4.0,movie=/etc/passwd")),
        ("rendition.level", _rendition(level="4.0\n")),
        ("rendition.codec", _rendition(codec="h264;copy")),
        ("rendition.encoders", _rendition(encoders=["libx264 -f tee"])),
        ("rendition.encoders", _rendition(encoders=["frei0r=/tmp/evil.so"])),
        ("rendition.audio.codec", _sound(codec="aac|file:/tmp/evil")),
        ("rendition.audio.bitrate", _sound(bitrate="96k -af amovie=/etc/passwd")),
        ("rendition.audio.sample_rate", _sound(sample_rate="44100,amovie=x")),
        ("rendition.filter", _rendition(filter="drawtext=textfile=/etc/passwd")),
        ("outputs.renditions", {"outputs": {"renditions": ["720p -i /etc/passwd"]}}),
        ("outputs.x264_params", _outputs("x264_params", stats="/tmp/evil")),
        ("outputs.arguments", {"outputs": {"arguments": ["-vf", "movie=/etc/passwd"]}}),
        ("hls.segment_seconds", _outputs("hls", segment_seconds="10:hls_base_url=http://127.0.0.1/")),
        ("hls.format", _outputs("hls", format="ts]file:/tmp/evil")),
        ("hls.key_info_file", _outputs("hls", key_info_file="/etc/passwd")),
        ("audio.codec", _outputs("audio", codec="mp3 -f tee")),
        ("audio.bitrate", _outputs("audio", bitrate="192000[out]")),
        ("thumbnails.percents", _outputs("thumbnails", percents=["0,drawtext=textfile=/etc/passwd"])),
        ("thumbnails.path", _outputs("thumbnails", path="/etc/cron.d/x")),
        ("transcription.language", _outputs("transcription", language="en; touch /tmp/evil")),
        ("transcription.model", _outputs("transcription", model="../../etc/passwd")),
        ("transcription.model", _outputs("transcription", model="/etc/passwd")),
        ("tags", {"tags": ["$(touch /tmp/evil)"]}),
        ("tags", {"tags": ["a\nb"]}),
        ("required_capabilities", {"required_capabilities": ["encoder:libx264 -f tee"]}),
        ("priority", {"priority": "5 -i /etc/passwd"}),
        ("metadata", {"metadata": {"title": "a\u0000-i /etc/passwd"}}),
        ("webhook_url", {"webhook_url": "file:///etc/passwd"}),
        ("thumbnail.upload_id", {"thumbnail": {"upload_id": "../../etc/passwd"}}),
        ("input.upload_id", {"input": {"upload_id": "/etc/passwd"}}),
        ("input.kind", {"input": {"path": "{clip}", "format": "concat"}}),
    ]


PATHS = (
    *("/etc/passwd", "{roots}/../../../../../../etc/passwd", "/proc/self/environ", "/dev/stdin", "file:///etc/passwd", "fd:0"),
    *("pipe:0", "concat:/etc/passwd|/etc/hosts", "subfile,,start,0,end,64,,:/etc/passwd", "-i", "{roots}/%03d.mp4"),
)
URLS = (
    *("file:///etc/passwd", "concat:http://a/|http://b/", "data:video/mp4;base64,AAAA", "unix:/tmp/x.sock", "http://127.0.0.1/"),
    *("subfile,,start,0,end,64,,:/etc/passwd", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "pipe:0", "-i /etc"),
)
NAMES = (
    *("-i /etc/passwd.mp4", "$(touch /tmp/evil).mp4", "`touch evil`.mp4", "a;touch evil;.mp4", "%n%s%03d.mp4", "concat:a|b.mp4"),
    *("http:127.0.0.1.mp4", "a'b[out]movie=evil.mp4", "-vf movie=evil.mp4", "|tee evil.mp4", "evil\u202e4pm.mp4"),
)
"""File names, which a job may have: they are for people, and reach no tool."""


def submissions() -> tuple[Injection, ...]:
    """What is sent to the call that makes jobs; `{clip}` and `{roots}` are a film the server may read and its directory."""
    fields = [Injection(field, {"profile": "web", "input": {"path": "{clip}"}, **body}) for field, body in _rows()]
    refused = ("VALIDATION_FAILED", "PATH_NOT_ALLOWED", "INPUT_NOT_FOUND")
    paths = [Injection("input.path", {"profile": "web", "input": {"path": path}}, refused) for path in PATHS]
    denied = ("VALIDATION_FAILED", "INPUT_URL_REFUSED")
    return (*fields, *paths, *(Injection("input.url", {"profile": "web", "input": {"url": url}}, denied) for url in URLS))
