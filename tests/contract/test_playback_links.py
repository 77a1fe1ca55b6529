"""Links of playback over HTTP: who gets one, what it opens, where keys and licences come from, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web

from config.dispatch import LicenceUrls, Playback
from dispatch.api.wiring import Limits
from dispatch.core.records import StagedRow
from dispatch.ports import Transaction
from dispatch.services.licences import MOST_BYTES
from dispatch.services.sealing import Sealer
from protocol.packaging import CmafPackaging, ContentKey, ContentKeys, DrmSystem, Encryption, ProtectionScheme
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts
from protocol.states import JobState
from tests.contract.api_server import Answer, Json, Server, head_of, served
from tests.contract.services_world import blocks_of
from tests.unit.dispatch_jobs import WEB, submitted

PLAYBACK = "/api/v1/playback"
KEY_ID, KEY = "0123456789abcdef0123456789abcdef", "00112233445566778899aabbccddeeff"
KID, K = (base64.urlsafe_b64encode(bytes.fromhex(text)).decode().rstrip("=") for text in (KEY_ID, KEY))
KEYS = ContentKeys(keys=(ContentKey(key_id=KEY_ID, key=KEY),))
R = FileRole
FILES: Mapping[str, tuple[FileRole, bytes]] = {
    "hls/master.m3u8": (R.MASTER_PLAYLIST, b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\n../cmaf/360p/playlist.m3u8\n"),
    "cmaf/360p/playlist.m3u8": (R.PLAYLIST, b"#EXTM3U\n#EXTINF:10,\nsegment_000.m4s\n#EXT-X-ENDLIST\n"),
    "cmaf/360p/segment_000.m4s": (R.SEGMENT, b"a segment"),
    "dash/manifest.mpd": (R.MANIFEST, b"<MPD/>"),
    "360p/video_360p.mp4": (R.RENDITION, b"in the clear"),
}
FILM = {"360p/video_360p.mp4": FILES["360p/video_360p.mp4"]}


def encrypted(scheme: ProtectionScheme, *systems: DrmSystem) -> Profile:
    packaging = CmafPackaging(encryption=Encryption(scheme=scheme, systems=systems))
    return WEB.model_copy(update={"hls": None, "packaging": packaging})


AES, COMMON = encrypted(ProtectionScheme.AES_128), encrypted(ProtectionScheme.CENC, DrmSystem.COMMON)
WIDEVINE = encrypted(ProtectionScheme.CENC, DrmSystem.WIDEVINE)


async def finished(
    server: Server,
    profile: Profile = WEB,
    keys: ContentKeys | None = None,
    files: Mapping[str, tuple[FileRole, bytes]] = FILES,
    state: JobState = JobState.COMPLETED,
) -> str:
    """The id of a job that has made these files."""
    outside = server.core.outside
    graph = submitted(profile)
    sealed = None if keys is None else Sealer(outside.secrets.signing, outside.ids.secret).seal(keys.model_dump_json())
    done = replace(graph, job=replace(graph.job, state=state, keys_sealed=sealed), events=())
    rows = []
    for path, (role, content) in files.items():
        facts = OutputFacts(role=role, height=360).model_dump_json()
        rows.append(StagedRow("job_1", path, done.tasks[0].task_id, 1, len(content), "a" * 64, facts))
        await outside.storage.write(f"default/processed/job_1/{path}", blocks_of(content))

    def put(tx: Transaction) -> None:
        tx.insert([done])
        tx.save([done], [replace(done, files=tuple(rows))])

    await outside.store.transact(put)
    return done.job.job_id


async def link(server: Server, job_id: str = "job_1") -> Json:
    answer = await server.call("GET", f"{PLAYBACK}/{job_id}/manifest")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "private, no-store")
    told: Json = answer.json
    return told


async def opened(server: Server, url: str, method: str = "GET", **options: object) -> Answer:
    """By the link alone."""
    return await server.call(method, url.removeprefix(server.url), key=None, **options)


def beside(url: str, path: str) -> str:
    """Another path below the same signature."""
    return f"{url.partition('/job_1/')[0]}/job_1/{path}"


async def test_link_is_whole_and_opens_all_that_a_playlist_names(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        told = await link(server)
        answers = {path: await opened(server, beside(told["url"], path)) for path in FILES}
        ranged = await opened(server, told["dash_url"], headers={"Range": "bytes=1-3"})
        head = await opened(server, told["url"], "HEAD")
        left_s = int(told["url"].split("/")[5].rpartition(".")[2]) - server.core.outside.clock.now()

    assert told["url"] == told["hls_url"] == beside(told["url"], "hls/master.m3u8")
    assert told["url"].startswith(f"{server.url}/files/s/")
    assert (told["type"], told["dash_url"], told["drm"]) == (
        "application/vnd.apple.mpegurl",
        beside(told["url"], "dash/manifest.mpd"),
        None,
    )
    assert {path: (answer.status, answer.body) for path, answer in answers.items()} == {
        path: (200, content) for path, (_, content) in FILES.items()
    }
    assert (ranged.status, ranged.body, head.status, head.body) == (206, b"MPD", 200, b"")
    assert 21_590 < left_s <= 21_600


async def test_caches_keep_segments_and_ask_again_for_playlists(tmp_path: Path) -> None:
    async with served(tmp_path, sections={"playback": Playback(link_s=100)}) as server:
        await finished(server)
        told = await link(server)
        playlist = await opened(server, told["url"])
        segment = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"))
        known = {"If-None-Match": segment.headers["ETag"]}
        unchanged = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"), headers=known)

    assert playlist.headers["Cache-Control"] == "private, no-cache"
    kept = segment.headers["Cache-Control"].split("=")
    assert (kept[0], 90 < int(kept[1].partition(",")[0]) <= 100, kept[1].partition(", ")[2]) == (
        "public, max-age",
        True,
        "immutable",
    )
    assert (unchanged.status, unchanged.headers["Cache-Control"].partition("=")[0]) == (304, "public, max-age")


async def test_playlists_by_their_ending_lead_to_where_relative_names_work(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        ways = {ending: await server.call("GET", f"{PLAYBACK}/job_1/manifest.{ending}") for ending in ("m3u8", "mpd")}
        found = {ending: await opened(server, answer.headers["Location"]) for ending, answer in ways.items()}
        head = await server.call("HEAD", f"{PLAYBACK}/job_1/manifest.m3u8")
        nobody = await server.call("GET", f"{PLAYBACK}/job_1/manifest.m3u8", key=None)

    assert {ending: answer.status for ending, answer in ways.items()} == {"m3u8": 302, "mpd": 302}
    assert {ending: answer.headers["Content-Type"] for ending, answer in found.items()} == {
        "m3u8": "application/vnd.apple.mpegurl",
        "mpd": "application/dash+xml",
    }
    assert (head.status, head_of(nobody)) == (302, (401, "UNAUTHORIZED"))


async def test_one_file_plays_where_there_is_no_playlist(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, files=FILM)
        told = await link(server)
        missing = [await server.call("GET", f"{PLAYBACK}/job_1/manifest.{ending}") for ending in ("m3u8", "mpd")]

    assert (told["url"], told["type"]) == (beside(told["url"], "360p/video_360p.mp4"), "video/mp4")
    assert (told["hls_url"], told["dash_url"]) == (None, None)
    assert [head_of(answer) for answer in missing] == [(404, "FILE_NOT_FOUND")] * 2


async def test_what_is_not_there_to_be_played_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "nothing") as server:
        await finished(server, files={})
        nothing = await server.call("GET", f"{PLAYBACK}/job_1/manifest")
    async with served(tmp_path / "running") as server:
        await finished(server, state=JobState.TRANSCODING)
        running = await server.call("GET", f"{PLAYBACK}/job_1/manifest")
        missing = await server.call("GET", f"{PLAYBACK}/job_2/manifest")

    assert [head_of(answer) for answer in (nothing, running, missing)] == [
        (404, "FILE_NOT_FOUND"),
        (409, "OUTPUTS_NOT_READY"),
        (404, "JOB_NOT_FOUND"),
    ]


async def test_entitlement_is_checked_at_each_call(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        own, writer = await server.new_key("files:read"), await server.new_key("jobs:read", "jobs:write")
        await server.new_tenant("acme")
        other = await server.new_key("files:read", tenant="acme")
        asked = {key: await server.call("GET", f"{PLAYBACK}/job_1/manifest", key=key) for key in (own, writer, other)}
        told = await link(server)
        await server.call("DELETE", "/api/v1/jobs/job_1/outputs")
        purged = await server.call("GET", f"{PLAYBACK}/job_1/manifest", key=own)

    assert [answer.status for answer in asked.values()] == [200, 403, 404]
    assert (asked[writer].code, asked[other].code) == ("FORBIDDEN", "JOB_NOT_FOUND")
    assert head_of(purged) == (410, "OUTPUTS_PURGED")
    assert told["drm"] is None


async def test_a_link_ends_with_its_prefix_and_its_time(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        await server.core.outside.storage.write("default/processed/job_2/hls/master.m3u8", blocks_of(b"of another"))
        await server.core.outside.storage.write("default/processed/job_1/metadata.json", blocks_of(b"{}"))
        told = await link(server)
        signature = told["url"].split("/")[5]
        elsewhere = await opened(server, f"/files/s/{signature}/default/processed/job_2/hls/master.m3u8")
        metadata = await opened(server, beside(told["url"], "metadata.json"))
        later = await opened(server, told["url"].replace(signature, signature[:-1] + str((int(signature[-1]) + 1) % 10)))
        expired = await opened(
            server, server.signed("PLAY", "default/processed/job_1", expires_in=-1) + "/default/processed/job_1/x"
        )

    assert [head_of(answer) for answer in (elsewhere, metadata, later, expired)] == [
        (403, "LINK_INVALID"),
        (404, "FILE_NOT_FOUND"),
        (403, "LINK_INVALID"),
        (403, "LINK_EXPIRED"),
    ]


async def test_pages_of_the_origins_named_may_read_and_others_not(tmp_path: Path) -> None:
    limits = Limits(playback_origins=("https://films.example",))
    async with served(tmp_path, limits) as server:
        await finished(server, COMMON, KEYS)
        url = (await link(server))["url"]
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        answers = {}
        for origin in ("https://films.example", "https://elsewhere.example"):
            licence = beside(url, "licence/clearkey")
            before = await opened(server, licence, "OPTIONS", headers={"Origin": origin, **asking})
            asked = await opened(server, url, headers={"Origin": origin, "Range": "bytes=0-1"})
            answers[origin] = (before, asked)

    before, asked = answers["https://films.example"]
    assert (before.status, before.headers["Access-Control-Allow-Origin"]) == (204, "https://films.example")
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in before.headers["Access-Control-Allow-Headers"]
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (206, "https://films.example")
    assert "Content-Range" in asked.headers["Access-Control-Expose-Headers"]
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in answers["https://elsewhere.example"])


# --- keys


async def test_key_of_hls_is_sixteen_bytes_for_whoever_holds_the_link_and_is_kept_nowhere(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, AES, KEYS)
        told = await link(server)
        key = await opened(server, told["drm"]["key_urls"][0])
        other = await opened(server, beside(told["url"], f"key/{'f' * 32}"))
        by_outputs = server.signed("GET", "default/processed/job_1") + f"/default/processed/job_1/key/{KEY_ID}"
        refused = await opened(server, by_outputs)
        clear = await opened(server, beside(told["url"], "360p/video_360p.mp4"))
        segment = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"))
        await server.call("DELETE", "/api/v1/jobs/job_1/outputs")
        purged = await opened(server, told["drm"]["key_urls"][0])

    assert told["drm"] == {
        "scheme": "aes-128",
        "systems": [],
        "key_urls": [beside(told["url"], f"key/{KEY_ID}")],
        "licence_urls": {},
    }
    assert (key.status, key.body, key.headers["Cache-Control"]) == (200, bytes.fromhex(KEY), "no-store")
    assert [head_of(answer) for answer in (other, refused, clear, purged)] == [
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (410, "OUTPUTS_PURGED"),
    ]
    assert segment.status == 200


async def test_clearkey_answers_browsers_as_the_w3c_says(tmp_path: Path) -> None:
    asked = {"kids": [KID], "type": "temporary"}
    async with served(tmp_path) as server:
        await finished(server, COMMON, KEYS)
        told = await link(server)
        licence = told["drm"]["licence_urls"]["clearkey"]
        given = await opened(server, licence, "POST", json=asked)
        as_bytes = {"data": f'{{"kids":["{KID}"]}}'.encode(), "headers": {"Content-Type": "application/octet-stream"}}
        by_shaka = await opened(server, licence, "POST", **as_bytes)
        refused = [
            await opened(server, licence, "POST", json={"kids": ["A" * 22]}),
            await opened(server, licence, "POST", json={"kids": []}),
            await opened(server, licence, "POST", data=b"x" * 70_000),
            await opened(server, beside(told["url"], "licence/widevine"), "POST", data=b"x"),
            await opened(server, beside(told["url"], "hls/master.m3u8"), "POST", data=b"x"),
            await opened(
                server, server.signed("GET", "default") + "/default/processed/job_1/licence/clearkey", "POST", json=asked
            ),
        ]

    assert (given.status, given.headers["Cache-Control"]) == (200, "no-store")
    assert given.json == by_shaka.json == {"keys": [{"kty": "oct", "kid": KID, "k": K}], "type": "temporary"}
    assert [head_of(answer) for answer in refused] == [
        (404, "FILE_NOT_FOUND"),
        (422, "VALIDATION_FAILED"),
        (413, "BODY_TOO_LARGE"),
        (404, "FILE_NOT_FOUND"),
        (404, "FILE_NOT_FOUND"),
        (403, "LINK_INVALID"),
    ]


async def test_a_drm_is_never_gone_round_by_a_bare_key(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        refused = [
            await opened(server, beside(told["url"], "licence/clearkey"), "POST", json={"kids": [KID]}),
            await opened(server, beside(told["url"], f"key/{KEY_ID}")),
            await opened(server, beside(told["url"], "360p/video_360p.mp4")),
        ]

    assert (told["drm"]["key_urls"], told["drm"]["licence_urls"]) == ([], {})
    assert [head_of(answer) for answer in refused] == [(404, "FILE_NOT_FOUND")] * 3


# --- licences of others


@dataclass
class LicenceServer:
    """Answers as it is told to, and keeps what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b"a licence"
    asked: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.read(), request.headers))
        headers = {"Location": "/elsewhere", "Set-Cookie": "a=b"}
        return web.Response(status=self.status, body=self.body, content_type="application/x-licence", headers=headers)


@asynccontextmanager
async def licence_server() -> AsyncIterator[LicenceServer]:
    made = LicenceServer()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.answer)
    running = web.AppRunner(app, access_log=None)
    await running.setup()
    try:
        await web.TCPSite(running, "127.0.0.1", 0).start()
        host, port = running.addresses[0][:2]
        made.url = f"http://{host}:{port}/wv"
        yield made
    finally:
        await running.cleanup()


def section(url: str, tmp_path: Path) -> Playback:
    secret = tmp_path / "licence.secret"
    secret.write_text("of the operator\n")
    urls = LicenceUrls(widevine=url)
    return Playback(licence_urls=urls, licence_header="X-Account", licence_secret_file=secret, licence_timeout_s=5)


async def test_licence_request_goes_to_the_server_of_the_settings_and_takes_no_more_along_than_it_must(tmp_path: Path) -> None:
    async with (
        licence_server() as other,
        served(tmp_path / "data", sections={"playback": section(other.url, tmp_path)}) as server,
    ):
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        sent = {"Content-Type": "application/octet-stream", "Cookie": "viewer=1", "X-Forwarded-For": "192.0.2.1"}
        given = await opened(server, told["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge", headers=sent)

    assert told["drm"]["licence_urls"] == {"widevine": beside(told["url"], "licence/widevine")}
    assert (given.status, given.body, given.headers["Content-Type"]) == (200, b"a licence", "application/x-licence")
    assert (given.headers["Cache-Control"], "Set-Cookie" in given.headers) == ("no-store", False)
    ((body, headers),) = other.asked
    assert (body, headers["X-Account"], headers["Content-Type"]) == (b"challenge", "of the operator", "application/octet-stream")
    assert not {"Cookie", "X-Forwarded-For", "X-API-Key"} & set(headers)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (403, b"no", (403, "LICENCE_REFUSED")),
        (302, b"", (503, "LICENCE_UNAVAILABLE")),
        (500, b"", (503, "LICENCE_UNAVAILABLE")),
        (200, b"x" * (MOST_BYTES + 1), (503, "LICENCE_UNAVAILABLE")),
    ],
    ids=["refused", "redirected", "broken", "too large"],
)
async def test_what_a_licence_server_does_wrong_is_told(
    tmp_path: Path, status: int, body: bytes, wanted: tuple[int, str]
) -> None:
    async with (
        licence_server() as other,
        served(tmp_path / "data", sections={"playback": section(other.url, tmp_path)}) as server,
    ):
        other.status, other.body = status, body
        await finished(server, WIDEVINE, KEYS)
        told = await link(server)
        given = await opened(server, told["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge")

    assert (head_of(given), len(other.asked)) == (wanted, 1)


async def test_licence_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "data", sections={"playback": section("http://127.0.0.1:9/wv", tmp_path)}) as server:
        await finished(server, WIDEVINE, KEYS)
        given = await opened(server, (await link(server))["drm"]["licence_urls"]["widevine"], "POST", data=b"challenge")

    assert (head_of(given), "Retry-After" in given.headers) == ((503, "LICENCE_UNAVAILABLE"), True)
