"""What playlists and manifests come down to, and which of them are refused before anything is fetched."""

from __future__ import annotations

import pytest

from engine.core import dash_input, hls_input
from engine.core.fetching import InputFailed, Span
from engine.core.hls_input import Choice
from engine.core.tracks import Key, Piece, Track, kind_of

URL = "https://cdn.example/films/a/list.m3u8?sig=1"
BASE = "https://cdn.example/films/a/"
END = "#EXT-X-ENDLIST\n"
ONE = "#EXTINF:1,\na.ts\n"


def hls(text: str) -> Choice | Track:
    return hls_input.read(f"#EXTM3U\n{text}", URL)


def dash(body: str, attributes: str = "", period: str = 'duration="PT4S"') -> tuple[Track, ...]:
    xml = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {attributes}><Period {period}>{body}</Period></MPD>'
    return dash_input.read(xml.encode(), f"{BASE}film.mpd")


def adapted(inside: str, kind: str = "video/mp4") -> str:
    return f'<AdaptationSet mimeType="{kind}"><Representation id="r1" bandwidth="9">{inside}</Representation></AdaptationSet>'


# --- HLS


def test_segments_are_relative_to_the_playlist() -> None:
    text = "#EXTINF:1,\na.ts\n#EXTINF:1,\n../b.ts?x=1\n#EXTINF:1,\n//other.example/c.ts\n" + END

    urls = (f"{BASE}a.ts", "https://cdn.example/films/b.ts?x=1", "https://other.example/c.ts")
    assert hls(text) == Track(tuple(map(Piece, urls)), "ts")


def test_byte_ranges_follow_each_other_within_one_file() -> None:
    ranges = ("10@5", "20", "7@100", "3")
    text = "".join(f"#EXT-X-BYTERANGE:{r}\n#EXTINF:1,\na.ts\n" for r in ranges) + END
    track = hls(text)

    assert isinstance(track, Track)
    assert [piece.span for piece in track.pieces] == [Span(5, 10), Span(15, 20), Span(100, 7), Span(107, 3)]


def test_the_initialization_section_comes_first_and_makes_it_mp4() -> None:
    track = hls(f'#EXT-X-MAP:URI="init.mp4",BYTERANGE="90@0"\n#EXTINF:1,\na.m4s\n{END}')

    assert track == Track((Piece(f"{BASE}init.mp4", Span(0, 90)), Piece(f"{BASE}a.m4s")), "mp4")


def test_keys_change_and_end_and_count_segments_where_they_have_no_vector() -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k1"'
    text = f"#EXT-X-MEDIA-SEQUENCE:7\n{key}\n{ONE}{ONE}{key},IV=0x0A\n{ONE}#EXT-X-KEY:METHOD=NONE\n{ONE}{END}"
    track = hls(text)

    assert isinstance(track, Track)
    k1 = f"{BASE}k1"
    assert [piece.key for piece in track.pieces] == [
        Key(k1, bytes(15) + b"\x07"),
        Key(k1, bytes(15) + b"\x08"),
        Key(k1, bytes(15) + b"\x0a"),
        None,
    ]


def test_an_initialization_section_has_the_key_that_stands_before_it() -> None:
    init, key = '#EXT-X-MAP:URI="i"\n', '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1\n'
    plain, sealed = hls(f"{init}{key}{ONE}{END}"), hls(f"{key}{init}{ONE}{END}")

    vector = Key(f"{BASE}k", bytes(15) + b"\x01")
    assert isinstance(plain, Track)
    assert isinstance(sealed, Track)
    assert [piece.key for piece in plain.pieces] == [None, vector]
    assert [piece.key for piece in sealed.pieces] == [vector, vector]


def test_the_largest_picture_with_the_highest_bandwidth_is_chosen_with_its_default_sound() -> None:
    variants = (("1920x1080", 5), ("1280x720", 9), ("1920x1080", 6))
    text = "".join(f'#EXT-X-STREAM-INF:BANDWIDTH={b},RESOLUTION={r},AUDIO="g"\n{r}-{b}.m3u8\n' for r, b in variants) + "".join(
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{group}",NAME="{name}",DEFAULT={default},URI="{name}.m3u8"\n'
        for group, name, default in (("g", "no", "NO"), ("h", "other", "YES"), ("g", "yes", "YES"))
    )

    assert hls(text) == Choice(f"{BASE}1920x1080-6.m3u8", f"{BASE}yes.m3u8")


@pytest.mark.parametrize("media", ["", '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="g",NAME="n",DEFAULT=YES\n'])
def test_sound_without_a_playlist_of_its_own_is_in_the_variant(media: str) -> None:
    assert hls(f'#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="g"\nv.m3u8\n{media}') == Choice(f"{BASE}v.m3u8", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ONE, "live"),
        (f"#EXT-X-PLAYLIST-TYPE:EVENT\n{ONE}", "live"),
        (END, "no segments"),
        (f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"\n{ONE}{END}', "DRM"),
        (f'#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="com.apple.streamingkeydelivery"\n{ONE}{END}', "DRM"),
        (f"#EXT-X-KEY:METHOD=AES-128\n{ONE}{END}", "DRM"),
        (f'#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXT-X-MAP:URI="i"\n{ONE}{END}', "without an IV"),
        (f'#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x{"f" * 33}\n{ONE}{END}', "malformed"),
        (f'#EXT-X-KEY:METHOD=AES-128,URI="k",IV=xyz\n{ONE}{END}', "malformed"),
        (f"{ONE}#EXT-X-DISCONTINUITY\n{ONE}{END}", "discontinuity"),
        (f'#EXT-X-MAP:URI="i"\n{ONE}#EXT-X-MAP:URI="j"\n{ONE}{END}', "changes in the middle"),
        (f"#EXT-X-GAP\n{ONE}{END}", "gaps"),
        (f"#EXT-X-I-FRAMES-ONLY\n{ONE}{END}", "single pictures"),
        (f'#EXT-X-DEFINE:NAME="a",VALUE="b"\n{ONE}{END}', "variables"),
        (f"#EXT-X-BYTERANGE:-5@0\n{ONE}{END}", "BYTERANGE"),
        (f"#EXT-X-BYTERANGE:x\n{ONE}{END}", "malformed"),
        (f"#EXTINF:nonsense,\na.ts\n{END}", "malformed"),
        (f"#EXT-X-MEDIA-SEQUENCE:x\n{ONE}{END}", "malformed"),
        (f"#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59Z\n#EXTINF:1e300,\na.ts\n{ONE}{END}", "malformed"),
        ("#EXT-X-KEY:METHOD\n", "malformed"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=x\nv.m3u8\n", "malformed"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\n", "no variant"),
        (f"#EXTINF:1,\nhttp://[::1\n{END}", "malformed URL"),
        (f"#EXTINF:1,\n{'a' * 20_000}\n{END}", "a line of more than"),
        ("#EXTINF:1,\na\n" * 1_000_000 + END, "more than 50000 segments"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="k"\n' * 5000 + ONE + END, "more than 1000 keys"),
    ],
)
def test_an_hls_playlist_that_cannot_be_one_file_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputFailed, match=reason) as refused:
        hls(text)

    assert refused.value.code == "INPUT_PLAYLIST"


def test_a_discontinuity_before_the_first_segment_means_nothing() -> None:
    assert hls(f"#EXT-X-DISCONTINUITY\n{ONE}{END}") == Track((Piece(f"{BASE}a.ts"),), "ts")


# --- DASH


def test_a_template_is_filled_in_for_every_number() -> None:
    template = '<SegmentTemplate media="$RepresentationID$/$Number%03d$-$Bandwidth$$$.m4s" initialization="i-$RepresentationID$" '
    (track,) = dash(adapted(template + 'duration="20" timescale="10" startNumber="5"/>'))

    pieces = (Piece(f"{BASE}i-r1"), Piece(f"{BASE}r1/005-9$.m4s"), Piece(f"{BASE}r1/006-9$.m4s"))
    assert track == Track(pieces, "mp4")


def test_a_last_segment_that_only_rounding_makes_may_be_missing() -> None:
    (track,) = dash(adapted('<SegmentTemplate media="$Number$" duration="2"/>'), period='duration="PT4.1S"')

    assert [piece.is_optional for piece in track.pieces] == [False, False, True]


def test_a_timeline_repeats_and_jumps() -> None:
    timeline = '<S t="10" d="5" r="2"/><S d="7"/><S t="100" d="50" r="-1"/>'
    inside = f'<SegmentTemplate media="$Time$.m4s" timescale="50"><SegmentTimeline>{timeline}</SegmentTimeline></SegmentTemplate>'
    (track,) = dash(adapted(inside))

    assert [piece.url.removeprefix(BASE) for piece in track.pieces] == [
        "10.m4s",
        "15.m4s",
        "20.m4s",
        "25.m4s",
        "100.m4s",
        "150.m4s",
    ]


def test_a_list_takes_files_and_ranges() -> None:
    inside = (
        '<BaseURL>v/</BaseURL><SegmentList><Initialization sourceURL="i.mp4" range="0-99"/>'
        '<SegmentURL media="1.m4s"/><SegmentURL mediaRange="100-199"/></SegmentList>'
    )
    (track,) = dash(adapted(inside))

    assert track == Track(
        (Piece(f"{BASE}v/i.mp4", Span(0, 100)), Piece(f"{BASE}v/1.m4s"), Piece(f"{BASE}v/", Span(100, 100))), "mp4"
    )


def test_base_urls_nest_and_what_is_inside_wins() -> None:
    body = (
        '<BaseURL>p/</BaseURL><SegmentTemplate duration="4" media="outer"/>'
        '<AdaptationSet contentType="video"><BaseURL>a/</BaseURL><SegmentTemplate media="inner-$Number$"/>'
        '<Representation id="small" width="640" height="360"/>'
        '<Representation id="big" width="1280" height="720"><BaseURL>https://b.example/x/</BaseURL></Representation></AdaptationSet>'
    )
    (track,) = dash(body)

    assert track.pieces == (Piece("https://b.example/x/inner-1"),)


def test_picture_and_sound_come_apart_and_the_main_sound_is_taken() -> None:
    def sound(name: str, role: str, bandwidth: int) -> str:
        return (
            f'<AdaptationSet mimeType="audio/mp4"><Role value="{role}"/>'
            f'<Representation id="{name}" bandwidth="{bandwidth}"><BaseURL>{name}</BaseURL></Representation></AdaptationSet>'
        )

    tracks = dash(sound("said", "commentary", 99) + adapted("<BaseURL>v</BaseURL>") + sound("played", "main", 1))
    assert tracks == (Track((Piece(f"{BASE}v"),), "mp4"), Track((Piece(f"{BASE}played"),), "mp4"))


EVEN = '<SegmentTemplate media="$Number$" duration="1"/>'
BOMB = '<!DOCTYPE MPD [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><MPD>&b;</MPD>'
OUTSIDE = '<!DOCTYPE MPD [<!ENTITY a SYSTEM "file:///etc/passwd">]><MPD>&a;</MPD>'


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (BOMB, "not plain XML"),
        (OUTSIDE, "not plain XML"),
        ('<!DOCTYPE MPD SYSTEM "http://127.0.0.1/x.dtd"><MPD/>', "not plain XML"),
        ("<MPD", "not plain XML"),
        ('<?xml version="1.0" encoding="nonsense"?><MPD/>', "not plain XML"),
        ("<html><MPD/></html>", "no MPD"),
        ('<MPD type="dynamic"><Period/></MPD>', "live"),
        ("<MPD/>", "several periods"),
        ("<MPD><Period/><Period/></MPD>", "several periods"),
        ('<MPD xmlns:x="http://www.w3.org/1999/xlink"><Period x:href="http://a/"/></MPD>', "lies elsewhere"),
        ("<MPD><Period/></MPD>", "neither picture nor sound"),
    ],
)
def test_a_manifest_that_is_none_is_refused(xml: str, reason: str) -> None:
    with pytest.raises(InputFailed, match=reason):
        dash_input.read(xml.encode(), BASE)


@pytest.mark.parametrize(
    ("body", "period", "reason"),
    [
        (adapted("<ContentProtection/>" + EVEN), "", "DRM"),
        (adapted(EVEN), "", "how many segments"),
        (adapted(EVEN), 'duration="PT99999999S"', "more than 50000"),
        (adapted(EVEN), 'duration="nonsense"', "malformed duration"),
        (adapted(EVEN.replace('"1"', '"0"')), 'duration="PT4S"', "how many segments"),
        (adapted(EVEN.replace('"1"', '"-1"')), 'duration="PT4S"', "malformed number"),
        (adapted(EVEN.replace('"1"', f'"{"9" * 5000}"')), 'duration="PT4S"', "malformed number"),
        (adapted('<SegmentTemplate duration="1"/>'), 'duration="PT4S"', "without media"),
        (adapted('<SegmentTemplate media="$Time$" initialization="$Number$" duration="1"/>'), 'duration="PT4S"', "means nothing"),
        (
            adapted('<SegmentTemplate media="a"><SegmentTimeline><S d="0"/></SegmentTimeline></SegmentTemplate>'),
            "",
            "without duration",
        ),
        (
            adapted(
                '<SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="999999999999"/></SegmentTimeline></SegmentTemplate>'
            ),
            "",
            "more than 50000",
        ),
        (
            adapted('<SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="-1"/></SegmentTimeline></SegmentTemplate>'),
            "",
            "how long",
        ),
        (adapted('<SegmentList><SegmentURL mediaRange="9-1"/></SegmentList>'), "", "malformed range"),
        (adapted("<SegmentList/>"), "", "no segments"),
        (adapted("<BaseURL>http://[::1</BaseURL>"), "", "malformed URL"),
    ],
)
def test_a_manifest_that_cannot_be_one_file_is_refused(body: str, period: str, reason: str) -> None:
    with pytest.raises(InputFailed, match=reason) as refused:
        dash(body, period=period)

    assert refused.value.code == "INPUT_PLAYLIST"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"#EXTM3U\n", "hls"),
        (b"\xef\xbb\xbf\n #EXTM3U", "hls"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<MPD xmlns="x">', "dash"),
        (b"<html><body>", None),
        (b"\0\0\0\x20ftypisom<MPD", None),
        (b"# not a playlist", None),
        (b"", None),
    ],
)
def test_a_playlist_is_known_by_its_content(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind
