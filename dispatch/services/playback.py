"""Links that play, keys and licences. Whoever asks for a link is checked; whoever holds one is checked by it, at each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dispatch.core import playback
from dispatch.core.callers import Caller
from dispatch.core.planning import load_profile
from dispatch.core.playback import Asked, Made, Playable
from dispatch.core.publication import published_prefix
from dispatch.core.records import Graph, Job
from dispatch.core.times import rfc3339
from dispatch.ports import Clock, Store, Transaction
from dispatch.services.crowding import AtOnce
from dispatch.services.files import FileService, Readable
from dispatch.services.jobs import visible
from dispatch.services.licences import Licence, LicenceProxy
from dispatch.services.outputs import require_outputs
from dispatch.services.sealing import Sealer, Unsealable
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.packaging import ContentKeys, Encryption, ProtectionScheme
from protocol.playback import (
    CLEARKEY,
    KEYS,
    LICENCES,
    MEDIA_TYPES,
    PLAY,
    PLAY_PROTECTED,
    ClearKeyReply,
    PlaybackDrm,
    PlaybackReply,
)
from protocol.results import FileRole, OutputFacts

SEGMENT = f'"role":"{FileRole.SEGMENT}"'
"""In the facts of a segment as they are stored: a long film has tens of thousands, and none of them is where playing begins."""

MOST_LICENCES, LICENCE_AGAIN_S = 64, 1.0
"""Requests to licence servers under way for one tenant."""


@dataclass(frozen=True, slots=True)
class Signing:
    """`base` stands before every link: the server's public address, or nothing."""

    secret: bytes
    base: str
    link_s: float


@dataclass(frozen=True, slots=True)
class Link:
    """Everything of one job below one signature."""

    prefix: str
    expiry: int

    def __call__(self, path: str) -> str:
        return f"{self.prefix}/{path}"


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link of playback opens: a file with what caches may do with it, or the 16 bytes of a key."""

    file: Readable | None
    cache: str = ""
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Protected:
    """`keys` as they were given, None where the job came without."""

    tenant: str
    encryption: Encryption
    keys: ContentKeys | None


class PlaybackService:
    def __init__(
        self, store: Store, files: FileService, clock: Clock, signing_: Signing, sealer: Sealer, licences: LicenceProxy
    ) -> None:
        self._store, self._files, self._clock = store, files, clock
        self._signing, self._sealer, self._licences = signing_, sealer, licences
        self._at_once = AtOnce(MOST_LICENCES, "licence requests", retry_after_s=LICENCE_AGAIN_S)

    # --- for those who may read the job's files

    async def reply(self, who: Caller, job_id: str, origin: str) -> PlaybackReply:
        """`origin` goes before links where the server knows no public address of its own. Raises JOB_NOT_FOUND,
        OUTPUTS_NOT_READY, OUTPUTS_PURGED, and FILE_NOT_FOUND for a job that made nothing that plays.
        """
        job, made = await self._made(who, job_id)
        if (best := made.best) is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND, "the job made nothing that plays")
        link = self._link(job, origin)
        return PlaybackReply(
            job_id=job_id,
            url=link(best),
            type=MEDIA_TYPES.get(best.rpartition(".")[2], "application/octet-stream"),
            hls_url=None if made.hls is None else link(made.hls),
            dash_url=None if made.dash is None else link(made.dash),
            drm=self._drm(job, link),
            expires_at=rfc3339(link.expiry),
        )

    async def way(self, who: Caller, job_id: str, choose: Callable[[Playable], str | None]) -> str:
        """The link to one of the job's playlists. Raises as `reply` does."""
        job, made = await self._made(who, job_id)
        if (path := choose(made)) is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND, "the job made no such playlist; see its outputs")
        return self._link(job, "")(path)

    async def _made(self, who: Caller, job_id: str) -> tuple[Job, Playable]:
        def load(tx: Transaction) -> tuple[Job, Playable]:
            graph = visible(tx, who, job_id)
            require_outputs(graph)
            rows = [row for row in tx.staged(job_id) if SEGMENT not in row.facts_json]
            files = (Made(row.path, row.size, OutputFacts.model_validate_json(row.facts_json)) for row in rows)
            return graph.job, playback.playable(files, protected=_encryption(graph.job) is not None)

        return await self._store.read(load)

    def _link(self, job: Job, origin: str) -> Link:
        prefix, expiry = published_prefix(job), int(self._clock.now() + self._signing.link_s)
        kind = PLAY if _encryption(job) is None else PLAY_PROTECTED
        signature = signing.sign(self._signing.secret, method=kind, prefix=prefix, expiry=expiry)
        return Link(f"{self._signing.base or origin}/files/s/{signature}/{prefix}", expiry)

    def _drm(self, job: Job, link: Link) -> PlaybackDrm | None:
        protected = self._protected(job)
        if protected is None:
            return None
        encryption, keys = protected.encryption, protected.keys
        urls = {name: link(f"{LICENCES}/{name}") for name in sorted(self._licences_of(protected))}
        has_key = keys is not None and playback.gives_key(encryption, keys)
        key_urls = tuple(link(f"{KEYS}/{one.key_id}") for one in keys.keys) if keys is not None and has_key else ()
        return PlaybackDrm(scheme=encryption.scheme, systems=encryption.systems, key_urls=key_urls, licence_urls=urls)

    def _licences_of(self, protected: Protected) -> frozenset[str]:
        """The systems whose licences are to be had here for this job."""
        if protected.encryption.scheme is ProtectionScheme.AES_128:
            return frozenset()
        own = {CLEARKEY} if protected.keys is not None and playback.gives_clearkey(protected.encryption) else set()
        return frozenset(own | ({str(system) for system in protected.encryption.systems} & self._licences.systems))

    # --- for those who hold a link

    def kind_of(self, signature: str, path: str) -> str | None:
        """Which kind of a link of playback it is; None for a link to files alone, or for none. Raises LINK_EXPIRED."""
        return next((kind for kind in (PLAY, PLAY_PROTECTED) if self._is(kind, signature, path)), None)

    def _is(self, kind: str, signature: str, path: str) -> bool:
        try:
            signing.check(self._signing.secret, signature, method=kind, path=path, now=self._clock.now())
        except ReelyardError as refused:
            if refused.code is ErrorCode.LINK_INVALID:
                return False
            raise
        return True

    async def open(self, kind: str, signature: str, path: str) -> Opened:
        """What lies at the path; `kind` is what `kind_of` told. Raises FILE_NOT_FOUND, OUTPUTS_PURGED, SECRET_UNREADABLE."""
        is_protected = kind == PLAY_PROTECTED
        asked = playback.asked_key(path) if is_protected else None
        if asked is not None:
            return Opened(None, key=await self._key(asked))
        if not playback.opens(playback.below_outputs(path), protected=is_protected):
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        left_s = int(signature.rpartition(".")[2]) - self._clock.now()
        return Opened(self._files.past(await self._files.open_output(path)), playback.cache_control(path, left_s))

    async def _key(self, asked: Asked) -> bytes:
        protected = await self._of_job(asked.job_id)
        keys = protected.keys
        key = playback.key_of(keys, asked.name) if keys and playback.gives_key(protected.encryption, keys) else None
        if key is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return key

    async def clearkey(self, asked: Asked, kids: tuple[str, ...]) -> ClearKeyReply:
        """Raises FILE_NOT_FOUND where the job's keys are not given so, or none of them is asked for."""
        protected = await self._of_job(asked.job_id)
        if protected.keys is None or CLEARKEY not in self._licences_of(protected):
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        reply = playback.clearkey_reply(protected.keys, kids)
        if not reply.keys:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND, "none of these keys is of this job")
        return reply

    async def licence(self, asked: Asked, body: bytes, headers: Mapping[str, str]) -> Licence:
        """What the licence server of the settings answers. Raises as `LicenceProxy.fetch` does, and RATE_LIMITED."""
        protected = await self._of_job(asked.job_id)
        if asked.name not in self._licences_of(protected):
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        with self._at_once.turn(protected.tenant):
            return await self._licences.fetch(asked.name, body, headers)

    async def _of_job(self, job_id: str) -> Protected:
        def load(tx: Transaction) -> Graph | None:
            return tx.graphs([job_id]).get(job_id)

        graph = await self._store.read(load)
        if graph is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        require_outputs(graph)
        if (protected := self._protected(graph.job)) is None:
            raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
        return protected

    def _protected(self, job: Job) -> Protected | None:
        if (encryption := _encryption(job)) is None:
            return None
        return Protected(job.tenant, encryption, None if job.keys_sealed is None else self._unsealed(job.keys_sealed))

    def _unsealed(self, sealed: str) -> ContentKeys:
        try:
            return ContentKeys.model_validate_json(self._sealer.open(sealed))
        except Unsealable:
            raise ReelyardError(ErrorCode.SECRET_UNREADABLE) from None


def _encryption(job: Job) -> Encryption | None:
    packaging = load_profile(job.profile_json).packaging
    return None if packaging is None else packaging.encryption
