"""The graphs for each thing that can be done to a picture, compared with recorded ones that were read and run; and that no
word of a file or a client ever stands in one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.ladder import plan_transcode
from dispatch.core.picturing import shown
from dispatch.core.plans import Film, Planned
from plugins.ffmpeg import burning, command, sources
from plugins.ffmpeg.filters import build
from protocol.encoding import Hdr, Preset, VideoCodec
from protocol.extras import Thumbnails
from protocol.media import AudioStream, Chapter, Colour, MasteringDisplay, MediaFacts, SubtitleStream, VideoStream
from protocol.pictures import BurnIn, Clip, Crop, Deinterlace, Picture, Position, Watermark
from protocol.profiles import Profile, Rendition
from protocol.recipes import TranscodeRecipe

GOLDEN = Path(__file__).parent / "ffmpeg_graphs"
PQ = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")
DIM = MasteringDisplay(red=(1, 1), green=(1, 1), blue=(1, 1), white=(1, 1), luminance=(1, 6_000_000), max_content=609)
KEPT = Rendition(name="hdr", height=1080, codec=VideoCodec.HEVC, crf=20, bit_depth=10, hdr=Hdr.KEEP)


def source(*, width: int = 1920, height: int = 1080, seconds: int = 20, sound: bool = True, **more: Any) -> MediaFacts:
    told = {"coded_width": width, "coded_height": height, "frame_rate": "25", "duration": str(seconds), **more}
    picture = VideoStream(index=0, codec="h264", width=width, height=height, **told)
    track = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000, duration=str(seconds), language="eng")
    audio = (track,) if sound else ()
    text = SubtitleStream(index=2, codec="subrip", language="eng")
    return MediaFacts(
        container="mp4",
        duration=str(seconds),
        size_bytes=1000,
        bitrate=400,
        video=picture,
        audio=audio,
        streams=3,
        subtitles=(text,),
    )


def planned(facts: MediaFacts, *more: Rendition, **parts: Any) -> TranscodeRecipe:
    rungs = tuple(Rendition(name=f"{height}p", height=height, crf=23, preset=Preset.FAST) for height in (720, 360))
    profile = Profile(name="made", renditions=(*rungs, *more), thumbnails=Thumbnails(percents=(25,)), **parts)
    film = shown(Film(profile, facts))
    assert isinstance(film, Film), film
    plan = plan_transcode(film)
    assert isinstance(plan, Planned), plan
    return plan.recipe


def hdr(**more: Any) -> MediaFacts:
    return source(colour=PQ, is_hdr=True, bit_depth=10, pixel_format="yuv420p10le", **more)


def several() -> MediaFacts:
    parts = {
        "attachment-intro": source(width=640, height=480, seconds=3, sound=False, frame_rate="30000/1001"),
        "attachment-end": hdr(seconds=5),
    }
    return source().model_copy(update={"parts": parts})


RECIPES: dict[str, TranscodeRecipe] = {
    "tone_mapped": planned(hdr(width=3840, height=2160, mastering=DIM)),
    "hdr_kept_beside": planned(hdr(), KEPT),
    "hlg": planned(source(colour=PQ.model_copy(update={"transfer": "arib-std-b67"}), is_hdr=True, bit_depth=10)),
    "wide_gamut": planned(source(colour=Colour(primaries="bt2020", matrix="bt2020nc"), bit_depth=10)),
    "old_television": planned(source(height=720, width=960, colour=Colour(matrix="smpte170m", range="pc"))),
    "rgb": planned(source(colour=Colour(matrix="gbr"), pixel_format="gbrp")),
    "framed": planned(source(), picture=Picture(crop=Crop(left=241, right=240, top=2), rotate=90, pad_to="16:9")),
    "anamorphic": planned(source(coded_width=1440, sample_aspect_ratio="4/3"), picture=Picture(crop=Crop(top=100, bottom=100))),
    "deinterlaced_always": planned(source(), picture=Picture(deinterlace=Deinterlace.ALWAYS)),
    "deinterlaced_never": planned(source(is_interlaced=True), picture=Picture(deinterlace=Deinterlace.NEVER)),
    "clip": planned(source(), clip=Clip(start=2.5, end=7.04)),
    "marked": planned(source(), watermark=Watermark(position=Position.TOP_LEFT, opacity=0.5, margin_percent=1.5)),
    "written_on": planned(source(), burn_in=BurnIn(language="en"), clip=Clip(start=2)),
    "all_at_once": planned(
        hdr(width=3840, height=2160),
        watermark=Watermark(),
        burn_in=BurnIn(attachment="words"),
        clip=Clip(start=1, end=9),
        picture=Picture(crop=Crop(top=280, bottom=280)),
    ),
    "several": planned(several(), concat=("intro", "input", "end")),
    "several_clipped": planned(several(), concat=("intro", "input", "end"), clip=Clip(start=1.5, end=25), watermark=Watermark()),
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_graphs_and_inputs_are_those_recorded(name: str) -> None:
    found = {"inputs": list(sources.arguments(RECIPES[name], 2)), "graph": build(RECIPES[name]).text.split(";")}

    assert found == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def test_every_graph_is_recorded_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(RECIPES)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_inputs_are_opened_by_their_descriptors_in_the_order_of_the_graph(name: str) -> None:
    recipe = RECIPES[name]
    given = {f"attachment-{word}": f"/in/{word}" for word in ("intro", "end", "watermark", "words")}
    argv = command.transcode("ffmpeg", recipe, 2)
    reads = sources.reads(recipe, "/in/own", given)

    assert [argv[n + 1] for n, word in enumerate(argv) if word == "-i"] == ["fd:"] * len(reads)
    assert [argv[n + 1] for n, word in enumerate(argv) if word == "-fd"] == [f"{{fd{n}}}" for n in range(len(reads))]
    assert [argv[n + 1] for n, word in enumerate(argv) if word == "-protocol_whitelist"] == ["fd"] * len(reads)
    assert not [word for word in argv if "/in/" in word]


# --- injection

HOSTILE = "';[0:v]movie=/etc/passwd[x],drawtext=text=\\%{pwd}'"


def poisoned(value: Any) -> Any:
    """The same facts with every text that a file could have chosen replaced."""
    match value:
        case MediaFacts():
            inside = {name: poisoned(getattr(value, name)) for name in ("video", "audio", "subtitles", "chapters")}
            parts = {name: poisoned(part) for name, part in value.parts.items()}
            return value.model_copy(update={**inside, "container": HOSTILE, "parts": parts})
        case tuple():
            return tuple(map(poisoned, value))
        case VideoStream():
            words = Colour(primaries=HOSTILE, transfer=HOSTILE, matrix=HOSTILE, range=HOSTILE)
            return value.model_copy(update={"codec": HOSTILE, "pixel_format": HOSTILE, "colour": words})
        case AudioStream():
            return value.model_copy(update={"codec": HOSTILE, "language": HOSTILE, "title": HOSTILE, "layout": HOSTILE})
        case SubtitleStream():
            return value.model_copy(update={"codec": HOSTILE, "title": HOSTILE})
        case Chapter():
            return value.model_copy(update={"title": HOSTILE})
        case _:
            return value


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_no_text_of_a_file_stands_in_a_graph(name: str) -> None:
    recipe = RECIPES[name]
    parts = tuple(part.model_copy(update={"facts": poisoned(part.facts)}) for part in recipe.parts)
    recipe = recipe.model_copy(update={"source": poisoned(recipe.source), "parts": parts})
    graph, given = build(recipe).text, " ".join(sources.arguments(recipe, 2))

    assert not [word for word in ("movie", "passwd", "drawtext", "pwd") if word in graph or word in given]
    assert re.fullmatch(r"[a-zA-Z0-9_.:;,=/\[\]()+*\-'<>|]+", graph)


def fields_of_text(model: dict[str, Any], at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a profile as JSON holds text, however deep."""
    found: list[tuple[str, ...]] = []
    for name, value in model.items():
        if isinstance(value, str):
            found.append((*at, name))
        elif isinstance(value, dict):
            found += fields_of_text(value, (*at, name))
    return found


WORDS: dict[str, Any] = {
    "picture": {"deinterlace": "auto", "pad_to": "16:9"},
    "watermark": {"attachment": "logo", "position": "center"},
    "burn_in": {"attachment": "words"},
}


@pytest.mark.parametrize("place", [*fields_of_text(WORDS), ("burn_in", "language")])
@pytest.mark.parametrize("text", [HOSTILE, "16:9,movie=x", "a b", "../x", "x'", "x:y=z", "é", ""])
def test_no_text_of_a_client_is_taken_that_could_end_a_filter(place: tuple[str, str], text: str) -> None:
    part, field = place
    told = {"name": "x", part: {**(WORDS[part] if field != "language" else {}), field: text}}

    with pytest.raises(ValueError, match=field):
        Profile.model_validate_json(json.dumps(told))


@pytest.mark.parametrize("name", ["x;y", "a/b", "../c", "A", "x'"])
def test_parts_have_plain_names(name: str) -> None:
    with pytest.raises(ValueError, match="concat"):
        Profile.model_validate_json(json.dumps({"name": "x", "concat": [name]}))


def test_subtitles_are_read_by_number_or_by_descriptor() -> None:
    by_track = RECIPES["written_on"].picture.burn_in
    by_file = RECIPES["all_at_once"].picture.burn_in
    assert by_track is not None
    assert by_file is not None

    for burn_in, chosen in ((by_track, "0:2"), (by_file, "0:s:0")):
        argv = burning.convert("ffmpeg", burn_in)
        assert argv[argv.index("-map") + 1] == chosen
        assert argv[argv.index("-i") + 1] == "fd:"
