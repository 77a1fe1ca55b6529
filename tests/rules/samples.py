"""Tiny packages by hand, byte by byte, that keep every rule: what the rules are tried with."""

from __future__ import annotations

import struct

AVCC = bytes.fromhex("0142c01effe100")
KEY_ID = bytes(range(16))
SYSTEM = bytes.fromhex("1077efecc0b24d02ace33c1e52e2fb4b")
IDR, SLICE = b"\x00\x00\x00\x05\x65abcd", b"\x00\x00\x00\x05\x41abcd"
TICKS = 1000
FRAMES, FRAME = 10, 100
"""A segment of a second: ten samples of a tenth."""


def box(kind: str, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", len(content) + 8, kind.encode()) + content


def full(kind: str, *contents: bytes, flags: int = 0, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *contents)


def pssh(system: bytes = SYSTEM, data: bytes = b"") -> bytes:
    return full("pssh", system, struct.pack(">I", 1), KEY_ID, struct.pack(">I", len(data)), data, version=1)


def init(handler: str, size: tuple[int, int] = (0, 0), *, scheme: str | None = None) -> bytes:
    """Of H.264 or AAC, by `handler`: `vide` or `soun`."""
    is_video = handler == "vide"
    name, head, inner = ("avc1", 78, box("avcC", AVCC)) if is_video else ("mp4a", 28, box("esds", bytes(8)))
    if scheme is not None:
        tenc = full("tenc", bytes([0, 0, 1, 8]), KEY_ID)
        frma, schm = box("frma", name.encode()), full("schm", scheme.encode(), b"\0\1\0\0")
        inner, name = inner + box("sinf", frma, schm, box("schi", tenc)), "encv" if is_video else "enca"
    stbl = box("stbl", full("stsd", struct.pack(">I", 1), box(name, bytes(head), inner)))
    mdia = box(
        "mdia", full("mdhd", struct.pack(">5I", 0, 0, TICKS, 0, 0)), full("hdlr", bytes(4), handler.encode()), box("minf", stbl)
    )
    tkhd = full("tkhd", struct.pack(">III", 0, 0, 1), bytes(60), struct.pack(">II", size[0] << 16, size[1] << 16))
    trex = full("trex", struct.pack(">5I", 1, 1, FRAME, 0, 0x10000 if is_video else 0))
    return box("ftyp", b"isom") + box("moov", box("trak", tkhd, mdia), box("mvex", trex), pssh() if scheme else b"")


def fragment(number: int, handler: str, *, first: bytes = IDR, is_sync: bool = True, sealed: bool = False) -> bytes:
    """Segment `number`, counted from 0."""
    flags = struct.pack(">I", 0 if is_sync or handler == "soun" else 0x10000)
    sizes = b"".join(struct.pack(">I", len(first)) for _ in range(FRAMES))
    trun = full("trun", struct.pack(">I", FRAMES), flags, sizes, flags=0x204)
    traf = box("traf", full("tfhd", struct.pack(">I", 1)), full("tfdt", struct.pack(">I", number * FRAMES * FRAME)), trun)
    if sealed:
        traf = box("traf", traf[8:], full("senc", struct.pack(">I", FRAMES)))
    return box("styp", b"msdh") + box("moof", traf) + box("mdat", first * FRAMES)


def playlist(names: list[str], *, mapped: bool = True) -> bytes:
    head = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:1", "#EXT-X-PLAYLIST-TYPE:VOD"]
    head += ['#EXT-X-MAP:URI="init.mp4"'] if mapped else []
    entries = [word for name in names for word in ("#EXTINF:1.000,", name)]
    return "\n".join([*head, *entries, "#EXT-X-ENDLIST", ""]).encode()


MASTER = b"""#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,URI="../cmaf/audio/playlist.m3u8",GROUP-ID="audio",LANGUAGE="en",NAME="English",DEFAULT=YES,AUTOSELECT=YES
#EXT-X-MEDIA:TYPE=SUBTITLES,URI="../cmaf/text/playlist.m3u8",GROUP-ID="text",LANGUAGE="en",NAME="English",DEFAULT=NO
#EXT-X-STREAM-INF:BANDWIDTH=4000,AVERAGE-BANDWIDTH=3900,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=320x180,FRAME-RATE=10.000,AUDIO="audio",SUBTITLES="text"
../cmaf/180p/playlist.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=4000,AVERAGE-BANDWIDTH=3900,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=10.000,AUDIO="audio",SUBTITLES="text"
../cmaf/360p/playlist.m3u8
"""

_REPRESENTATION = """<Representation id="{name}" bandwidth="2400" codecs="{codecs}" mimeType="{mime}" {more}>{inner}
<SegmentTemplate timescale="1000" startNumber="1"
 initialization="cmaf/{name}/init.mp4" media="cmaf/{name}/segment_$Number%03d$.m4s">
<SegmentTimeline><S t="0" d="1000" r="2"/></SegmentTimeline></SegmentTemplate></Representation>"""


def _representation(name: str) -> str:
    if name == "audio":
        channels = '<AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="1"/>'
        more = 'audioSamplingRate="48000"'
        return _REPRESENTATION.format(name=name, codecs="mp4a.40.2", mime="audio/mp4", more=more, inner=channels)
    width, height = SIZES[name]
    more = f'width="{width}" height="{height}"'
    return _REPRESENTATION.format(name=name, codecs="avc1.42c01e", mime="video/mp4", more=more, inner="")


SIZES = {"180p": (320, 180), "360p": (640, 360)}


def manifest(protection: str = "") -> bytes:
    head = (
        'xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" profiles="urn:mpeg:dash:profile:isoff-live:2011"'
    )
    pictures = "".join(_representation(name) for name in SIZES)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<MPD {head} type="static" minBufferTime="PT2S" mediaPresentationDuration="PT3S"><BaseURL>../</BaseURL><Period id="0">
<AdaptationSet id="0" contentType="video" frameRate="10" segmentAlignment="true">{protection}{pictures}</AdaptationSet>
<AdaptationSet id="1" contentType="audio" lang="en" segmentAlignment="true">
<Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>{protection}{_representation("audio")}</AdaptationSet>
</Period></MPD>
""".encode()


def package(*, scheme: str | None = None, protection: str = "") -> dict[str, bytes]:
    """Two pictures, a sound and subtitles of three segments: files by path."""
    files = {"hls/master.m3u8": MASTER, "dash/manifest.mpd": manifest(protection)}
    names = [f"segment_{n:03d}" for n in (1, 2, 3)]
    for track in ("180p", "360p", "audio"):
        handler = "soun" if track == "audio" else "vide"
        files[f"cmaf/{track}/init.mp4"] = init(handler, SIZES.get(track, (0, 0)), scheme=scheme)
        files[f"cmaf/{track}/playlist.m3u8"] = playlist([f"{name}.m4s" for name in names])
        for n, name in enumerate(names):
            files[f"cmaf/{track}/{name}.m4s"] = fragment(n, handler, sealed=scheme is not None)
    files["cmaf/text/playlist.m3u8"] = playlist([f"{name}.vtt" for name in names], mapped=False)
    return files | {f"cmaf/text/{name}.vtt": b"WEBVTT\n\n" for name in names}


# --- transport streams


def ts_segment(second: int, *, unit: bytes = b"\x65abcd") -> bytes:
    """A picture at that second, behind PAT and PMT."""
    pat = b"\x00\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00" + bytes(4)
    pmt = b"\x00\x02\xb0\x12\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x00" + bytes(4)
    ticks = second * 90_000
    shown = bytes([0x21 | ticks >> 29 & 14, ticks >> 22 & 255, ticks >> 14 & 254 | 1, ticks >> 7 & 255, ticks << 1 & 254 | 1])
    sps = b"\x00\x00\x00\x01\x67\x42\xc0\x1e"
    pes = b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05" + shown + sps + b"\x00\x00\x01" + unit
    return _packet(0, pat) + _packet(0x1000, pmt) + _packet(0x100, pes)


def _packet(pid: int, payload: bytes) -> bytes:
    room = 184 - len(payload)
    stuffing = bytes([room - 1]) + (b"\x00" + b"\xff" * (room - 2) if room > 1 else b"")
    return bytes([0x47, 0x40 | pid >> 8, pid & 255, 0x30]) + stuffing + payload


def ts_playlist(*, head: str = "") -> bytes:
    return playlist(["segment_001.ts", "segment_002.ts", "segment_003.ts"], mapped=False).replace(
        b"#EXT-X-PLAYLIST-TYPE:VOD\n", f"#EXT-X-PLAYLIST-TYPE:VOD\n{head}".encode()
    )


def ts_package() -> dict[str, bytes]:
    segments = {f"segment_{n:03d}.ts": ts_segment(n) for n in (1, 2, 3)}
    return {"playlist.m3u8": ts_playlist(), **segments}
