"""Tracks of sound and subtitles in FFmpeg's own HLS, chosen in a real browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from protocol.encoding import AudioCodec
from protocol.extras import Subtitles
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import Profile
from protocol.sounds import Sound, Tracks
from tests.integration.browser import BROWSER
from tests.integration.players import screen
from tests.sound_films import film_with_tracks, ladder, made

pytestmark = [
    pytest.mark.integration,
    pytest.mark.trust,
    pytest.mark.asyncio,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt chromium)"),
]

CHOOSE = """
((link, wanted) => new Promise(done => {
  const video = document.createElement('video'), hls = new Hls({enableWorker: false}), loaded = new Set(), fatal = [];
  video.muted = true;
  document.body.replaceChildren(video);
  hls.on(Hls.Events.ERROR, (_, told) => told.fatal && fatal.push(told.details));
  hls.on(Hls.Events.FRAG_LOADED, (_, told) => loaded.add(told.frag.type));
  const tell = () => done({
    fatal, ended: video.ended, moment: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames,
    tracks: hls.audioTracks.map(track => track.lang), sound: video.webkitAudioDecodedByteCount > 0, loaded: [...loaded].sort(),
    cues: [...video.textTracks].flatMap(track => [...(track.cues || [])].map(cue => [cue.startTime, cue.text])),
  });
  video.onended = tell;
  video.oncanplay = () => {
    video.oncanplay = null;
    hls.audioTrack = wanted;
    hls.subtitleDisplay = true;
    hls.subtitleTrack = 0;
    video.play();
  };
  hls.loadSource(link);
  hls.attachMedia(video);
  setTimeout(tell, 20000);
}))(LINK, WANTED)
"""


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[str]:
    """The address of a master playlist that any page may load."""

    @web.middleware
    async def open_to_all(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await handler(request)
        answer.headers["Access-Control-Allow-Origin"] = "*"
        return answer

    app = web.Application(middlewares=[open_to_all])
    app.router.add_static("/", directory)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/hls/master.m3u8"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("codec", "form"), [(AudioCodec.AAC, SegmentFormat.TS), (AudioCodec.OPUS, SegmentFormat.FMP4)])
async def test_any_track_can_be_chosen_and_subtitles_come_at_their_moment(
    tmp_path: Path, codec: AudioCodec, form: SegmentFormat
) -> None:
    film, directory = film_with_tracks(tmp_path / "film.mkv"), tmp_path / "work"
    directory.mkdir()
    profile = Profile(
        name="own",
        renditions=ladder(codec, 48_000, 48_000),
        hls=HlsPackaging(segment_seconds=1, format=form),
        sound=Sound(tracks=Tracks.ALL),
        subtitles=Subtitles(),
    )
    made(profile, film, directory)

    async with screen(tmp_path / "browser") as shown, served(directory) as link:
        for wanted in (0, 1):
            told = await shown.page.run(CHOOSE.replace("LINK", json.dumps(link)).replace("WANTED", str(wanted)))
            assert (told["fatal"], told["ended"], told["sound"], told["tracks"]) == ([], True, True, ["fr", "en", "de"])
            assert ("audio" in told["loaded"]) is (wanted > 0 or form is SegmentFormat.FMP4)
            assert (told["moment"], told["frames"]) == (pytest.approx(3, abs=0.1), pytest.approx(75, abs=2))
            ((moment, words),) = told["cues"]
            assert (moment, words) == (pytest.approx(1, abs=0.03), "Hej")
