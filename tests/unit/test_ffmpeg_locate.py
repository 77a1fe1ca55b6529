"""Which tools are taken."""

from __future__ import annotations

import pytest

from plugins.media.locate import FFMPEG_VARIABLE, Tool, locate, tool_of
from protocol.errors import ErrorCode, ReelyardError

RELEASE = (
    "ffmpeg version 6.1.1-3ubuntu5 Copyright (c) 2000-2023\nlibavutil      58. 29.100 / 58. 29.100\nlibavformat    60. 16.100 /\n"
)
OLD = "ffmpeg version 5.1.6-0+deb12u1 Copyright (c) 2000-2024\nlibavformat    59. 27.100 / 59. 27.100\n"
FROM_GIT = "ffmpeg version N-118000-g1234567 Copyright (c) 2000-2026\nlibavformat    62.  3.100 / 62.  3.100\n"


@pytest.mark.parametrize(
    ("banner", "version"),
    [(RELEASE, "6.1.1-3ubuntu5"), (FROM_GIT, "N-118000-g1234567"), (OLD, None), ("hello", None), ("", None)],
)
def test_only_new_enough_tools_are_taken(banner: str, version: str | None) -> None:
    assert tool_of("/x/ffmpeg", banner) == (Tool("/x/ffmpeg", version) if version else None)


def test_a_configured_tool_that_does_not_run_is_an_error_not_a_hint() -> None:
    with pytest.raises(ReelyardError) as caught:
        locate({FFMPEG_VARIABLE: "/nowhere/ffmpeg"})

    assert caught.value.code is ErrorCode.TOOL_MISSING
    assert FFMPEG_VARIABLE in caught.value.message
