"""The tables of docs/howto/slots.md say what the engine says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.core.layout import Gpu, Machine, Processor
from engine.core.slot_specs import SlotSpecProblem, planned
from engine.core.slots import SlotKind

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "slots.md").read_text(encoding="utf-8")
MACHINE = Machine(tuple(Processor(n, core=n) for n in range(10)), gpus=(Gpu("0"), Gpu("1"), Gpu("renderD128")))
TWO_GPUS = Machine(MACHINE.processors, gpus=MACHINE.gpus[:2])


def rows_under(head: str) -> list[tuple[str, str]]:
    table = PAGE.partition(f"| {head}")[2].partition("\n\n")[0]
    return [(row[0], row[1]) for row in re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)]


MISTAKES = rows_under("what is wrong")
WORDS = rows_under("word")


def test_the_tables_are_found() -> None:
    assert (len(MISTAKES), len(WORDS)) == (6, 6)


@pytest.mark.parametrize(("wrong", "said"), MISTAKES)
def test_each_mistake_is_told_as_the_page_says(wrong: str, said: str) -> None:
    with pytest.raises(SlotSpecProblem) as problem:
        planned(re.findall(r"`([^`]+)`", wrong), TWO_GPUS)

    assert f"`{problem.value}`" == said


@pytest.mark.parametrize(("word", "meaning"), WORDS)
def test_each_word_is_a_slot(word: str, meaning: str) -> None:
    slots = [slot for slot in planned([word.strip("`")], MACHINE).slots if slot.kind is not SlotKind.LIGHT]

    assert len(slots) == (3 if meaning.startswith("three") else 1)
