"""Other people's files, and the best sandbox there is; once for each worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.shell.sandbox import Sandboxing
from tests.hostile.ground import furnish
from tests.hostile.trial import best_sandbox


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("outside")
    furnish(directory)
    return directory


@pytest.fixture(scope="session")
def sandboxing(tmp_path_factory: pytest.TempPathFactory) -> Sandboxing:
    return asyncio.run(best_sandbox(tmp_path_factory.mktemp("check")))
