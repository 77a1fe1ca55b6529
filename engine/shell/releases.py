"""Brings signed releases to this box: asks dispatch, checks the signature and every byte, installs beside what runs.

Nothing that runs is touched: a release lies in a directory of its own, and is run by its path.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

import aiohttp
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from packaging.requirements import Requirement
from pydantic import ValidationError

from engine.core.servers import Servers
from engine.core.updates import Here, Refused, installed, refusal
from engine.ports import LocalQueue
from engine.shell.versions import PACKAGE, Versions
from protocol.operations import BY_NAME
from protocol.releases import (
    MOST_ENVELOPE_BYTES,
    Envelope,
    NotARelease,
    Release,
    ReleaseFile,
    payload_of,
    release_of,
    signed_bytes,
)

log = structlog.get_logger()
BLOCK = 1 << 20
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
INSTALL_S = 300.0


class NotInstalled(Exception):
    """The release is refused; nothing of it was installed."""

    def __init__(self, why: Refused, detail: str, version: str | None = None) -> None:
        self.why, self.detail, self.version = why, detail, version
        super().__init__(f"{why}: {detail}")


@dataclass(frozen=True, slots=True)
class Shop:
    """Where releases come from: one of `servers`, with the credential in `queue`, signed by one of `keys` (base64)."""

    session: aiohttp.ClientSession
    servers: Servers
    keys: Sequence[str]
    queue: LocalQueue
    own_version: str
    wall: Callable[[], float]


class Releases:
    def __init__(self, shop: Shop, versions: Versions) -> None:
        self._shop, self._versions = shop, versions
        self._keys = [Ed25519PublicKey.from_public_bytes(base64.b64decode(key)) for key in shop.keys]

    async def look(self) -> str | None:
        """The version that was installed just now and waits for its trial; None when there is nothing to do.

        Raises NotInstalled, or aiohttp.ClientError and TimeoutError while dispatch cannot be asked.
        """
        envelope = await self._envelope()
        if envelope is None:
            return None
        release = self._checked(envelope)
        here = Here(self._shop.own_version, f"{sys.platform}-{platform.machine().lower()}", self._shop.wall())
        why = refusal(release, here, self._versions.state())
        if why is Refused.CURRENT:
            return None
        if why is not None:
            raise NotInstalled(why, f"version {release.version} is not for this engine now", release.version)
        await self._install(release)
        return release.version

    async def _envelope(self) -> Envelope | None:
        async with self._get(BY_NAME["latest_engine_release"].path) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            response.raise_for_status()
            body = bytearray()
            async for block in response.content.iter_any():
                body += block
                if len(body) > MOST_ENVELOPE_BYTES:
                    raise NotInstalled(Refused.MALFORMED, f"the envelope has more than {MOST_ENVELOPE_BYTES} bytes")
        try:
            return Envelope.model_validate_json(body)
        except ValidationError as fault:
            raise NotInstalled(Refused.MALFORMED, f"no signed envelope: {fault.error_count()} problems") from fault

    def _get(self, path: str) -> _Asking:
        return _Asking(self._shop, path)

    def _checked(self, envelope: Envelope) -> Release:
        try:
            payload = payload_of(envelope)
            if not envelope.signatures:
                raise NotInstalled(Refused.UNSIGNED, "the release carries no signature")
            if not any(self._is_ours(signature.sig, envelope.payloadType, payload) for signature in envelope.signatures):
                raise NotInstalled(Refused.WRONG_KEY, "no signature is by a key that this engine trusts")
            return release_of(envelope)
        except NotARelease as fault:
            raise NotInstalled(Refused.MALFORMED, str(fault)) from fault

    def _is_ours(self, text: str, payload_type: str, payload: bytes) -> bool:
        try:
            signature = base64.b64decode(text, validate=True)
        except binascii.Error:
            return False
        return any(_verifies(key, signature, signed_bytes(payload_type, payload)) for key in self._keys)

    async def _install(self, release: Release) -> None:
        with self._versions.building(release.version) as place:
            for file in release.files:
                await self._download(file, place / file.name, release.version)
            await _pip(place, [place / file.name for file in release.files], release.version)
            for file in release.files:
                (place / file.name).unlink()
            lack = await asyncio.to_thread(missing_in, place, release.version)
            if lack is not None:
                raise NotInstalled(Refused.NOT_INSTALLABLE, lack, release.version)
        self._versions.save(installed(self._versions.state(), release.version))
        log.info("release_installed", version=release.version, files=len(release.files))

    async def _download(self, file: ReleaseFile, target: Path, version: str) -> None:
        digest, size = hashlib.sha256(), 0
        path = BY_NAME["engine_release_file"].path.replace("{wheel}", file.name)
        async with self._get(path) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                raise NotInstalled(Refused.TRUNCATED, f"{file.name} is not there", version)
            response.raise_for_status()
            with target.open("xb") as written:
                async for block in response.content.iter_chunked(BLOCK):
                    size += len(block)
                    if size > file.size:
                        break
                    digest.update(block)
                    await asyncio.to_thread(written.write, block)
        if size != file.size:
            raise NotInstalled(Refused.TRUNCATED, f"{file.name} has {size} bytes, not {file.size}", version)
        if digest.hexdigest() != file.sha256:
            raise NotInstalled(Refused.TAMPERED, f"{file.name} is not what was signed", version)


class _Asking:
    """One GET to dispatch, with the credential of the moment."""

    def __init__(self, shop: Shop, path: str) -> None:
        self._shop, self._path = shop, path

    async def __aenter__(self) -> aiohttp.ClientResponse:
        identity = (await self._shop.queue.load()).identity
        headers = {"Authorization": f"Bearer {identity.credential}"} if identity else {}
        url = self._shop.servers.for_files + self._path
        self._response = await self._shop.session.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        self._response.release()


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


async def _pip(place: Path, wheels: Sequence[Path], version: str) -> None:
    """Unpack the wheels into `place`: no index, no dependencies, nothing built, nothing run."""
    argv = [sys.executable, "-I", "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    options = ["--disable-pip-version-check", "--only-binary", ":all:", "--target", str(place)]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *options,
        *(str(wheel) for wheel in wheels),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place)},
    )
    try:
        async with asyncio.timeout(INSTALL_S):
            _, errors = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        words = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise NotInstalled(Refused.NOT_INSTALLABLE, " ".join(words)[:300] or "pip failed", version)


def missing_in(place: Path, version: str) -> str | None:
    """What keeps the installed release from running beside this environment's packages, for people; None when nothing does."""
    found = {one.name.lower(): one for one in Distribution.discover(path=[str(place)])}
    own = found.get(PACKAGE)
    if not isinstance(own, PathDistribution) or own.version != version:
        return f"the wheels hold no {PACKAGE} of version {version}"
    for text in own.requires or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        has = _version_of(requirement.name, found)
        if has is None or not requirement.specifier.contains(has, prereleases=True):
            return f"it needs {requirement}, and here is {has or 'none'}: update the environment of this box"
    return None


def _version_of(name: str, found: dict[str, Distribution]) -> str | None:
    if name.lower() in found:
        return found[name.lower()].version
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
