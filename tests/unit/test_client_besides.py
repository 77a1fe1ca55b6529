"""Words of the command line for files beside the input."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.besides import Beside, read_attachments, read_keys
from client.errors import ClientError
from protocol.errors import ReelyardError

KEY = "00112233445566778899aabbccddeeff"


def test_attachments_have_a_name_perhaps_a_language_and_a_file() -> None:
    assert read_attachments(["watermark=a=b.png", "subs:en=film.srt"]) == [
        Beside("watermark", None, Path("a=b.png")),
        Beside("subs", "en", Path("film.srt")),
    ]


@pytest.mark.parametrize("words", [["logo.png"], ["=x"], ["Name=x"], ["a:english=x"], ["a=x", "a=y"]])
def test_other_words_are_refused(words: list[str]) -> None:
    with pytest.raises(ClientError, match="--attach"):
        read_attachments(words)


def test_a_file_of_keys_that_is_wrong_is_told_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(f'{{"keys": [{{"key_id": "{KEY}", "key": "{KEY}0"}}]}}')

    with pytest.raises(ReelyardError) as raised:
        read_keys(file)

    assert ("keys.0.key" in raised.value.message, KEY in raised.value.message) == (True, False)
