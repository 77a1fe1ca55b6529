"""Finds plugins by their entry points. One that fails to load is reported and left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import structlog

from protocol.capabilities import PluginDescription
from protocol.plugins import TranscoderPlugin

log = structlog.get_logger()

TRANSCODERS = "reelyard.transcoders"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The plugins at hand, and a description with its problem for each of the others."""

    plugins: tuple[TranscoderPlugin, ...]
    left_out: tuple[PluginDescription, ...]


def load_transcoders(found: Iterable[EntryPoint]) -> Loaded:
    """Every transcoder plugin that can be imported and made, by name."""
    plugins: list[TranscoderPlugin] = []
    left_out: list[PluginDescription] = []
    for entry in sorted(found, key=lambda entry: entry.name):
        try:
            plugins.append(entry.load()())
        except Exception as fault:
            log.exception("plugin_left_out", plugin=entry.name)
            left_out.append(PluginDescription(name=entry.name, version="", problem=f"{type(fault).__name__}: {fault}"[:500]))
    return Loaded(tuple(plugins), tuple(left_out))
