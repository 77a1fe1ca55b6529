"""The settings that docs/howto/playback.md and docs/howto/inputs.md show are settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.dispatch import DispatchSettings
from config.sources import read_settings

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = [(name, number) for name, count in (("playback.md", 2), ("inputs.md", 2)) for number in range(count)]


@pytest.mark.parametrize(("name", "number"), SHOWN)
def test_block_of_settings_is_read_and_differs_from_none(name: str, number: int, tmp_path: Path) -> None:
    blocks = BLOCK.findall((HOWTO / name).read_text(encoding="utf-8"))
    (tmp_path / "dispatch.toml").write_text(blocks[number])

    settings = read_settings(DispatchSettings, {}, toml=tmp_path / "dispatch.toml", environ={})

    assert settings.model_fields_set, blocks[number]
