"""Playback put together: links, keys, and the licence servers that the settings name."""

from __future__ import annotations

from pathlib import Path

from config.dispatch import DispatchSettings, Playback
from dispatch.app.outside import Outside
from dispatch.app.secrets import Unusable
from dispatch.services.files import FileService
from dispatch.services.licences import LicenceProxy, LicenceServers
from dispatch.services.playback import PlaybackService, Signing
from dispatch.services.sealing import Sealer


def assemble_playback(outside: Outside, settings: DispatchSettings, files: FileService, sealer: Sealer) -> PlaybackService:
    """Raises Unusable for a secret that cannot be read."""
    wanted = settings.playback
    links = Signing(outside.secrets.signing, (settings.api.public_url or "").rstrip("/"), wanted.link_s)
    return PlaybackService(outside.store, files, outside.clock, links, sealer, LicenceProxy(_servers(wanted)))


def _servers(wanted: Playback) -> LicenceServers:
    urls = {name: url for name, url in wanted.licence_urls.model_dump().items() if url is not None}
    file = wanted.licence_secret_file
    secret = "" if file is None else _secret(file)
    return LicenceServers(urls, wanted.licence_header, secret, wanted.licence_timeout_s)


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise Unusable(f"playback.licence_secret_file: {path} cannot be read as text") from None
    if not secret.isprintable() or not secret:
        raise Unusable(f"playback.licence_secret_file: {path} must hold one line")
    return secret
