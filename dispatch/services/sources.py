"""What a submission names, held against what may become a job: its profile, its input, the first bytes of it."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from dispatch.core import attachments, packaging_rules, sniffing, tenancy
from dispatch.core.callers import Caller
from dispatch.core.damage_rules import check_damage_allowed
from dispatch.core.live import STREAMING
from dispatch.core.overriding import overridden
from dispatch.core.paging import refuse
from dispatch.core.records import NO_SOURCE, Source, Tenant
from dispatch.core.webhooks import check_webhook_url
from dispatch.services.profiles import ProfileBook
from dispatch.services.s3_inputs import NO_BUCKETS, S3Inputs
from dispatch.services.sealing import Sealer
from dispatch.services.server_files import ServerFiles
from dispatch.services.tenants import TenantBook
from protocol.addresses import AddressPolicy, FetchPolicy, UrlRefused, check_url
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import MAX_METADATA_BYTES, JobSubmission
from protocol.media import LiveInput
from protocol.profiles import Profile
from protocol.recipes import InputLimits


@dataclass(frozen=True, slots=True)
class Rules:
    """`ttl_s` is the default span; `fetch` what inputs by URL are held against, `webhooks` what URLs to be told are.

    `buckets` are those that objects may be named in.
    """

    limits: InputLimits
    ttl_s: float
    default_profile: str
    fetch: FetchPolicy
    webhooks: AddressPolicy
    buckets: S3Inputs = NO_BUCKETS


@dataclass(frozen=True, slots=True)
class Checked:
    """A submission that may become a job. `brought` are the paths of files that are removed again if it does not."""

    submission: JobSubmission
    profile: Profile
    profile_json: str
    source: Source
    job_id: str | None = None
    thumbnail_json: str | None = None
    attachments_json: str | None = None
    keys_sealed: str | None = None
    brought: tuple[str, ...] = ()


class Sources:
    """Checks what a submission names: the profile, the input, its first bytes. No tool is run here."""

    def __init__(self, profiles: ProfileBook, files: ServerFiles, tenants: TenantBook, sealer: Sealer, rules: Rules) -> None:
        self._profiles, self._files, self._tenants = profiles, files, tenants
        self._sealer, self.rules = sealer, rules

    def tenant_of(self, who: Caller) -> Tenant:
        return self._tenants.find(who.tenant)

    def limits_for(self, who: Caller, submission: JobSubmission) -> InputLimits:
        """The server's, the tenant's own, and what the submission asks for."""
        limits = tenancy.limits_of(self.tenant_of(who), self.rules.limits)
        return limits.model_copy(update={"strict": True}) if submission.integrity == "strict" else limits

    async def check(self, who: Caller, submission: JobSubmission, *, needs_keys: bool = True) -> Checked:
        """Not `needs_keys` is one that will be no job: what its input allows can be told without content keys."""
        profile, profile_json = self._profile(who, submission)
        if needs_keys or submission.content_keys is not None:
            packaging_rules.check_keys(profile, submission.content_keys)
        source = NO_SOURCE if profile.is_noop else await self._source(who, submission)
        if (profile.live is None) != (source.kind != STREAMING.kind):
            raise refuse("profile", f"{profile.name} " + ("takes a live input" if profile.live else "takes no live input"))
        return Checked(submission, profile, profile_json, source, keys_sealed=self._sealed(submission))

    def check_upload(self, who: Caller, submission: JobSubmission, source: Source, head: bytes) -> Checked:
        profile, profile_json = self._profile(who, submission)
        if profile.is_noop:
            raise refuse("profile", "noop takes no input")
        packaging_rules.check_keys(profile, submission.content_keys)
        self.check_bytes(source.size, head)
        return Checked(submission, profile, profile_json, source, keys_sealed=self._sealed(submission))

    def _sealed(self, submission: JobSubmission) -> str | None:
        """Nothing but this and the engine that packages ever holds the keys."""
        keys = submission.content_keys
        return None if keys is None else self._sealer.seal(keys.model_dump_json())

    def _profile(self, who: Caller, submission: JobSubmission) -> tuple[Profile, str]:
        if submission.metadata and len(orjson.dumps(submission.metadata)) > MAX_METADATA_BYTES:
            raise refuse("metadata", f"is larger than {MAX_METADATA_BYTES} bytes")
        if submission.webhook_url is not None:
            check_webhook_url(submission.webhook_url, self.rules.webhooks)
        default = self.tenant_of(who).default_profile or self.rules.default_profile
        found = self._profiles.find(submission.profile or default)
        if found[0].is_noop and submission.input is not None:
            raise refuse("input", "profile noop takes no input")
        if submission.outputs.model_fields_set:
            own = overridden(found[0], submission.outputs)
            found = own, own.model_dump_json()
        attachments.uses_of(found[0], submission.attachments)
        if submission.allow_damaged:
            check_damage_allowed(found[0])
        return found

    async def _source(self, who: Caller, submission: JobSubmission) -> Source:
        wanted = submission.input
        if wanted is None:
            raise refuse("input", "is required: give one of path, upload_id, url, s3, live")
        if wanted.upload_id is not None:
            return NO_SOURCE  # `BroughtFiles` finds it and gives it a name
        if wanted.url is not None:
            return self._remote(wanted.url)
        if wanted.live is not None:
            return self._live(wanted.live)
        if wanted.s3 is not None:
            looked = await self.rules.buckets.look(who.tenant, wanted.s3)
            self.check_bytes(looked.source.size, looked.head)
            return looked.source
        if wanted.path is None:
            raise ReelyardError(ErrorCode.INPUT_KIND_UNSUPPORTED)
        inspected = await self._files.inspect(wanted.path)
        self.check_bytes(inspected.size, inspected.head)
        return Source("server", inspected.path, inspected.path.rsplit("/", 1)[-1], inspected.size)

    def _live(self, wanted: LiveInput) -> Source:
        """A playlist is held against the same rules as any input by URL; a listener has none."""
        if wanted.protocol == "srt":
            raise ReelyardError(ErrorCode.INPUT_KIND_UNSUPPORTED, "live streams come by RTMP or HLS; SRT is not received yet")
        if (wanted.protocol == "hls") != (wanted.url is not None):
            raise refuse("input.live.url", "is for hls, and needed there")
        if wanted.url is not None:
            self._remote(wanted.url)
        return STREAMING

    def _remote(self, url: str) -> Source:
        """Its form and any address in it; names are resolved by the engine that fetches, and nothing is fetched here."""
        try:
            target = check_url(url, self.rules.fetch)
        except UrlRefused as refused:
            raise ReelyardError(ErrorCode.INPUT_URL_REFUSED, str(refused)) from None
        return Source("url", url, target.filename, 0)

    def check_bytes(self, size: int, head: bytes) -> None:
        if size > self.rules.limits.max_bytes:
            raise ReelyardError(ErrorCode.INPUT_TOO_LARGE, f"the input is {size} bytes; at most {self.rules.limits.max_bytes}")
        reason = sniffing.refusal(head)
        if reason is not None:
            raise ReelyardError(ErrorCode.INPUT_FORMAT, reason)
