"""What is told of GPUs: names and memory of what the driver says, and a fingerprint for each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core import messages as m
from engine.core.layout import Gpu, Machine, Processor
from engine.core.slot_specs import planned
from engine.shell.survey import Model, driver_version, with_devices
from protocol.capabilities import Capabilities, Device, GpuLoad, Load
from tests.unit.engine_desk import Desk, beat_answered, beats

FOUND = Capabilities(fingerprint="build-1")
NVENC = ({"0": ("h264_nvenc",)},)
CARD = Model("NVIDIA RTX A4000", "550.54.14")


def fingerprint(found: Capabilities, model: Model) -> str:
    [device] = with_devices(found, NVENC, {"0": model}).devices
    return device.fingerprint


def test_a_device_is_called_what_the_kernel_calls_it_else_by_its_number() -> None:
    known = with_devices(FOUND, NVENC, {"0": CARD}).devices
    unknown = with_devices(FOUND, NVENC).devices

    assert known == (Device(index="0", name=CARD.name, encoders=("h264_nvenc",), fingerprint=fingerprint(FOUND, CARD)),)
    assert unknown == (Device(index="0", name="GPU 0", encoders=("h264_nvenc",)),)


def test_other_models_drivers_and_tools_have_other_fingerprints_and_equal_ones_the_same() -> None:
    others = [replace(CARD, name="NVIDIA L4"), replace(CARD, driver="560.35.03")]
    prints = [fingerprint(FOUND, model) for model in (CARD, *others)]
    prints.append(fingerprint(Capabilities(fingerprint="build-2"), CARD))

    assert len(set(prints)) == 4
    assert fingerprint(FOUND, replace(CARD)) == prints[0]


@pytest.mark.parametrize(
    ("found", "model"), [(FOUND, Model("", "550.54.14")), (FOUND, Model("0x8086:0x56a5", "")), (Capabilities(), CARD)]
)
def test_where_something_is_not_known_there_is_no_fingerprint(found: Capabilities, model: Model) -> None:
    assert fingerprint(found, model) == ""


@pytest.mark.parametrize(
    ("told", "number"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.199.02  Thu May 11 11:46:56 UTC 2023\nGCC version: 12.2.0\n",
            "470.199.02",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95  Release Build  (root@host)\n", "580.95"),
        ("NVRM version: unheard of\nGCC version:  gcc version 12.2.0 (Debian)\n", ""),
        ("", ""),
    ],
)
def test_the_driver_is_known_by_the_number_in_its_first_line(told: str, number: str) -> None:
    assert driver_version(told) == number


def told_devices(desk: Desk, load: Load) -> tuple[Device, ...] | None:
    [beat] = beats(desk.feed(m.LoadRead(load), m.Rang(m.Timer.HEARTBEAT)))
    desk.feed(beat_answered())
    return None if beat.request.capabilities is None else beat.request.capabilities.devices


def test_names_and_memory_come_with_the_first_reading_and_stay_when_the_monitor_falls_silent() -> None:
    desk = Desk(planned(("CPU:0", "GPU:0"), Machine((Processor(0, 0),), gpus=(Gpu("0"),)), 1))
    desk.online()
    reading = Load(gpus=(GpuLoad(index="0", name=CARD.name, memory_bytes=16 << 30),))

    told = [told_devices(desk, load) for load in (reading, reading, Load(), Load(gpus=(GpuLoad(index="0"),)))]

    assert told == [(Device(index="0", name=CARD.name, memory_bytes=16 << 30),), None, None, None]
