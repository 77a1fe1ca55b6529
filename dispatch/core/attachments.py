"""Files that come with a job beside its input: what each is for, by its first bytes whether it can be that, where it lies.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

from dispatch.core import sniffing, thumbnails
from dispatch.core.originals import extension_of
from dispatch.core.paging import refuse
from dispatch.core.records import Job
from protocol.errors import ReelyardError
from protocol.jobs import Attachment
from protocol.profiles import Profile

MOST_PICTURE_BYTES, MOST_TEXT_BYTES = 20_000_000, 4_000_000
_BINARY = 0.02
"""A text has at most this share of control bytes among its first ones."""


class Use(StrEnum):
    PICTURE = "picture"
    """A watermark."""
    MEDIA = "media"
    """A part of a film made of several."""
    TEXT = "text"
    """Subtitles, to be burnt in or published beside the film."""


@dataclass(frozen=True, slots=True)
class Attached:
    """One file as it lies in the storage. `size` in bytes; `filename` is the client's, for people."""

    path: str
    size: int
    filename: str
    use: Use
    language: str | None = None


def uses_of(profile: Profile, wanted: Mapping[str, Attachment]) -> Mapping[str, Use]:
    """What each file is for. Raises VALIDATION_FAILED for one the profile needs and misses, or has no use for."""
    missing = sorted(profile.attachments - wanted.keys())
    if missing:
        raise refuse(f"attachments.{missing[0]}", f"is required: profile {profile.name} uses it")
    found: dict[str, Use] = {}
    for name in wanted:
        if profile.watermark is not None and profile.watermark.attachment == name:
            found[name] = Use.PICTURE
        elif name in profile.concat:
            found[name] = Use.MEDIA
        elif profile.subtitles is not None or (profile.burn_in is not None and profile.burn_in.attachment == name):
            found[name] = Use.TEXT
        else:
            raise refuse(f"attachments.{name}", f"is of no use: profile {profile.name} {_unnamed(profile)}")
    return found


def _unnamed(profile: Profile) -> str:
    """Whoever brings subtitles to be burnt in easily leaves in the profile that the film's own are."""
    why = "names it nowhere, and has no subtitles"
    if profile.burn_in is None or profile.burn_in.language is None:
        return why
    return f"{why}; its burn_in draws the film's own track in {profile.burn_in.language}: give burn_in.attachment for a file"


def check(name: str, use: Use, head: bytes, size: int, *, most_bytes: int) -> None:
    """Holds the first bytes against what the file is for. Raises VALIDATION_FAILED, and the codes of inputs for media."""
    problem = _CHECKS[use](head, size) if use is not Use.MEDIA else _media(head, size, most_bytes)
    if problem is not None:
        raise _refused(name, problem)


def path_of(root: str, job_id: str, name: str, filename: str) -> str:
    return f"{root}/raw/{job_id}_attachment-{name}.{extension_of(filename)}"


def stored(files: Mapping[str, Attached]) -> str | None:
    return orjson.dumps({name: asdict(file) for name, file in files.items()}).decode() if files else None


def of_job(job: Job) -> Mapping[str, Attached]:
    if job.attachments_json is None:
        return {}
    told = orjson.loads(job.attachments_json)
    return {
        name: Attached(one["path"], one["size"], one["filename"], Use(one["use"]), one["language"]) for name, one in told.items()
    }


def _refused(name: str, problem: str) -> ReelyardError:
    return refuse(f"attachments.{name}", problem)


def _picture(head: bytes, size: int) -> str | None:
    if size > MOST_PICTURE_BYTES:
        return f"is larger than {MOST_PICTURE_BYTES} bytes"
    return "is no JPEG, PNG or WebP picture" if thumbnails.type_of(head) is None else None


def _text(head: bytes, size: int) -> str | None:
    if size > MOST_TEXT_BYTES:
        return f"is larger than {MOST_TEXT_BYTES} bytes"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    control = sum(byte < 32 and byte not in b"\t\n\r\x0c" for byte in head)
    return "is no text: subtitles are SRT, WebVTT or ASS files" if not head or control > _BINARY * len(head) else None


def _media(head: bytes, size: int, most_bytes: int) -> str | None:
    return f"is larger than {most_bytes} bytes" if size > most_bytes else sniffing.refusal(head)


_CHECKS = {Use.PICTURE: _picture, Use.TEXT: _text}
