"""Subtitles as cues: what is read of FFmpeg's SRT, how it is laid on the film, how it is written."""

from __future__ import annotations

import pytest

from plugins.media import subtitles
from plugins.media.rejected import Rejected
from plugins.media.subtitles import Cue, parse, srt, vtt
from protocol.errors import FailureClass
from protocol.extras import TextFormat
from protocol.plugins import Invocation, Outcome
from protocol.recipes import PlannedSubtitle, TranscodeRecipe
from tests.unit.dispatch_jobs import video

PATHS = {kind: f"subtitles/en.{kind.value}" for kind in TextFormat}


def outcome(name: str, stdout: bytes = b"", stderr: str = "", exit_code: int = 0, *, timed_out: bool = False) -> Outcome:
    return Outcome(Invocation(name, ("ffmpeg",)), exit_code, stdout, stderr, 1.0, 1.0, timed_out=timed_out)


def proven(content: bytes, *, offset: str = "0", duration: str = "20") -> subtitles.ProvenText:
    planned = PlannedSubtitle(name="en", stream=2, language="en", offset=offset, paths=PATHS)
    recipe = TranscodeRecipe(source=video(640, 360, duration=duration), renditions=(), subtitles=(planned,))
    (found,) = subtitles.prove(recipe, {"subtitle_read:en": outcome("subtitle_read:en", content)})
    return found


def cue(start: float, end: float, text: str = "a") -> str:
    return f"7\n{subtitles.mark(round(start * 1000), ',')} --> {subtitles.mark(round(end * 1000), ',')}\n{text}\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("no cue at all\n", ()),
        ("1\n00:00:01,000 --> 00:00:02,500\nOne\nTwo\n\n", (Cue(1000, 2500, "One\nTwo"),)),
        ("1\r\n00:00:01.000 --> 01:00:02.500 X1:0\r\nOne\r\n", (Cue(1000, 3_602_500, "One"),)),
        ("1\n00:00:01,000 --> 00:00:02,000\nOne\n\n\nTwo\n2\n00:00:02,000 --> 00:00:03,000\n\n", (Cue(1000, 2000, "One\nTwo"),)),
        ("1\n00:00:02,000 --> 00:00:01,000\nBackwards\n", ()),
        (
            "1\n00:00:05,000 --> 00:00:06,000\nB\n\n2\n00:00:01,000 --> 00:00:02,000\nA\n",
            (Cue(1000, 2000, "A"), Cue(5000, 6000, "B")),
        ),
        ("1\n00:00:01,000 --> 00:00:02,000\nbell\x07 and \x00nothing\x7f\n", (Cue(1000, 2000, "bell and nothing"),)),
    ],
)
def test_cues_are_read_in_the_order_of_their_moments(text: str, expected: tuple[Cue, ...]) -> None:
    assert parse(text) == expected


def test_what_is_written_is_read_back_the_same() -> None:
    cues = (Cue(0, 40, "One\n<i>Two</i>"), Cue(3_723_004, 3_723_005, "2\nis no number of a cue"))

    assert parse(srt(cues)) == cues


def test_nothing_is_an_empty_file_of_its_format() -> None:
    assert (srt(()), vtt(())) == ("\n", "WEBVTT\n")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a < b & c --> d", "a &lt; b &amp; c --&gt; d"),
        ("<b>bold</b> <i>x</i> <u>y</u>", "<b>bold</b> <i>x</i> <u>y</u>"),
        ('<font size="20" color="#fff">big</font>', "big"),
        ("{\\an8}above", "above"),
        ("<s>struck</s> <script>x</script>", "struck &lt;script&gt;x&lt;/script&gt;"),
        ("<font>\n</font>", "&nbsp;"),
    ],
)
def test_in_webvtt_everything_but_plain_tags_is_a_letter(words: str, shown: str) -> None:
    assert vtt((Cue(1000, 2000, words),)) == f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{shown}\n"


def test_cues_are_laid_on_the_timeline_of_a_clip() -> None:
    text = cue(0, 1) + cue(3, 5) + cue(6, 30) + cue(40, 41)

    found = proven(text.encode(), offset="4", duration="10")

    assert found.cues == (Cue(0, 1000, "a"), Cue(2000, 10_000, "a"))
    assert found.outside == 0


def test_a_track_that_is_empty_is_published_empty_and_said() -> None:
    found = proven(b"")

    assert {path: content for path, (content, _) in subtitles.files([found]).items()} == {
        "subtitles/en.srt": b"\n",
        "subtitles/en.vtt": b"WEBVTT\n",
    }
    assert subtitles.warnings([found]) == ("The subtitles en are empty.",)


def test_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(Rejected, match="are no UTF-8"):
        proven(cue(1, 2, "x").encode() + b"\xff\xfe")


def test_more_cues_than_a_film_can_have_are_refused() -> None:
    with pytest.raises(Rejected, match="have more than 40000 cues"):
        proven((cue(1, 2) * 40_001).encode())


def test_a_track_that_was_not_made_is_refused() -> None:
    planned = PlannedSubtitle(name="en", stream=2, paths=PATHS)
    recipe = TranscodeRecipe(source=video(640, 360), renditions=(), subtitles=(planned,))

    with pytest.raises(Rejected, match="were not made"):
        subtitles.prove(recipe, {})


def test_a_files_other_letters_are_taken_only_where_it_is_no_utf8() -> None:
    planned = PlannedSubtitle(name="en", attachment="attachment-mine", paths=PATHS)
    recipe = TranscodeRecipe(source=video(640, 360), renditions=(), subtitles=(planned,))
    outcomes = {
        "subtitle:en": outcome("subtitle:en", cue(1, 2, "plain").encode()),
        "subtitle_recoded:en": outcome("subtitle_recoded:en", cue(1, 2, "recoded").encode()),
    }
    broken = {**outcomes, "subtitle:en": outcome("subtitle:en", b"", "[error] Invalid UTF-8 in decoded subtitles text")}

    assert [one.text for one in subtitles.prove(recipe, outcomes)[0].cues] == ["plain"]
    assert [one.text for one in subtitles.prove(recipe, broken)[0].cues] == ["recoded"]


def test_what_could_not_be_read_of_a_track_is_said() -> None:
    planned = PlannedSubtitle(name="en", stream=2, paths=PATHS)
    recipe = TranscodeRecipe(source=video(640, 360), renditions=(), subtitles=(planned,))
    outcomes = {
        "subtitles": outcome("subtitles", stderr="[srt @ 0x1] [error] Error decoding subtitles"),
        "subtitle_read:en": outcome("subtitle_read:en", cue(1, 2).encode()),
    }

    found = subtitles.prove(recipe, outcomes)

    assert subtitles.warnings(found) == ("Parts of the subtitles en are damaged and left out.",)


def test_a_file_of_other_letters_alone_is_no_failure_yet() -> None:
    stderr = "[error] Invalid UTF-8 in decoded subtitles text; maybe missing -sub_charenc option"

    assert subtitles.judged(outcome("subtitle:en", stderr=stderr, exit_code=69)) is None
    assert subtitles.judged(outcome("subtitle_recoded:en", stderr=stderr, exit_code=69)) is not None


@pytest.mark.parametrize(
    ("name", "exit_code", "timed_out", "blamed"),
    [
        ("subtitle:en", 0, False, None),
        ("subtitle:en", 183, False, FailureClass.INPUT),
        ("subtitle_recoded:en", 1, False, FailureClass.INPUT),
        ("subtitle:en", 255, False, FailureClass.INFRA),
        ("subtitle:en", -9, True, FailureClass.ENGINE),
        ("subtitle_read:en", 1, False, FailureClass.ENGINE),
    ],
)
def test_who_is_to_blame_for_subtitles(name: str, exit_code: int, timed_out: bool, blamed: FailureClass | None) -> None:
    failure = subtitles.judged(outcome(name, exit_code=exit_code, timed_out=timed_out))

    assert (failure.failure_class if failure else None) == blamed
