"""The NVIDIA monitor against a driver library with the real functions and structs, as a process of its own loads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMPILER = shutil.which("cc")
SOURCE = Path(__file__).with_name("nvml_fake.c")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc) to build a driver library with")

GIB = 1 << 30
TWO = (f"gpu 0 0 70 {16 * GIB} {8 * GIB} 40 0 3", f"gpu 1 0 10 {80 * GIB} {8 * GIB} 0 3 0")
"""The second has no encoder at all, as a data centre's GPU."""

LOST = (TWO[0], TWO[1].replace("gpu 1 0", "gpu 1 15"))
AWAY, MISFIT, HICCUP = "driver 9", "driver 18", "driver 999"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that holds the library."""
    made = tmp_path_factory.mktemp("nvml")
    command = [COMPILER or "", "-shared", "-fPIC", "-O1", "-o", str(made / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return made


@dataclass
class Driver:
    """What the driver says next, and the process that asks it."""

    script: Path
    reader: subprocess.Popen[str]
    first: Any = None  # Any: JSON

    def asked(self, *lines: str) -> Any:  # Any: JSON
        self.script.write_text("\n".join(lines) + "\n", encoding="ascii")
        if self.reader.stdin is not None:
            self.reader.stdin.write("\n")
            self.reader.stdin.flush()
        return self.answer()

    def answer(self) -> Any:  # Any: JSON
        return json.loads(self.reader.stdout.readline()) if self.reader.stdout is not None else None


@contextmanager
def driver(library: Path, directory: Path, *lines: str, how: str = "readings") -> Iterator[Driver]:
    script = directory / "script"
    script.write_text("\n".join(lines) + "\n", encoding="ascii")
    environ = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(script)}
    command = [sys.executable, "-m", "tests.contract.nvml_reader", how]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        made = Driver(script, reader)
        made.first = made.answer()
        yield made
        if reader.stdin is not None:
            reader.stdin.close()


def test_each_gpu_is_told_with_our_share_of_it(library: Path, tmp_path: Path) -> None:
    with driver(library, tmp_path, *TWO) as fake:
        ours = fake.reader.pid
        shared = (f"process 0 {ours} {2 * GIB}", f"process 0 1 {4 * GIB}", f"sample 0 {ours} 30 25", "sample 0 1 40 15")
        told = fake.asked(*TWO, *shared)
        alone = fake.asked(*TWO, f"process 0 {ours} {2 * GIB}")

    figures = {name: (one["used"], one["own"], one["sessions"], one["device_name"]) for name, one in told.items()}
    assert figures == {
        "gpu_memory 0": (50.0, 12.5, None, "Fake 0"),
        "gpu 0": (70, 30.0, None, "Fake 0"),
        "gpu_encoder 0": (40, 25.0, 3, "Fake 0"),
        "gpu_memory 1": (10.0, 0.0, None, "Fake 1"),
        "gpu 1": (10, 0.0, None, "Fake 1"),
    }
    assert (alone["gpu 0"]["own"], alone["gpu_encoder 0"]["own"]) == (70, 40), "nobody else uses it"


def test_a_lost_gpu_is_not_told_of_until_it_is_back(library: Path, tmp_path: Path) -> None:
    with driver(library, tmp_path, *TWO) as fake:
        rounds = [sorted({one["device"] for one in fake.asked(*lines).values()}) for lines in (TWO, LOST, TWO)]

    assert rounds == [["0", "1"], ["0"], ["0", "1"]]


@pytest.mark.parametrize("answer", [AWAY, MISFIT])
def test_a_driver_that_goes_away_tells_of_no_gpu_and_is_asked_again(library: Path, tmp_path: Path, answer: str) -> None:
    with driver(library, tmp_path, *TWO) as fake:
        there, gone, still, back = fake.asked(*TWO), fake.asked(answer), fake.asked(answer), fake.asked(*TWO)

    assert (gone, still) == ({}, {})
    assert back == there


def test_a_driver_that_answers_neither_yes_nor_no_is_a_fault_for_now(library: Path, tmp_path: Path) -> None:
    with driver(library, tmp_path, *TWO) as fake:
        hiccup, after = fake.asked(HICCUP), fake.asked(*TWO)

    assert "cannot be asked" in hiccup["fault"]
    assert "gpu 0" in after


def test_a_library_without_its_driver_is_as_good_as_none(library: Path, tmp_path: Path) -> None:
    with driver(library, tmp_path, AWAY) as fake:
        told = fake.first

    assert "does not answer" in told["absent"]


def test_the_heartbeats_load_closes_a_lost_gpu_at_once_and_a_busy_one_after_two_readings(library: Path, tmp_path: Path) -> None:
    full = (TWO[0].replace("gpu 0 0 70", "gpu 0 0 99"), TWO[1])
    with driver(library, tmp_path, *TWO, how="load") as fake:
        loads = [fake.asked(*lines) for lines in (TWO, LOST, full, full, TWO, TWO)]

    assert [load["busy"] for load in loads] == [[], ["gpu:1"], [], ["gpu:0"], ["gpu:0"], []]
    assert loads[0]["gpus"][0] == {
        "index": "0",
        "name": "Fake 0",
        "percent": 70.0,
        "memory_percent": 50.0,
        "encoder_percent": 40.0,
        "sessions": 3,
        "memory_bytes": 16 * GIB,
    }
