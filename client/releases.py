"""Publishing releases of the engine from a server's box: a signing key, and a signed manifest beside the wheels."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from client.errors import ClientCode, ClientError
from protocol.releases import PAYLOAD_TYPE, Envelope, Release, ReleaseFile, Signature, signed_bytes

PACKAGE, LATEST = "reelyard", "latest.json"
_METADATA = re.compile(r"reelyard-[^/]+\.dist-info/METADATA")


def new_key(path: Path) -> str:
    """A new signing key in `path`, for its owner alone. Gives the public key as engines' settings take it."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as fault:
        raise ClientError(ClientCode.USAGE, f"{path} exists; a signing key is never overwritten") from fault
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return public_text(key)


def public_text(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def load_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as fault:
        raise ClientError(ClientCode.USAGE, f"{path} holds no signing key: {fault}") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise ClientError(ClientCode.USAGE, f"{path} holds a key of another kind; `reelyard releases key` makes one")
    return key


def publish(shelf: Path, wheels: Sequence[Path], key: Ed25519PrivateKey, *, platforms: Sequence[str], expires: str) -> Release:
    """Put the wheels on the server's shelf and sign for them, the manifest last and whole."""
    try:
        release = Release(
            version=version_in(wheels),
            platforms=tuple(platforms),
            expires_at=_moment(expires),
            files=tuple(_file(wheel) for wheel in wheels),
        )
    except ValidationError as fault:
        problem = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ClientError(ClientCode.USAGE, f"this is no release: {where}: {problem['msg']}") from fault
    shelf.mkdir(mode=0o755, parents=True, exist_ok=True)
    for wheel in wheels:
        beside = shelf / f".{wheel.name}.new"
        shutil.copyfile(wheel, beside)
        beside.replace(shelf / wheel.name)
    beside = shelf / f".{LATEST}.new"
    beside.write_text(sealed(release.model_dump_json().encode(), key).model_dump_json(), encoding="ascii")
    beside.replace(shelf / LATEST)
    return release


def _moment(text: str) -> str:
    """As the manifest has it. A day alone means its beginning in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as fault:
        raise ClientError(ClientCode.USAGE, f"--expires {text}: give a day or an RFC 3339 time, such as 2027-06-30") from fault
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def sealed(payload: bytes, key: Ed25519PrivateKey) -> Envelope:
    signature = base64.b64encode(key.sign(signed_bytes(PAYLOAD_TYPE, payload))).decode()
    keyid = hashlib.sha256(base64.b64decode(public_text(key))).hexdigest()[:16]
    return Envelope(
        payloadType=PAYLOAD_TYPE,
        payload=base64.b64encode(payload).decode(),
        signatures=(Signature(keyid=keyid, sig=signature),),
    )


def version_in(wheels: Sequence[Path]) -> str:
    """The version of the one wheel among them that is Reelyard's own."""
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if _METADATA.fullmatch(name)]
                metadata = archive.read(names[0]).decode() if names else ""
        except (OSError, zipfile.BadZipFile) as fault:
            raise ClientError(ClientCode.USAGE, f"{wheel} is no wheel: {fault}") from fault
        found = re.search(r"^Version: (\S+)$", metadata, re.MULTILINE)
        if found:
            return found[1]
    raise ClientError(ClientCode.USAGE, f"none of the wheels is {PACKAGE}'s own: build it with `pip wheel --no-deps .`")


def _file(wheel: Path) -> ReleaseFile:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return ReleaseFile(name=wheel.name, size=file.tell(), sha256=digest.hexdigest())
