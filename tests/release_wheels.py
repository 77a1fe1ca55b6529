"""Wheels of this very code under other versions, made by hand: no build tool, no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from importlib.metadata import distribution, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("protocol", "config", "plugins", "dispatch", "engine", "client")


def wheel(directory: Path, version: str, changes: Mapping[str, str] | None = None, *, needs: tuple[str, ...] = ()) -> Path:
    """`changes` replace files by their path in the wheel; `needs` are requirements besides our own."""
    info = f"reelyard-{version}.dist-info"
    files = {str(path.relative_to(ROOT)): path.read_bytes() for name in PACKAGES for path in _sources(ROOT / name)}
    files |= {name: text.encode() for name, text in (changes or {}).items()}
    asked = "".join(f"Requires-Dist: {one}\n" for one in (*(requires("reelyard") or ()), *needs))
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: reelyard\nVersion: {version}\n{asked}".encode()
    files[f"{info}/entry_points.txt"] = (distribution("reelyard").read_text("entry_points.txt") or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    target = directory / f"reelyard-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def _sources(package: Path) -> list[Path]:
    found = (path for path in sorted(package.rglob("*")) if path.is_file())
    return [path for path in found if path.suffix != ".pyc" and "swagger" not in path.parts]


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
