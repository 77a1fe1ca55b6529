"""Other people's files, made once for each worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.ground import furnish


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("outside")
    furnish(directory)
    return directory
