"""Sound in other tracks and subtitles, as a master playlist names them."""

from __future__ import annotations

from fractions import Fraction

from plugins.media import hls
from plugins.media.master import master
from plugins.media.sound_proof import ProvenTrack, SoundProof
from plugins.media.soundtracks import heard, host, own_playlists
from plugins.media.subtitles import Cue, ProvenText
from plugins.media.text_playlists import texts_of
from plugins.media.verify import Proof, ProvenRendition
from protocol.extras import TextFormat
from protocol.media import AudioStream
from protocol.recipes import PlannedSubtitle, PlannedTrack, TranscodeRecipe
from protocol.results import FileRole
from tests.ffmpeg_recipes import web
from tests.unit.dispatch_jobs import video

PLAYLIST = hls.Playlist((("segment_000.ts", Fraction(10)), ("segment_001.ts", Fraction(10))), None)


def track(stream: int, name: str, *, title: str | None = None) -> PlannedTrack:
    is_first = stream == 1
    return PlannedTrack(
        stream=stream,
        name=name,
        language=name.partition("-")[0],
        title=title,
        is_default=is_first,
        playlist=None if is_first else f"audio/{name}/playlist.m3u8",
        segments=None if is_first else f"audio/{name}/segment_%03d.ts",
    )


def recipe(*tracks: PlannedTrack, subtitles: tuple[PlannedSubtitle, ...] = ()) -> TranscodeRecipe:
    streams = tuple(AudioStream(index=one.stream, codec="aac", channels=2, sample_rate=48_000, duration="20") for one in tracks)
    source = video(1280, 720).model_copy(update={"audio": streams})
    return web(source).model_copy(update={"tracks": tracks, "subtitles": subtitles})


def proof(made: TranscodeRecipe) -> Proof:
    """Each rendition has segments of 1 and 2 MB, and each track's own playlist some of 100 and 200 kB."""
    sizes = (1_000_000, 2_000_000)
    renditions = (ProvenRendition(one, made.source, "avc1.4D401F,mp4a.40.2", PLAYLIST, sizes) for one in made.renditions)
    beside = (ProvenTrack(one, PLAYLIST, (100_000, 200_000)) for one in own_playlists(made))
    return Proof(tuple(renditions), SoundProof(playlists=tuple(beside)), texts_of(made, spoken(made)))


def spoken(made: TranscodeRecipe) -> tuple[ProvenText, ...]:
    return tuple(ProvenText(one, (Cue(1000, 2000, "Hello"),)) for one in made.subtitles)


def written(made: TranscodeRecipe) -> list[str]:
    return master(made, proof(made), "hls/master.m3u8").decode().splitlines()


def text(name: str, *, is_forced: bool = False) -> PlannedSubtitle:
    path = f"subtitles/{name}.vtt"
    return PlannedSubtitle(name=name, stream=9, language=name[:2], is_forced=is_forced, paths={TextFormat.VTT: path})


def test_one_track_is_no_group() -> None:
    lines = written(recipe(track(1, "en")))

    assert not [line for line in lines if "EXT-X-MEDIA" in line or "AUDIO=" in line]
    assert "BANDWIDTH=1600000,AVERAGE-BANDWIDTH=1200000," in lines[3]


def test_the_default_track_lies_in_the_variants_and_the_others_have_addresses() -> None:
    lines = written(recipe(track(1, "en"), track(2, "fr", title="Commentaire"), track(3, "en-2")))

    assert lines[3:6] == [
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="en",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Commentaire",LANGUAGE="fr",DEFAULT=NO,AUTOSELECT=YES,CHANNELS="2",'
        'URI="../audio/fr/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="en-2",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=NO,CHANNELS="2",'
        'URI="../audio/en-2/playlist.m3u8"',
    ]
    assert lines[6].startswith("#EXT-X-STREAM-INF:BANDWIDTH=1760000,AVERAGE-BANDWIDTH=1320000,")
    assert lines[6].endswith(',CODECS="avc1.4D401F,mp4a.40.2",AUDIO="audio"')


def test_titles_that_are_the_same_are_told_apart_by_their_names() -> None:
    lines = written(recipe(track(1, "en", title="Stereo"), track(2, "fr", title="Stereo")))

    assert [line.split(",")[2] for line in lines[3:5]] == ['NAME="en"', 'NAME="fr"']


def test_the_tracks_are_encoded_once_beside_the_rendition_with_the_most_bits() -> None:
    made = recipe(track(1, "en"), track(2, "fr"))
    carrier = host(made)

    assert carrier is not None
    assert carrier.rendition.name == "720p"
    assert [one.planned.name for one in own_playlists(made)] == ["fr"]
    assert own_playlists(made.model_copy(update={"hls": None})) == ()
    assert [one.place for one in heard(made)] == [0, 1]


def test_subtitles_tell_how_their_times_fit_the_picture() -> None:
    made = recipe(track(1, "en"), subtitles=(text("en"), text("en-forced", is_forced=True)))
    lines, (first, _) = written(made), texts_of(made, spoken(made))
    files = {path: (content.decode(), facts.role) for path, content, facts in first.files()}

    assert lines[3:5] == [
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="en",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,'
        'URI="../subtitles/en/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="en-forced",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,'
        'URI="../subtitles/en-forced/playlist.m3u8"',
    ]
    assert lines[5].endswith(',SUBTITLES="subtitles"')
    assert files == {
        "subtitles/en/segment_000.vtt": (
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:02.000\nHello\n",
            FileRole.SEGMENT,
        ),
        "subtitles/en/playlist.m3u8": (
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:20\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:20.000000,\n"
            "segment_000.vtt\n#EXT-X-ENDLIST\n",
            FileRole.PLAYLIST,
        ),
    }
