"""Files that ask the reader to open something else: another tenant's file, or an address on the net."""

from __future__ import annotations

import base64

from tests.hostile.boxes import box, full, patched, replaced
from tests.hostile.cases import CORRUPT, FORMAT, VALID, Case, Make, rows
from tests.hostile.ebml import element, matroska
from tests.hostile.ground import Ground, clip

SLOTS = ("media", "text", "web", "outside", "tcp", "udp")


def text(words: str) -> Make:
    """A text file; `{media}`, `{text}`, `{web}`, `{outside}`, `{tcp}` and `{udp}` are filled from the ground."""

    def make(ground: Ground) -> bytes:
        made = words
        for slot in SLOTS:
            made = made.replace(f"{{{slot}}}", str(getattr(ground, slot)))
        return made.encode()

    return make


def playlist(segment: str, head: str = "") -> Make:
    """An HLS playlist of one segment."""
    lines = ("#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:10", "#EXT-X-MEDIA-SEQUENCE:0", head, "#EXTINF:2.0,", segment)
    return text("\n".join((*(line for line in lines if line), "#EXT-X-ENDLIST", "")))


def dash(base: str, head: str = "") -> Make:
    return text(
        f'<?xml version="1.0"?>{head}<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S" minBufferTime="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        f'<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" width="320" height="180" codecs="avc1">'
        f"<BaseURL>{base}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )


def _alias(ground: Ground) -> bytes:
    """A QuickTime alias record in `dref` that names another file by its path, and no data of its own."""
    path = ground.media.encode()
    record = bytes(10) + b"\x07volume".ljust(28, b"\0") + bytes(12) + b"\x09secret.ts".ljust(64, b"\0") + bytes(16)
    record += b"".join(kind + len(body).to_bytes(2, "big") + body + bytes(len(body) % 2) for kind, body in _alias_parts(path))
    entry = box(b"alis", bytes(4) + bytes(4) + len(record).to_bytes(2, "big") + bytes(8) + record)
    return replaced(clip("mp4"), "moov/trak/mdia/minf/dinf/dref", full(b"dref", (1).to_bytes(4, "big") + entry))


def _alias_parts(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"\x00\x02", path.replace(b"/", b":")), (b"\x00\x12", path), (b"\x00\x13", b"/"), (b"\xff\xff", b""))


def _url_entry(target: str) -> Make:
    def make(ground: Ground) -> bytes:
        words = text(target)(ground)
        entry = full(b"url ", words + b"\0")
        return replaced(clip("mp4"), "moov/trak/mdia/minf/dinf/dref", full(b"dref", (1).to_bytes(4, "big") + entry))

    return make


def _reference_movie(ground: Ground) -> bytes:
    """An old QuickTime movie that is nothing but the address of another."""
    address = f"{ground.web}/film.mov".encode() + b"\0"
    pointer = box(b"rdrf", bytes(4) + b"url " + len(address).to_bytes(4, "big") + address)
    return box(b"ftyp", b"qt  " + bytes(4) + b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", pointer)))


def _external_essence(ground: Ground) -> bytes:
    """An MXF whose header says, in a NetworkLocator, that its essence lies elsewhere."""
    made = clip("mxf")
    key = bytes.fromhex("060e2b34025301010d01010101013200")
    url = f"file://{ground.media}".encode("utf-16-be")
    body = b"\x3c\x0a\x00\x10" + bytes(16) + b"\x40\x01" + len(url).to_bytes(2, "big") + url
    at = made.index(bytes.fromhex("060e2b34025301010d01010101012f00"))
    return made[:at] + key + b"\x83" + len(body).to_bytes(3, "big") + body + made[at:]


def _linked_segments(ground: Ground) -> bytes:
    """A Matroska file that says what stands before and after it, and a chapter that plays another file."""
    uid, name = element(0x73A4, bytes(16)), ground.media.encode()
    linked = element(0x3EB923, bytes(16)) + element(0x3E83BB, name) + element(0x3C83AB, name) + uid
    chapter = element(0xB6, element(0x73C4, b"\1") + element(0x91, b"\0") + element(0x6E67, bytes(range(16))))
    return matroska(info=linked, more=element(0x1043A770, element(0x45B9, element(0x45DD, b"\1") + chapter)))


def _in_subtitles(ground: Ground) -> bytes:
    """The known attack on AVI: a GAB2 subtitle block that holds a playlist."""
    inner = playlist("file://{media}")(ground)
    name = "x.m3u8".encode("utf-16-le") + b"\0\0"
    block = b"GAB2\0\2\0" + len(name).to_bytes(4, "little") + name + b"\4\0" + len(inner).to_bytes(4, "little") + inner
    made = bytearray(clip("avi"))
    at = made.index(b"movi") + 4
    chunk = b"02tx" + len(block).to_bytes(4, "little") + block + bytes(len(block) % 2)
    return bytes(made[:at]) + chunk + bytes(made[at:])


def _named(ground: Ground) -> bytes:
    """A healthy film whose tags are paths and addresses."""
    words = f"{ground.media}\0{ground.web}/x".encode()
    tag = box(b"udta", box(b"\xa9nam", len(words).to_bytes(2, "big") + b"\0\0" + words))
    return patched(clip("moov_last"), "moov", tag)


DATA = "data:video/mp2t;base64," + base64.b64encode(bytes(188)).decode()
XXE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file://{text}">]>'
LAUGHS = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(97 + n)} '{f'&{chr(96 + n)};' * 10}'>" for n in range(1, 12)
)

CASES: tuple[Case, ...] = rows(
    "reference",
    ("hls-file", "HLS playlist whose segment is another tenant's file", playlist("file://{media}"), FORMAT, "clip.m3u8"),
    ("hls-file-as-mp4", "the same under the name of an MP4", playlist("{media}"), FORMAT),
    ("hls-relative", "a segment by a relative path", playlist("../../../../../../../../..{media}"), FORMAT),
    ("hls-beside", "a segment by the name of a file in the same directory", playlist("secret.ts"), FORMAT, "clip.m3u8"),
    ("hls-http", "a segment on the net", playlist("{web}/a.ts"), FORMAT, "clip.m3u8"),
    ("hls-tcp", "a segment by a bare connection", playlist("tcp://127.0.0.1:{tcp}?timeout=1000"), FORMAT),
    ("hls-udp", "a segment by datagrams", playlist("udp://127.0.0.1:{udp}?timeout=1000"), FORMAT),
    ("hls-ftp", "a segment by FTP", playlist("ftp://127.0.0.1:{tcp}/a.ts"), FORMAT),
    ("hls-gopher", "a segment by Gopher", playlist("gopher://127.0.0.1:{tcp}/0a.ts"), FORMAT),
    ("hls-concat", "a segment through `concat:`", playlist("concat:{media}|{text}"), FORMAT),
    ("hls-subfile", "a segment through `subfile:`", playlist("subfile,,start,0,end,64,,:{media}"), FORMAT),
    ("hls-crypto", "a segment through `crypto+file:`", playlist("crypto+file://{media}"), FORMAT),
    ("hls-cache", "a segment through `cache:` and `async:`", playlist("cache:async:file:{media}"), FORMAT),
    ("hls-data", "a segment in a `data:` address", playlist(DATA), FORMAT),
    ("hls-pipe", "a segment from the tool's own input", playlist("pipe:0"), FORMAT),
    ("hls-fd", "a segment from any descriptor", playlist("fd:?fd=0"), FORMAT),
    (
        "hls-key",
        "a key that is another file",
        playlist("{media}", '#EXT-X-KEY:METHOD=AES-128,URI="{outside}/secret.key"'),
        *(FORMAT, "clip.m3u8"),
    ),
    ("hls-map", "an init segment that is another file", playlist("{media}", '#EXT-X-MAP:URI="{outside}/secret.mp4"'), FORMAT),
    (
        "hls-media",
        "another playlist as a sound track",
        text(
            '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{web}/a.m3u8"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\nx'
        ),
        FORMAT,
    ),
    (
        "hls-live",
        "a playlist without an end, which is read for ever",
        text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n"),
        FORMAT,
        "c.m3u8",
    ),
    (
        "concat-script",
        "a script of the concat demuxer",
        text("ffconcat version 1.0\nfile 'secret.ts'\n"),
        FORMAT,
        "clip.ffconcat",
    ),
    ("concat-absolute", "the same with an absolute path", text("ffconcat version 1.0\nfile '{media}'\n"), FORMAT),
    (
        "concat-options",
        "the same with options for the protocols",
        text("ffconcat version 1.0\nfile 'secret.ts'\noption protocol_whitelist ALL\nfile '{web}/a.ts'\n"),
        FORMAT,
    ),
    ("dash-file", "a DASH manifest that names another file", dash("file://{outside}/secret.mp4"), FORMAT, "clip.mpd"),
    ("dash-http", "a DASH manifest that names an address", dash("{web}/a.mp4"), FORMAT, "clip.mpd"),
    ("dash-entity", "a DASH manifest with an external entity", dash("&e;", XXE), FORMAT, "clip.mpd"),
    ("dash-laughs", "a DASH manifest with a billion laughs", dash("&k;", LAUGHS + "]>"), FORMAT, "clip.mpd"),
    (
        "sdp",
        "a session description that opens ports and talks",
        text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {udp} RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
        *(FORMAT, "clip.sdp"),
    ),
    ("asx", "a Windows playlist", text('<asx version="3.0"><entry><ref href="{web}/a.wmv"/></entry></asx>'), FORMAT, "clip.asx"),
    ("smil", "a SMIL presentation", text('<smil><body><video src="{web}/a.mp4"/></body></smil>'), FORMAT, "clip.smil"),
    ("ram", "a RealMedia playlist", text("rtsp://127.0.0.1:{tcp}/a.rm\n"), FORMAT, "clip.ram"),
    ("edl", "an edit list of a player", text("# mpv EDL v0\n{media},0,10\n"), FORMAT, "clip.edl"),
    ("xspf", "an XML playlist", text("<playlist><trackList><location>file://{media}</location></trackList></playlist>"), FORMAT),
    (
        "svg",
        "a picture that includes another file",
        text('<svg xmlns="x"><image href="file://{text}"/></svg>'),
        FORMAT,
        "clip.svg",
    ),
    ("svg-entity", "a picture with an external entity", text(XXE + "<svg><text>&e;</text></svg>"), FORMAT, "clip.svg"),
    (
        "imf",
        "a composition playlist",
        text('<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>{media}</Id></CompositionPlaylist>'),
        *(FORMAT, "clip.xml"),
    ),
    (
        "vobsub",
        "an index whose subtitles lie in a second file",
        text("# VobSub index file, v7\nid: en, index: 0\n"),
        FORMAT,
        "clip.idx",
    ),
    ("ffmetadata", "a metadata file of FFmpeg", text(";FFMETADATA1\ntitle={media}\n[CHAPTER]\nSTART=0\nEND=1\n"), FORMAT),
    ("avisynth", "a script of a frame server", text('DirectShowSource("{media}")\n'), FORMAT, "clip.avs"),
    ("vapoursynth", "a Python script of a frame server", text("open('{outside}/new', 'w').write('x')\n"), FORMAT, "clip.vpy"),
    ("image-pattern", "text under a name that stands for many files", text("x"), FORMAT, "frame%03d.jpg"),
    ("lavfi-graph", "a filter graph that reads a file", text("movie='{media}'[out0]"), FORMAT, "clip.lavfi"),
    ("mov-alias", "a MOV whose samples lie in a file named by an alias", _alias, f"{FORMAT} {CORRUPT} {VALID}", "clip.mov"),
    ("mov-url", "a MOV whose samples lie at an address", _url_entry("{web}/a.mdat"), f"{FORMAT} {CORRUPT} {VALID}", "clip.mov"),
    ("mov-file-url", "a MOV whose samples lie at a file address", _url_entry("file://{media}"), f"{FORMAT} {CORRUPT} {VALID}"),
    ("mov-reference", "a QuickTime movie that is only an address", _reference_movie, f"{FORMAT} {CORRUPT}", "clip.mov"),
    ("mxf-external", "an MXF that says its essence lies elsewhere", _external_essence, f"{FORMAT} {CORRUPT} {VALID}", "clip.mxf"),
    ("mkv-linked", "a Matroska file that links to others", _linked_segments, f"{FORMAT} {VALID}", "clip.mkv"),
    ("avi-subtitle-playlist", "a playlist inside a subtitle inside an AVI", _in_subtitles, f"{VALID} {CORRUPT}", "clip.avi"),
    ("tags-as-paths", "a healthy film whose tags are paths", _named, VALID),
)
