"""Whatever profile is taken and whatever film comes: planning answers, by recipes that hold and files that are each one's own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dispatch.core.followers import plan_job
from dispatch.core.picturing import parts_of
from dispatch.core.planning import RECIPE
from dispatch.core.plans import Beside, Planned
from dispatch.core.profile_rules import check_whole
from protocol.errors import ReelyardError
from protocol.media import AudioStream, Chapter, Colour, MediaFacts, SubtitleStream, VideoStream
from protocol.profiles import Profile
from protocol.recipes import PackageRecipe, Recipe
from protocol.results import Failure

Part = dict[str, Any]
WORDS = (None, "eng", "de", "fra", "und", "../../etc", "x\n#EXT-X", "a,b=c:d'", "", "x" * 200)
LENGTHS = ("1", "20", "20", "60", "3600", "1/3", "86400", "1001/30000")
PLACES = frozenset(
    (
        "path",
        "playlist",
        "segments",
        "index",
        "own_thumbnail",
        "chapters",
        "speech",
        "master_playlist",
        "content_path",
        "srt",
        "vtt",
    )
)
NAMES = (
    "360p",
    "720p",
    "small",
    "a-b",
    "x_y",
    "video_compare",
    "t",
    "compare",
    "frames",
    "raw",
    "audio",
    "cmaf",
    "speech",
    "analysis",
)
RATES: tuple[Part, ...] = ({"crf": 0}, {"crf": 51}, {"bitrate": 10_000}, {"target": {"vmaf": 90}}, {"quality": "max"})


def rung(r: Random) -> Part:
    codec = r.choice(("h264", "h264", "hevc", "av1", "vp9"))
    made: Part = {"name": r.choice(NAMES), "height": r.choice((16, 17, 90, 180, 360, 361, 1080)), "codec": codec}
    made |= r.choice(RATES)
    made |= r.choice(({}, {"keeps_smaller": True}, {"max_fps": 10}, {"max_fps": 24}, {"min_source_width": 10**20}))
    made |= r.choice(({}, {"audio": {"codec": "opus"}}, {"audio": {"codec": "ac3", "bitrate": 640_000}}, {"max_bitrate": 10**8}))
    return made | (r.choice(({}, {"bit_depth": 10}, {"bit_depth": 10, "hdr": "keep"})) if codec != "h264" else {})


def rungs(r: Random) -> list[Part]:
    return [rung(r) for _ in range(r.randint(1, 3))]


def parts(r: Random) -> Iterator[tuple[float, str, Any]]:
    """How often each part is there, and what it then says."""
    yield 0.85, "renditions", rungs(r)
    yield 0.1, "compare", {"renditions": [rung(r), rung(r)]}
    yield 0.1, "tool", "handbrake"
    yield 0.1, "per_title", {}
    yield 0.2, "hls", {"segment_seconds": r.choice((1, 60)), "format": r.choice(("ts", "fmp4"))}
    encryption = r.choice(({}, {"encryption": {"scheme": "cenc", "systems": ["widevine"]}}))
    yield 0.2, "packaging", {"hls": r.random() < 0.7, "dash": r.random() < 0.7, **encryption}
    crop = {"left": r.choice((0, 1, 100)), "bottom": r.choice((0, 20, 340))}
    shape = {"pad_to": r.choice(("16:9", "99:1", "1:1")), "rotate": r.choice((0, 90, 180)), "crop_black": r.random() < 0.3}
    yield 0.3, "picture", r.choice(({"crop": crop}, shape, {**shape, "crop": crop}, {"deinterlace": "always"}))
    yield 0.2, "clip", {"start": r.choice((0, 0.001, 1, 19.99, 86_400)), "end": r.choice((None, 0.5, 20, 86_400))}
    yield 0.15, "concat", r.choice((["input", "a"], ["a", "input", "b"], ["input"], ["a", "input", "a"]))
    yield 0.2, "watermark", {"attachment": r.choice(("watermark", "a")), "width_percent": r.choice((1, 100))}
    yield 0.15, "burn_in", r.choice(({"attachment": "subs"}, {"language": "de"}))
    yield (
        0.3,
        "sound",
        r.choice(({"tracks": "all"}, {"channels": "keep"}, {"languages": ["de"]}, {"tracks": "all", "loudness": {}})),
    )
    yield 0.3, "audio", r.choice(({}, {"codec": "opus"}, {"codec": "aac", "sample_rate": 96_000}))
    yield 0.3, "thumbnails", r.choice(({}, {"percents": [], "seconds": [0.0001, 5, 5, 86_400]}, {"percents": [1, 1, 25]}))
    yield 0.2, "sprite", {"interval_seconds": r.choice((0.5, 600)), "width": r.choice((32, 33)), "most": r.choice((1, 200))}
    yield 0.3, "subtitles", r.choice(({}, {"formats": ["srt", "srt"]}, {"languages": ["de"]}))
    yield 0.2, "transcription", {"required": r.random() < 0.5}
    yield 0.2, "frames", r.choice(({"fps": 0.001}, {"fps": 120}, {"every_nth": 1_000_000, "max_height": 16}))
    yield 0.2, "quality_metrics", {"metrics": ["psnr", "psnr"], "sample_seconds": 3600}
    yield 0.1, "content", {"scenes": r.random() < 0.5}


def profile(r: Random) -> Profile | None:
    """None for one that is refused."""
    told = {name: what for often, name, what in parts(r) if r.random() < often}
    try:
        found = Profile.model_validate_json(json.dumps({"name": "any", **told}))
        check_whole(found)
    except (ValidationError, ReelyardError):
        return None
    return found


def picture(r: Random) -> VideoStream:
    width, height = r.choice((16, 17, 320, 640, 1921, 8192)), r.choice((16, 17, 180, 720, 1081, 4352))
    transfer = r.choice(("", "bt709", "smpte2084", "arib-std-b67"))
    return VideoStream(
        index=0,
        codec=r.choice(("h264", "vp9", "mjpeg")),
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        rotation=r.choice((0, 90, -90)),
        sample_aspect_ratio=r.choice(("1", "4/3")),
        frame_rate=r.choice(("25", "30000/1001", "1/10", "120", "15/2")),
        is_interlaced=r.random() < 0.3,
        is_hdr=r.random() < 0.3,
        bit_depth=r.choice((8, 10, 12)),
        start=r.choice(("0", "-1/25", "5")),
        frames=r.choice((None, 0, 500)),
        duration=r.choice((None, *LENGTHS)),
        colour=Colour(transfer=transfer, primaries=transfer, matrix=transfer),
    )


def film(r: Random) -> MediaFacts:
    return MediaFacts(
        container="matroska",
        duration=r.choice(LENGTHS),
        size_bytes=1000,
        bitrate=None,
        video=picture(r) if r.random() < 0.85 else None,
        audio=tuple(sound(r, n) for n in range(1, r.randint(1, 4))),
        subtitles=tuple(words(r, n) for n in range(5, r.randint(5, 8))),
        chapters=tuple(chapter(r) for _ in range(r.randint(0, 2))),
        streams=3,
    )


def sound(r: Random, index: int) -> AudioStream:
    channels, rate = r.choice((1, 2, 3, 6, 8, 24)), r.choice((0, 8000, 48_000, 192_000))
    told = {"language": r.choice(WORDS), "title": r.choice(WORDS), "duration": r.choice((None, *LENGTHS))}
    return AudioStream(index=index, codec="aac", channels=channels, sample_rate=rate).model_copy(update=told)


def words(r: Random, index: int) -> SubtitleStream:
    told, is_text = (r.choice(WORDS), r.choice(WORDS)), r.random() < 0.8
    return SubtitleStream(index=index, codec="ass", language=told[0], title=told[1], is_text=is_text)


def chapter(r: Random) -> Chapter:
    return Chapter(start=r.choice(LENGTHS), end=r.choice(LENGTHS), title=r.choice(WORDS) or "")


def written(value: object) -> Iterator[str]:
    """Every path that a recipe names, but those of what it reads and of what it tries."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(inner, str) and name in PLACES:
                yield inner
            elif name not in ("source", "parts", "rendition", "probes", "ladder"):
                yield from written(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for inner in value:
            yield from written(inner)


def made_by(recipe: Recipe) -> list[str]:
    return [] if isinstance(recipe, PackageRecipe) else list(written(json.loads(recipe.model_dump_json())))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_profile_that_is_taken_can_be_planned_for_any_film(seed: int) -> None:
    r = Random(seed)
    found = next(made for made in (profile(r) for _ in range(1000)) if made is not None)
    facts = film(r).model_copy(update={"parts": {name: film(r) for name in parts_of(found)}})

    plans = plan_job(found, facts, lambda _: r.random() < 0.5, None, Beside(has_thumbnail=r.random() < 0.2))

    if isinstance(plans, Failure):
        assert plans.message
        return
    recipes = [plan.recipe for plan in plans.values() if isinstance(plan, Planned)]
    assert [RECIPE.validate_json(recipe.model_dump_json()) for recipe in recipes] == recipes
    paths = Counter(path for recipe in recipes for path in made_by(recipe))
    assert [path for path, count in paths.items() if count > 1] == []
    assert [path for path in paths if path.startswith("/") or ".." in path.split("/") or not path.isprintable()] == []
    assert [path for path in paths if any(other.startswith(f"{path}/") for other in paths)] == []
