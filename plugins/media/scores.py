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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two labels of a graph to be held against each other; both of this size, one pixel format and one grid of times.

    `name` is what the filters are called by, and so what their words are found by.
    """

    name: str
    made: str
    reference: str
    size: tuple[int, int]


def lines(pair: Pair, metrics: Sequence[Metric], threads: int) -> list[str]:
    """The graph's end for that pair. Its outputs are `outputs(pair, metrics)`."""
    text, ends = [], outputs(pair, metrics)
    for label in (pair.made, pair.reference):
        text.append(f"[{label}]split={len(metrics)}{''.join(f'[{label}_{n}]' for n in range(len(metrics)))}")
    for n, metric in enumerate(metrics):
        text.append(f"[{pair.made}_{n}][{pair.reference}_{n}]{_filter(metric, pair, threads)}[{ends[n]}]")
    return text


def outputs(pair: Pair, metrics: Sequence[Metric]) -> tuple[str, ...]:
    return tuple(f"{pair.made}_score{n}" for n in range(len(metrics)))


def _filter(metric: Metric, pair: Pair, threads: int) -> str:
    if metric is Metric.VMAF:
        model = LARGE_MODEL if min(pair.size) > LARGE_LINES else MODEL
        return f"libvmaf@{pair.name}=model=version={model}:n_threads={threads}:shortest=1"
    return f"{metric.value}@{pair.name}=shortest=1"


def names(graph: str) -> tuple[str, ...]:
    """What the measuring filters of a graph are called."""
    return tuple(dict.fromkeys(re.findall(r"\](?:psnr|ssim|libvmaf)@([a-z0-9_-]+)=", graph)))


def read(stderr_tail: str, name: str, metrics: Sequence[Metric]) -> Score | None:
    """What the filters of that name said at their end; None where one of them said nothing."""
    found: dict[str, float] = {}
    for metric in metrics:
        told = re.findall(_WORDS[metric].format(name=re.escape(name)), stderr_tail, re.MULTILINE)
        if not told:
            return None
        found[metric.value] = HIGHEST_PSNR if told[-1] == "inf" else round(min(float(told[-1]), HIGHEST_PSNR), 4)
    return Score(**found)


def errors_only(stderr_tail: str) -> str:
    """What a process says that must speak of more than errors, without what is no error: tags of the file, for example."""
    return "\n".join(line for line in stderr_tail.splitlines() if re.match(r"^(\[[^\]\n]*\] )*\[(error|fatal|panic)\]", line))
