"""Jobs that have made something to be played, clear and encrypted, and what their links open."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace

from dispatch.core.records import StagedRow
from dispatch.ports import Transaction
from dispatch.services.sealing import Sealer
from protocol.packaging import CmafPackaging, ContentKey, ContentKeys, DrmSystem, Encryption, ProtectionScheme
from protocol.profiles import Profile
from protocol.results import FileRole, OutputFacts
from protocol.states import JobState
from tests.contract.api_server import Answer, Json, Server
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
