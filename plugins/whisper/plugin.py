"""The transcoder plugin for `transcribe` tasks: it plans the process that hears and the one that reads back."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import plugins
from plugins.whisper.backends import (
    FASTER_WHISPER,
    MOONSHINE,
    MOONSHINE_MODEL,
    MOONSHINE_PACKAGE,
    has_faster_whisper,
    moonshine_weights,
)
from plugins.whisper.models import MOST_MEMORY, Model, capabilities, choose
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import TranscribeRecipe
from protocol.results import AttemptResult, Failure, FileRole, OutputFacts, StepReport, ToolUse
from protocol.states import StepState, TaskKind
from protocol.steps import TRANSCRIBE_VIDEO

VARIABLE = "REELYARD_WHISPER_MODELS"
"""Names the directory in which each directory is a model of faster-whisper: tiny, base, small."""

PROVE, HEAR, CHECK = "prove", "transcribe", "check"
SPEECH = "speech"
PROVE_LIMITS = Limits(wall_s=300.0, cpu_s=300, memory_bytes=MOST_MEMORY, file_bytes=1 << 20)
CHECK_LIMITS = Limits(wall_s=300.0, cpu_s=300, memory_bytes=2 << 30, file_bytes=1 << 20)
LEAST_WALL_S, WALL_PER_SECOND = 3600.0, 6.0
LENGTH_SLACK_S = 0.5


class WhisperPlugin:
    """Keeps nothing but the models found and those of them that did not run."""

    name = "whisper"
    operations: tuple[str, ...] = (TaskKind.TRANSCRIBE,)

    def __init__(self) -> None:
        self._models: tuple[Model, ...] | None = None
        self._broken: set[str] = set()

    def probes(self, directory: str) -> Sequence[Invocation]:
        """Every model over a hum. Raises ReelyardError(TOOL_MISSING) without any."""
        self._models = found_models(os.environ.get(VARIABLE))
        if not self._models:
            raise ReelyardError(
                ErrorCode.TOOL_MISSING,
                f"No speech model. Set {VARIABLE} to a directory of faster-whisper models and "
                "`pip install 'reelyard[whisper]'`, or `pip install 'reelyard[moonshine]'` for English alone.",
            )
        return tuple(
            Invocation(
                name=f"{PROVE}:{model.name}",
                argv=(*_tool(PROVE, model, 1), "--stamp", model.stamp),
                limits=PROVE_LIMITS,
                readable=_readable(model),
                env=_environment(directory, 1),
            )
            for model in self._models
        )

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        proven: dict[str, list[str]] = {}
        for outcome in outcomes:
            languages = _languages(outcome)
            if languages:
                proven[outcome.invocation.name.partition(":")[2]] = languages
        models = self._known()
        self._broken = {model.name for model in models if model.name not in proven}
        good = [model for model in models if model.name in proven]
        can = self.operations if good else ()
        return PluginDescription(
            name=self.name,
            version=_version(good),
            operations=can,
            capabilities=(
                *(f"operation:{operation}" for operation in can),
                *capabilities(good, {language for spoken in proven.values() for language in spoken}),
            ),
            problem=f"these speech models do not run: {', '.join(sorted(self._broken))}" if self._broken else None,
        )

    def _known(self) -> tuple[Model, ...]:
        if self._models is None:
            self._models = found_models(os.environ.get(VARIABLE))
        return self._models

    def plan(self, work: Work) -> Sequence[Invocation]:
        recipe, model, source = _recipe(work), self._model(work), _speech(work)
        language = () if recipe.language is None else ("--language", recipe.language)
        wall = max(LEAST_WALL_S, WALL_PER_SECOND * float(Fraction(recipe.duration)))
        limits = Limits(wall_s=wall, cpu_s=int(wall * max(1, work.threads)), memory_bytes=model.memory_bytes, file_bytes=1 << 30)
        return (
            Invocation(
                name=HEAR,
                argv=(*_tool(HEAR, model, work.threads), "--input", "{fd0}", *language, *_paths(recipe)),
                reads=(source,),
                makes=tuple({parent for path in recipe.paths.values() if (parent := path.rpartition("/")[0])}),
                streams=True,
                limits=limits,
                readable=_readable(model),
                env=_environment(work.directory, work.threads),
            ),
        )

    def _model(self, work: Work) -> Model:
        recipe = _recipe(work)
        model = choose((one for one in self._known() if one.name not in self._broken), recipe.model, recipe.language)
        if model is None:
            raise ReelyardError(ErrorCode.TOOL_MISSING, "This engine has no speech model for that language any more.")
        return model

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        total = float(Fraction(_recipe(work).duration))
        at = _told(line).get("at")
        if invocation.name != HEAR or not isinstance(at, int | float) or total <= 0:
            return ()
        return (StepReport(name=TRANSCRIBE_VIDEO, state=StepState.RUNNING, progress=min(1.0, max(0.0, at / total))),)

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        if outcome.exit_code == 0 and not outcome.timed_out:
            return None
        last = next((line for line in reversed(outcome.stderr_tail.splitlines()) if line.strip()), "")
        return Failure(
            failure_class=FailureClass.ENGINE,
            code=ErrorCode.TOOL_FAILED,
            message="The speech model did not come to an end with this sound.",
            step=TRANSCRIBE_VIDEO,
            evidence={"exit_code": str(outcome.exit_code), "last_line": last.partition(":")[0][:200]},
            log_tail=outcome.stderr_tail,
        )

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        recipe, made = _recipe(work), {file.path for file in files}
        if (missing := next((path for path in recipe.paths.values() if path not in made), None)) is not None:
            return _refused(f"The tool did not make {missing}.")
        length = str(float(Fraction(recipe.duration)) + LENGTH_SLACK_S)
        argv = (*_python(), CHECK, "--duration", length, *_paths(recipe))
        env = _environment(work.directory, 1)
        return (Invocation(name=CHECK, argv=argv, limits=CHECK_LIMITS, readable=_readable(None), env=env),)

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        by_name = {outcome.invocation.name: outcome for outcome in outcomes}
        told = _told(by_name[CHECK].stdout.decode("utf-8", "replace"))
        if told.get("problem") or not isinstance(told.get("language"), str):
            return _refused(f"The transcript does not hold: {told.get('problem') or 'nothing was read back'}.")
        facts = OutputFacts(
            role=FileRole.TRANSCRIPT,
            language=str(told["language"]),
            word_count=int(str(told["word_count"])),
            model=str(told["model"]),
            duration=float(str(told["duration"])),
        )
        seconds = round(by_name[HEAR].wall_seconds, 3)
        step = StepReport(name=TRANSCRIBE_VIDEO, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds)
        result = AttemptResult(steps=(step,), tools=_uses(outcomes, _version([self._model(work)])))
        return Conclusion(facts=dict.fromkeys(_recipe(work).paths.values(), facts), result=result)


def found_models(directory: str | None) -> tuple[Model, ...]:
    """Those in the directory of models, where faster-whisper is installed, and Moonshine's where its wheel is."""
    found = []
    if directory and has_faster_whisper():
        for weights in sorted(Path(directory).glob("*/model.bin")):
            status = weights.stat()
            stamp = f"{status.st_size}-{status.st_mtime_ns}"
            found.append(Model(weights.parent.name, FASTER_WHISPER, str(weights.parent.resolve()), stamp))
    if (weights_of_wheel := moonshine_weights()) is not None:
        version = importlib.metadata.version(MOONSHINE_PACKAGE.replace("_", "-"))
        found.append(Model(MOONSHINE_MODEL, MOONSHINE, str(weights_of_wheel), version))
    return tuple(found)


def _python() -> tuple[str, ...]:
    """Isolated from the work directory and from the user's own packages."""
    return (sys.executable, "-I", "-m", "plugins.whisper.tool")


def _tool(what: str, model: Model, threads: int) -> tuple[str, ...]:
    chosen = ("--backend", model.backend, "--model", model.path, "--name", model.name)
    return (*_python(), what, *chosen, "--threads", str(max(1, threads)))


def _paths(recipe: TranscribeRecipe) -> tuple[str, ...]:
    return tuple(word for form, path in recipe.paths.items() for word in (f"--{form}", path))


def _readable(model: Model | None) -> tuple[str, ...]:
    """The Python environment, this package where it is installed from a checkout, and the model."""
    places = [sys.prefix, sys.base_prefix, *map(str, plugins.__path__)]
    return tuple(dict.fromkeys([*places, model.path] if model is not None else places))


def _environment(directory: str, threads: int) -> tuple[tuple[str, str], ...]:
    """Nothing is fetched from the net, and caches go where the attempt may write."""
    offline = (("HF_HUB_OFFLINE", "1"), ("HF_HUB_DISABLE_TELEMETRY", "1"), ("TRANSFORMERS_OFFLINE", "1"))
    return (*offline, ("HOME", directory), ("TMPDIR", directory), ("OMP_NUM_THREADS", str(max(1, threads))))


def _version(models: Sequence[Model]) -> str:
    packages = {FASTER_WHISPER: "faster-whisper", MOONSHINE: "moonshine-voice"}
    used = dict.fromkeys(packages[model.backend] for model in models)
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in used)


def _languages(outcome: Outcome) -> list[str]:
    """What a model that ran says it knows; nothing of one that did not."""
    if outcome.exit_code != 0 or outcome.timed_out:
        return []
    languages = _told(outcome.stdout.decode("utf-8", "replace")).get("languages")
    return [str(language) for language in languages] if isinstance(languages, list) else []


def _told(text: str) -> dict[str, object]:
    """The last JSON object of the text; libraries print what they like before it."""
    for line in reversed(text.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            return told
    return {}


def _uses(outcomes: Sequence[Outcome], version: str) -> tuple[ToolUse, ...]:
    """Without the paths of this machine."""
    return tuple(
        ToolUse(
            tool="whisper",
            version=version,
            argv=("whisper", *(_nameless(word) for word in outcome.invocation.argv[len(_python()) :])),
            wall_seconds=outcome.wall_seconds,
            cpu_seconds=outcome.cpu_seconds,
        )
        for outcome in outcomes
    )


def _nameless(word: str) -> str:
    return word.rpartition("/")[2] if word.startswith("/") else word


def _refused(message: str) -> Failure:
    return Failure(failure_class=FailureClass.ENGINE, code=ErrorCode.OUTPUT_INVALID, message=message, step=TRANSCRIBE_VIDEO)


def _speech(work: Work) -> str:
    if SPEECH not in work.inputs:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The whisper plugin was given a task without its sound.")
    return work.inputs[SPEECH]


def _recipe(work: Work) -> TranscribeRecipe:
    if not isinstance(work.recipe, TranscribeRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The whisper plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
