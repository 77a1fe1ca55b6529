"""PSNR, SSIM and VMAF of one picture against another: the filters that measure them, and their words read back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.extras import Metric

HIGHEST_PSNR = 100.0
"""What identical pictures are told with: decibels of no difference are infinite."""

MODEL, LARGE_MODEL, LARGE_LINES = "vmaf_v0.6.1", "vmaf_4k_v0.6.1", 1440
"""libvmaf's models for a screen of 1080 lines, and for pictures with more lines than this on one of 2160."""

_WORDS = {
    Metric.PSNR: r"^\[psnr@{name} @ 0x[0-9a-f]+\] \[info\] PSNR [^\n]*\baverage:(inf|[0-9.]+)",
    Metric.SSIM: r"^\[ssim@{name} @ 0x[0-9a-f]+\] \[info\] SSIM [^\n]*\bAll:([0-9.]+)",
    Metric.VMAF: r"^\[libvmaf@{name} @ 0x[0-9a-f]+\] \[info\] VMAF score: ([0-9.]+)",
}
"""A file's own tags stand in the same text, but never at the beginning of a line."""


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the frames that were compared. PSNR in decibels over all planes, SSIM 0 to 1, VMAF 0 to 100."""

    psnr: float | None = None
    ssim: float | None = None
    vmaf: float | None = None


def lines(made: str, reference: str, metrics: Sequence[Metric], size: tuple[int, int], threads: int) -> list[str]:
    """The graph's end: label `made` held against label `reference`, frame by frame. Its outputs are `outputs(metrics)`.

    Both must be of one size, pixel format and grid of times.
    """
    text = []
    for label, role in ((made, "d"), (reference, "r")):
        ends = "".join(f"[{role}{n}]" for n in range(len(metrics)))
        text.append(f"[{label}]split={len(metrics)}{ends}")
    for n, metric in enumerate(metrics):
        text.append(f"[d{n}][r{n}]{_filter(metric, size, threads)}[{outputs(metrics)[n]}]")
    return text


def outputs(metrics: Sequence[Metric]) -> tuple[str, ...]:
    return tuple(f"score{n}" for n in range(len(metrics)))


def _filter(metric: Metric, size: tuple[int, int], threads: int) -> str:
    if metric is Metric.VMAF:
        model = LARGE_MODEL if min(size) > LARGE_LINES else MODEL
        return f"libvmaf@made=model=version={model}:n_threads={threads}:shortest=1"
    return f"{metric.value}@made=shortest=1"


def read(stderr_tail: str, metrics: Sequence[Metric]) -> Score | None:
    """What the filters said at their end; None where one of them said nothing."""
    found: dict[str, float] = {}
    for metric in metrics:
        told = re.findall(_WORDS[metric].format(name="made"), stderr_tail, re.MULTILINE)
        if not told:
            return None
        found[metric.value] = HIGHEST_PSNR if told[-1] == "inf" else round(min(float(told[-1]), HIGHEST_PSNR), 4)
    return Score(**found)


def errors_only(stderr_tail: str) -> str:
    """What a process says that must speak of more than errors, without what is no error: tags of the file, for example."""
    return "\n".join(line for line in stderr_tail.splitlines() if re.match(r"^(\[[^\]\n]*\] )*\[(error|fatal|panic)\]", line))
