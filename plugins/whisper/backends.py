"""The engines that hear: faster-whisper with a model directory, and Moonshine with the weights of its wheel.

Their packages are imported only where they are used; each is an extra of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from plugins.whisper.transcript import Segment, Word
from plugins.whisper.windows import RATE, Samples

FASTER_WHISPER, MOONSHINE = "faster-whisper", "moonshine"
MOONSHINE_PACKAGE, MOONSHINE_WEIGHTS, MOONSHINE_MODEL = "moonshine_voice", "assets/tiny-en", "moonshine-tiny.en"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a backend makes of one window; `segments` come as they are recognised, in seconds from its start."""

    language: str
    probability: float | None
    segments: Iterable[Segment]


class Backend(Protocol):
    """A loaded model. `window_s` is how much sound it takes at once, `languages` those it knows."""

    window_s: float
    languages: tuple[str, ...]

    def hear(self, samples: Samples, language: str | None) -> Heard:
        """`language` None is to be detected, where the model knows several."""
        ...


class FasterWhisper:
    """`model` is a `faster_whisper.WhisperModel`; `as_floats` turns samples into what it takes."""

    window_s = 1800.0

    def __init__(self, model: Any, as_floats: Callable[[Samples], Any]) -> None:
        self._model, self._as_floats = model, as_floats
        self.languages = tuple(sorted(model.supported_languages))

    def hear(self, samples: Samples, language: str | None) -> Heard:
        segments, info = self._model.transcribe(
            self._as_floats(samples), language=language, word_timestamps=True, condition_on_previous_text=False
        )
        probability = None if language is not None else round(float(info.language_probability), 4)
        return Heard(info.language, probability, map(_of_whisper, segments))


def _of_whisper(segment: Any) -> Segment:
    words = tuple(
        Word(word.word.strip(), round(float(word.start), 3), round(float(word.end), 3), round(float(word.probability), 4))
        for word in segment.words or ()
    )
    probability = round(math.exp(min(0.0, float(segment.avg_logprob))), 4)
    return Segment(float(segment.start), float(segment.end), segment.text, probability, words)


class Moonshine:
    """`transcriber` is a `moonshine_voice.Transcriber`. English; it times lines, not words, and tells no probabilities."""

    window_s = 30.0
    languages: tuple[str, ...] = ("en",)

    def __init__(self, transcriber: Any) -> None:
        self._transcriber = transcriber

    def hear(self, samples: Samples, language: str | None) -> Heard:
        lines = self._transcriber.transcribe_without_streaming([sample / 32768 for sample in samples], RATE).lines
        return Heard("en", None, map(_of_moonshine, lines))


def _of_moonshine(line: Any) -> Segment:
    return Segment(float(line.start_time), float(line.start_time + line.duration), line.text)


def load(kind: str, path: str, threads: int) -> Backend:
    """Raises ImportError without the package, OSError or RuntimeError for a model that cannot be loaded."""
    if kind == MOONSHINE:
        transcriber = importlib.import_module("moonshine_voice.transcriber")
        return Moonshine(transcriber.Transcriber(path, transcriber.ModelArch.TINY))
    numpy, whisper = importlib.import_module("numpy"), importlib.import_module("faster_whisper")
    model = whisper.WhisperModel(path, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)
    return FasterWhisper(model, lambda samples: numpy.frombuffer(samples, dtype=numpy.int16).astype(numpy.float32) / 32768)


def moonshine_weights() -> Path | None:
    """Where the wheel keeps its weights; None without the wheel."""
    found = importlib.util.find_spec(MOONSHINE_PACKAGE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / MOONSHINE_WEIGHTS
    return path if (path / "encoder_model.ort").is_file() else None


def has_faster_whisper() -> bool:
    return importlib.util.find_spec("faster_whisper") is not None


def tone(seconds: float) -> Samples:
    """Silence, then a hum: enough to see a model run from end to end."""
    count = int(seconds * RATE)
    hum = (0 if n < count // 2 else int(8000 * math.sin(n * 440 * 2 * math.pi / RATE)) for n in range(count))
    return memoryview(array("h", hum))


def heard(backend: Backend, pieces: Iterable[tuple[int, Samples]], language: str | None) -> Iterator[tuple[Heard, Segment]]:
    """Every segment of every piece, at its moment in the whole; the language the first piece is in is that of all."""
    for begin, samples in pieces:
        found = backend.hear(samples, language)
        language, offset = language or found.language, begin / RATE
        for segment in found.segments:
            yield found, _shifted(segment, offset)


def _shifted(segment: Segment, by: float) -> Segment:
    words = segment.words
    if words is not None:
        words = tuple(Word(w.word, round(w.start + by, 3), round(w.end + by, 3), w.probability) for w in words)
    return Segment(segment.start + by, segment.end + by, segment.text, segment.probability, words)
