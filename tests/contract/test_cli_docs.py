"""The commands that docs/howto shows are commands, and their options are theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

from client.main import COMMANDS, GROUPS, REPLACED

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINE, INLINE = re.compile(r"^\s*(?:\$ |sudo )*reelyard (.+)$", re.MULTILINE), re.compile(r"`reelyard ([^`]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
ROWS = {row.words: row for row in COMMANDS}
GROUP_WORDS = {group.words for group in GROUPS}
PASSED_ON = {one.words for one in REPLACED}
PAGES = sorted(page.name for page in HOWTO.glob("*.md"))


def shown(page: Path) -> Iterator[str]:
    """What stands behind `reelyard` wherever a page shows a command; remarks and further commands of a line left out."""
    text = page.read_text(encoding="utf-8")
    for block in FENCED.findall(text):
        yield from (re.split(r"\s#|[|;&>]", told)[0] for told in LINE.findall(block))
    yield from INLINE.findall(FENCED.sub("", text))


def known(told: str) -> str | None:
    """The longest beginning that is a command or a group."""
    words = told.split()
    beginnings = (" ".join(words[:n]) for n in range(min(3, len(words)), 0, -1))
    return next((one for one in beginnings if one in ROWS or one in GROUP_WORDS or one in PASSED_ON), None)


def options(command: str) -> set[str]:
    takes = ROWS[command].takes
    found = (word for hint in get_type_hints(takes, include_extras=True).values() for word in OPTION.findall(declared(hint)))
    return {*found, "--help"}


def declared(hint: object) -> str:
    """typer keeps the first of an option's names where others have its default."""
    infos = getattr(hint, "__metadata__", ())
    return " ".join(str(word) for one in infos for word in (one.default, *(getattr(one, "param_decls", None) or ())))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists_and_takes_its_options(page: str) -> None:
    told = {one: known(one) for one in shown(HOWTO / page)}
    unknown = [one for one, command in told.items() if command is None and not one.startswith("-")]
    wrong = [
        (one, option)
        for one, command in told.items()
        if command in ROWS
        for option in OPTION.findall(one)
        if option not in options(command)
    ]

    assert (unknown, wrong) == ([], [])


def test_pages_show_commands_with_options() -> None:
    lines = [one for page in PAGES for one in shown(HOWTO / page)]

    assert (len(lines) > 40, sum(bool(OPTION.search(one)) for one in lines) > 8) == (True, True)
    assert {"submit", "live", "stop", "playback"} <= {known(one) for one in lines}
    assert {"--profile", "--attach", "--strict"} <= options("validate")
