"""Renditions that aim at a quality: whose CRF is looked for, what was found, and by what they are measured in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatch.core.plans import Film
from protocol.encoding import SOFTWARE_ENCODERS, Rate
from protocol.extras import Metric, QualityMetrics
from protocol.recipes import PlannedRendition

PROOF = QualityMetrics(metrics=(Metric.VMAF,), sample_seconds=20)
"""What a rendition with a target is measured by in the end, where the profile asks for nothing else."""


def is_software(planned: PlannedRendition) -> bool:
    return planned.encoder == SOFTWARE_ENCODERS[planned.rendition.codec]


def is_probed(planned: PlannedRendition) -> bool:
    """Whether its CRF is looked for: an encoder of a GPU has a scale of its own, which probes of another do not tell."""
    return planned.rendition.target is not None and is_software(planned)


def needs_of(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """What an engine must have proven to measure these."""
    return tuple(f"metric:{metric.value}" for metric in metrics)


def rated(film: Film, planned: PlannedRendition) -> PlannedRendition:
    """With the CRF that was found for it, where its encoder is the one that it was found for."""
    found = {one.rendition: one.crf for one in film.measured.rates} if film.measured else {}
    crf = found.get(planned.rendition.name)
    if crf is None or not is_probed(planned):
        return planned
    wanted = planned.rendition
    rate = Rate(crf=crf, max_bitrate=wanted.max_bitrate, buffer_seconds=wanted.buffer_seconds)
    return planned.model_copy(update={"rate": rate})


def metrics_of(film: Film, renditions: Sequence[PlannedRendition]) -> QualityMetrics | None:
    """What is asked for; and a target is held against what came out."""
    if not renditions:
        return None
    aimed = any(planned.rendition.target is not None for planned in renditions)
    return film.profile.quality_metrics or (PROOF if aimed else None)
