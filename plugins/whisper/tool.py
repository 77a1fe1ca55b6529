"""The tool process of the whisper plugin: `python -m plugins.whisper.tool prove | transcribe | check`.

`transcribe` tells how far it is as one JSON object a line; all of them end with exit code 0, or with a traceback.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from plugins.whisper.backends import Backend, heard, load, tone
from plugins.whisper.transcript import Segment, Transcript, forms, problem_of, tidied
from plugins.whisper.windows import RATE, Samples, windows

PROVE_S = 1.0
FORMS = ("txt", "srt", "vtt", "json")


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    return {"prove": _prove, "transcribe": _transcribe, "check": _check}[options.what](options)


def _prove(options: argparse.Namespace) -> int:
    """Run the model over a hum and tell what it knows."""
    backend = load(options.backend, options.model, options.threads)
    list(heard(backend, windows(tone(PROVE_S), PROVE_S), backend.languages[0]))
    _say(languages=backend.languages)
    return 0


def _transcribe(options: argparse.Namespace) -> int:
    size = os.fstat(options.input).st_size // 2 * 2
    sound = mmap.mmap(options.input, size, access=mmap.ACCESS_READ)
    samples = memoryview(sound).cast("h")
    made = transcribe(load(options.backend, options.model, options.threads), samples, options.language, options.name)
    for form, text in forms(made).items():
        Path(getattr(options, form)).write_text(text, encoding="utf-8")
    return 0


def transcribe(backend: Backend, samples: Samples, language: str | None, name: str) -> Transcript:
    """The whole transcript; each segment is told as it comes."""
    segments: list[Segment] = []
    told, probability = language or backend.languages[0], None
    for found, segment in heard(backend, windows(samples, backend.window_s), language):
        if not segments:
            told, probability = found.language, found.probability
        segments.append(segment)
        _say(at=round(segment.end, 3))
    duration = len(samples) / RATE
    return Transcript(told, probability, name, round(duration, 3), tidied(segments, duration))


def _check(options: argparse.Namespace) -> int:
    """Read the four files back and tell what they are."""
    written = {form: Path(getattr(options, form)).read_text(encoding="utf-8") for form in FORMS}
    problem = problem_of(written, options.duration)
    told = {} if problem else json.loads(written["json"])
    _say(problem=problem, **{key: told.get(key) for key in ("language", "model", "word_count", "duration")})
    return 0


def _say(**what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plugins.whisper.tool")
    parser.add_argument("what", choices=("prove", "transcribe", "check"))
    for word in ("--backend", "--model", "--name", "--language", "--stamp", *(f"--{form}" for form in FORMS)):
        parser.add_argument(word)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--input", type=int)
    parser.add_argument("--duration", type=float)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
