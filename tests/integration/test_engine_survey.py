"""Plugins at the start: loaded or left out with a reason, proven by their probes, and not probed twice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.core.slots import Slot, SlotKind
from engine.shell.crash import fatal_note_of_last_run
from engine.shell.doctor import as_json, examine
from engine.shell.loader import Loaded, load_transcoders
from engine.shell.monitors import Monitors, load_monitors
from engine.shell.process import Tools
from engine.shell.survey import ToolSurvey, capabilities_of
from plugins.noop.plugin import NoopPlugin
from protocol.capabilities import Device, Load, PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.plugins import Invocation, Limits, Outcome, Surroundings

pytestmark = pytest.mark.integration


@dataclass
class Probing(NoopPlugin):
    """Proves itself by a tool that must succeed; counts how often it was asked what that told."""

    tool: str = "/bin/true"
    described: int = 0

    def probes(self, directory: str) -> Sequence[Invocation]:
        if not Path(self.tool).exists():
            raise ReelyardError(ErrorCode.TOOL_MISSING, f"there is no {self.tool}")
        return (Invocation(name="trial", argv=(self.tool,), limits=Limits(wall_s=20.0)),)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        self.described += 1
        done = [outcome for outcome in outcomes if outcome.exit_code == 0]
        return PluginDescription(name="probing", version="1", operations=("noop",) if done else (), capabilities=("encoder:x",))


@dataclass
class Accelerated(Probing):
    """Has an encoder that works on a GPU as long as there is a file of its name."""

    nodes: Path = Path()

    def device_probes(self, device: str) -> Sequence[Invocation]:
        return (Invocation(name="trial:h264_nvenc", argv=("/bin/test", "-e", str(self.nodes / device))),)

    def device_encoders(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        return tuple("h264_nvenc" for outcome in outcomes if outcome.exit_code == 0)


def survey_of(plugin: Probing, tmp_path: Path, *left_out: PluginDescription) -> ToolSurvey:
    return ToolSurvey(Loaded((plugin,), left_out), Tools(SystemClock()), tmp_path, tmp_path / "capabilities.json", "1")


async def test_what_was_proven_is_what_the_engine_offers(tmp_path: Path) -> None:
    broken = PluginDescription(name="broken", version="", problem="ImportError: no")

    capabilities = await survey_of(Probing(), tmp_path, broken).at_start()

    assert capabilities.provided == {"operation:noop", "encoder:x", "sandbox:1"}
    assert [(plugin.name, plugin.problem) for plugin in capabilities.plugins] == [
        ("probing", None),
        ("broken", "ImportError: no"),
    ]


async def test_the_second_start_does_not_probe_unchanged_tools_again(tmp_path: Path) -> None:
    first = await survey_of(Probing(), tmp_path).at_start()
    again = Probing()

    assert await survey_of(again, tmp_path).at_start() == first
    assert again.described == 0


async def test_encoders_are_proven_on_each_gpu_and_go_with_it(tmp_path: Path) -> None:
    plugin = Accelerated(nodes=tmp_path)
    gpus = {device: Slot(f"GPU:{device}", SlotKind.GPU, device=device) for device in ("0", "1")}
    survey = replace(survey_of(plugin, tmp_path), gpus=gpus)
    (tmp_path / "1").touch()

    there, cached = await survey.at_start(), await survey.at_start()
    (tmp_path / "1").unlink()
    gone = await survey.run_once()

    assert there == cached
    assert there.devices == (Device(index="1", name="GPU 1", encoders=("h264_nvenc",)),)
    assert (there.hardware_acceleration, "encoder:h264_nvenc" in there.provided) == (("nvenc",), True)
    assert (gone.devices, gone.hardware_acceleration) == ((), ())
    assert gone.provided == there.provided - {"encoder:h264_nvenc"}


def test_equal_builds_have_one_fingerprint_whatever_else_the_engine_has() -> None:
    def told(*builds: str) -> str:
        described = [PluginDescription(name=f"p{n}", version="1", build=build) for n, build in enumerate(builds)]
        return capabilities_of([*described, PluginDescription(name="noop", version="1")]).fingerprint

    assert told("a", "b") == told("a", "b") != told("a", "c")
    assert told() == ""


async def test_a_changed_tool_is_probed_again(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    shutil.copy("/bin/true", tool)
    await survey_of(Probing(tool=str(tool)), tmp_path).at_start()
    shutil.copy("/bin/false", tool)
    again = Probing(tool=str(tool))

    capabilities = await survey_of(again, tmp_path).at_start()

    assert (again.described, "operation:noop" in capabilities.provided) == (1, False)


async def test_a_periodic_survey_proves_everything_anew(tmp_path: Path) -> None:
    plugin = Probing()
    survey = survey_of(plugin, tmp_path)
    await survey.at_start()
    await survey.run_once()

    assert plugin.described == 2


async def test_a_plugin_without_its_tools_is_reported_and_offers_nothing(tmp_path: Path) -> None:
    capabilities = await survey_of(Probing(tool="/nowhere"), tmp_path).at_start()

    assert (capabilities.provided, capabilities.plugins[0].problem) == (frozenset({"sandbox:1"}), "there is no /nowhere")


def test_a_plugin_that_cannot_be_imported_is_left_out_with_its_reason() -> None:
    here = EntryPoint("noop", "plugins.noop.plugin:NoopPlugin", "reelyard.transcoders")
    gone = EntryPoint("gone", "plugins.nowhere:Plugin", "reelyard.transcoders")

    loaded = load_transcoders([here, gone])

    assert [plugin.name for plugin in loaded.plugins] == ["noop"]
    assert loaded.left_out == (
        PluginDescription(name="gone", version="", problem="ModuleNotFoundError: No module named 'plugins.nowhere'"),
    )


def monitors_of(directory: Path) -> Monitors:
    found = [EntryPoint("load", "plugins.monitors.load:LoadMonitor", "reelyard.monitors")]
    return load_monitors(found, Surroundings(str(directory), tuple))


async def test_the_monitor_reads_this_machine(tmp_path: Path) -> None:
    load = await monitors_of(tmp_path).read()

    assert 0 <= load.cpu_percent <= 100
    assert 0 < load.memory_percent <= 100
    assert load.disk_free_bytes <= shutil.disk_usage(tmp_path).total


async def test_the_doctor_names_what_keeps_this_machine_from_working(tmp_path: Path) -> None:
    findings = await examine(survey_of(Probing(tool="/nowhere"), tmp_path), monitors_of(tmp_path), tmp_path)

    bad = [finding.what for finding in findings if not finding.is_ok]
    assert "transcoding" in bad
    assert '"ok":false' in as_json(findings)


class Overloaded:
    """A machine whose others use too much."""

    def __init__(self, busy: tuple[str, ...]) -> None:
        self.busy = busy

    async def read(self) -> Load:
        return Load(cpu_percent=99.0, disk_free_bytes=60 * 10**9, disk_free_percent=3.0, busy=self.busy)


async def test_the_doctor_says_what_would_keep_an_engine_from_taking_work(tmp_path: Path) -> None:
    told = {
        finding.what: (finding.is_ok, finding.detail)
        for finding in await examine(survey_of(Probing(), tmp_path), Overloaded(("cpu", "disk")), tmp_path)
    }

    assert told["disk space"] == (False, "60.0 GB free (3 %); an engine takes no work on so full a disk: free some space")
    assert told["load"][1].endswith("over its threshold: cpu. While that is so an engine takes no work there")


async def test_a_disk_with_plenty_of_room_is_well_whatever_its_share(tmp_path: Path) -> None:
    findings = await examine(survey_of(Probing(), tmp_path), Overloaded(()), tmp_path)

    assert [finding.detail for finding in findings if finding.what == "disk space" and finding.is_ok] == ["60.0 GB free (3 %)"]


def test_a_run_that_ended_without_a_fatal_signal_left_no_note(tmp_path: Path) -> None:
    (tmp_path / "fatal.log").write_text("\n")

    assert fatal_note_of_last_run(tmp_path / "fatal.log") is None
    assert fatal_note_of_last_run(tmp_path / "missing.log") is None
