"""Finds transcoder plugins by their entry points and settles which does what. One that is no good is reported and left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import structlog

from protocol.capabilities import PluginDescription
from protocol.plugins import TranscoderPlugin
from protocol.states import TaskKind

log = structlog.get_logger()

TRANSCODERS = "reelyard.transcoders"
PACKAGE = "reelyard"
PARTS = tuple(part for part in vars(TranscoderPlugin) if not part.startswith("_"))
"""What a plugin must have."""

CHOOSE = "name the one you want in the setting `plugins`"
NOT_INSTALLED = "the setting `plugins` names it, and it is not installed"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The plugins at hand, first the one that is preferred, and a description with its problem for each of the others."""

    plugins: tuple[TranscoderPlugin, ...]
    left_out: tuple[PluginDescription, ...]

    @property
    def by_operation(self) -> Mapping[str, TranscoderPlugin]:
        """Who does what: of several the first."""
        return {operation: plugin for plugin in reversed(self.plugins) for operation in plugin.operations}

    def operations_of(self, plugin: TranscoderPlugin) -> frozenset[str]:
        return frozenset(operation for operation, doer in self.by_operation.items() if doer is plugin)


def load_transcoders(found: Iterable[EntryPoint], preferred: Sequence[str] = ()) -> Loaded:
    """Every transcoder plugin that is whole: those `preferred` by name, then our own, then the others by name.

    One whose every operation another does is left out, and reported unless that other one was preferred.
    """
    entries = sorted(found, key=lambda entry: (_place(entry, preferred), entry.name))
    plugins: list[TranscoderPlugin] = []
    installed = {entry.name for entry in entries}
    left_out = [_problem(name, NOT_INSTALLED) for name in preferred if name not in installed]
    for entry in entries:
        try:
            plugin: TranscoderPlugin = entry.load()()
            problem = _fault_of(entry.name, plugin)
        except Exception as fault:
            log.exception("plugin_left_out", plugin=entry.name)
            left_out.append(_problem(entry.name, f"{type(fault).__name__}: {fault}"))
            continue
        doers = () if problem else _doers(plugin, plugins)
        if doers and all(doer.name in preferred for doer in doers):
            log.info("plugin_passed_over", plugin=entry.name, by=[doer.name for doer in doers])
        elif problem or doers:
            told = problem or f"{doers[0].name} does {', '.join(plugin.operations)} already; {CHOOSE}"
            log.warning("plugin_left_out", plugin=entry.name, problem=told)
            left_out.append(_problem(entry.name, told))
        else:
            plugins.append(plugin)
    return Loaded(tuple(plugins), tuple(left_out))


def _place(entry: EntryPoint, preferred: Sequence[str]) -> int:
    if entry.name in preferred:
        return preferred.index(entry.name)
    is_ours = entry.dist is not None and entry.dist.name == PACKAGE
    return len(preferred) + (0 if is_ours else 1)


def _fault_of(name: str, plugin: object) -> str | None:
    """What keeps an object from being the plugin `name`, or None."""
    missing = [part for part in PARTS if not hasattr(plugin, part)]
    if missing:
        return f"{type(plugin).__name__} is no transcoder plugin: it has no {', '.join(missing)}"
    uncallable = [part for part in PARTS if part not in ("name", "operations") and not callable(getattr(plugin, part))]
    if uncallable or not isinstance(plugin, TranscoderPlugin):
        return f"{type(plugin).__name__} is no transcoder plugin: {', '.join(uncallable)} cannot be called"
    if plugin.name != name:
        return f"its entry point calls it {name}, and it calls itself {plugin.name}; give both one name"
    unknown = [operation for operation in plugin.operations if operation not in set(TaskKind)]
    if unknown or not plugin.operations:
        return f"it does {', '.join(unknown) or 'nothing'}, and tasks are: {', '.join(TaskKind)}"
    return None


def _doers(plugin: TranscoderPlugin, others: Sequence[TranscoderPlugin]) -> tuple[TranscoderPlugin, ...]:
    """Who does all that `plugin` does, or nobody when it has something of its own."""
    taken = {operation: other for other in reversed(others) for operation in other.operations}
    return (
        tuple({id(taken[one]): taken[one] for one in plugin.operations}.values()) if taken.keys() >= {*plugin.operations} else ()
    )


def _problem(name: str, text: str) -> PluginDescription:
    return PluginDescription(name=name, version="", problem=text[:500])
