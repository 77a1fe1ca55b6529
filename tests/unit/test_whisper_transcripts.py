"""What the whisper plugin says without hearing anything: forms, windows, models, and faster-whisper by its public interface."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.whisper.backends import FasterWhisper, heard
from plugins.whisper.models import Model, capabilities, choose
from plugins.whisper.transcript import Segment, Transcript, Word, forms, problem_of, tidied
from plugins.whisper.windows import RATE, windows

SAID = (Segment(0.0, 1.5, "Hello <there>", 0.9, (Word("Hello", 0.1, 0.6, 0.95), Word("<there>", 0.7, 1.4, 0.85))),)
TALK = Transcript("en", 0.98, "tiny", 3661.5, (*SAID, Segment(3660.25, 3661.5, "A --> B")))


def test_the_four_forms_tell_the_same() -> None:
    made = forms(TALK)

    assert made["txt"] == "Hello <there>\nA --> B\n"
    assert made["srt"] == ("1\n00:00:00,000 --> 00:00:01,500\nHello <there>\n\n2\n01:01:00,250 --> 01:01:01,500\nA -> B\n")
    assert made["vtt"] == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello &lt;there&gt;\n\n01:01:00.250 --> 01:01:01.500\nA --&gt; B\n"
    )
    told = json.loads(made["json"])
    assert (told["language"], told["model"], told["word_count"], told["text"]) == ("en", "tiny", 5, "Hello <there> A --> B")
    assert told["segments"][0]["words"][1] == {"word": "<there>", "start": 0.7, "end": 1.4, "probability": 0.85}
    assert told["segments"][1]["words"] is None
    assert problem_of(made, TALK.duration) is None


@pytest.mark.parametrize(
    ("form", "text", "told"),
    [
        ("json", "{}", "the JSON is no transcript: KeyError"),
        ("json", "no json", "the JSON is no transcript: JSONDecodeError"),
        ("txt", "something else", "the txt tells something else than the JSON"),
        ("vtt", "WEBVTT\n", "the vtt tells something else than the JSON"),
    ],
)
def test_files_that_are_no_one_transcript_do_not_pass(form: str, text: str, told: str) -> None:
    assert problem_of({**forms(TALK), form: text}, TALK.duration) == told


def test_a_segment_beyond_the_sound_or_over_another_does_not_pass() -> None:
    beyond = Transcript("en", None, "tiny", 2.0, (Segment(1.0, 3.0, "late"),))
    over = Transcript("en", None, "tiny", 9.0, (Segment(0.0, 3.0, "one"), Segment(2.0, 4.0, "two")))

    assert {problem_of(forms(each), each.duration) for each in (beyond, over)} == {
        "a segment lies outside of the sound, or over another"
    }


def test_segments_are_put_in_order_cut_to_the_next_and_to_the_sound_and_empty_ones_left_out() -> None:
    heard_so = (Segment(5.0, 12.0, " b\nc "), Segment(0.0, 6.0, "a"), Segment(7.0, 8.0, "  "), Segment(11.0, 12.0, "after"))

    assert tidied(heard_so, 10.0) == (Segment(0.0, 5.0, "a"), Segment(5.0, 10.0, "b c"))


def test_nothing_said_is_a_transcript_too() -> None:
    silence = Transcript("en", None, "tiny", 4.0, ())

    assert (forms(silence)["txt"], forms(silence)["srt"], forms(silence)["vtt"]) == ("", "", "WEBVTT\n")
    assert problem_of(forms(silence), 4.0) is None
    assert tidied((), 4.0) == ()


def test_long_sound_is_cut_where_it_is_quietest_and_nothing_is_lost() -> None:
    samples = array("h", [1000] * (RATE * 25))
    samples[RATE * 8 : RATE * 8 + 3200] = array("h", [0] * 3200)

    pieces = list(windows(memoryview(samples), 10))

    assert pieces[0][0] == 0
    assert RATE * 8 <= pieces[1][0] <= RATE * 8 + 3200
    assert max(len(piece) for _, piece in pieces) <= RATE * 10
    assert b"".join(piece.tobytes() for _, piece in pieces) == samples.tobytes()


class Stub:
    """A `faster_whisper.WhisperModel`, as far as its public interface goes."""

    supported_languages = ("en", "de")

    def __init__(self) -> None:
        self.asked: list[tuple[int, dict[str, Any]]] = []

    def transcribe(self, audio: list[int], **options: Any) -> tuple[Iterator[Any], Any]:
        self.asked.append((len(audio), options))
        word = SimpleNamespace(start=0.25, end=0.75, word=" Hallo", probability=0.9)
        segment = SimpleNamespace(start=0.25, end=1.0, text=" Hallo", words=[word], avg_logprob=0.0)
        return iter([segment]), SimpleNamespace(language="de", language_probability=0.75)


def test_faster_whisper_detects_the_language_once_and_times_words_in_the_whole() -> None:
    stub = Stub()
    pieces = [(0, memoryview(array("h", [0] * RATE))), (RATE, memoryview(array("h", [0] * RATE)))]

    found = list(heard(FasterWhisper(stub, list), pieces, None))

    assert [segment for _, segment in found] == [
        Segment(0.25, 1.0, " Hallo", 1.0, (Word("Hallo", 0.25, 0.75, 0.9),)),
        Segment(1.25, 2.0, " Hallo", 1.0, (Word("Hallo", 1.25, 1.75, 0.9),)),
    ]
    assert [(found_in.language, found_in.probability) for found_in, _ in found] == [("de", 0.75), ("de", None)]
    assert [(length, options["language"], options["word_timestamps"]) for length, options in stub.asked] == [
        (RATE, None, True),
        (RATE, "de", True),
    ]


def model(name: str) -> Model:
    return Model(name, "faster-whisper", f"/models/{name}", "1")


TINY, BASE, ENGLISH = model("tiny"), model("base"), model("moonshine-tiny.en")


@pytest.mark.parametrize(
    ("models", "name", "language", "chosen"),
    [
        ((TINY, BASE, ENGLISH), "base", None, BASE),
        ((TINY, BASE, ENGLISH), "small", None, BASE),
        ((TINY, ENGLISH), "base", "de", TINY),
        ((ENGLISH,), "tiny", "en", ENGLISH),
        ((ENGLISH,), "tiny", None, None),
        ((ENGLISH,), "tiny", "de", None),
        ((TINY, ENGLISH), "moonshine-tiny.en", "en", ENGLISH),
    ],
)
def test_the_model_of_that_name_else_the_nearest_that_knows_the_language(
    models: tuple[Model, ...], name: str, language: str | None, chosen: Model | None
) -> None:
    assert choose(models, name, language) == chosen


def test_a_language_is_detected_only_where_a_model_knows_several() -> None:
    assert capabilities((ENGLISH,), ("en",)) == ("model:moonshine-tiny.en", "speech:en")
    assert capabilities((TINY,), ("de", "en")) == ("model:tiny", "speech:any", "speech:de", "speech:en")


def test_memory_follows_the_model() -> None:
    names = ("tiny", "base", "small", "large-v3", "moonshine-tiny.en")

    assert [model(name).memory_bytes >> 30 for name in names] == [2, 3, 5, 8, 2]
