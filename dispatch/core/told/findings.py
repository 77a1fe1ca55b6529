"""What was found out of a film: its content, and how settings compare on a sample of it."""

from __future__ import annotations

from dispatch.core.told.made import Fields, Made, Output, place
from dispatch.core.told.renditions import name_of, resolution_of, scores_of
from protocol.results import FileRole


def tell(made: Made) -> Fields:
    told: Fields = {}
    if (content := made.first(FileRole.CONTENT)) is not None:
        told["content"] = place(content)
    if (comparison := made.first(FileRole.COMPARISON)) is not None:
        told["comparison"] = {**place(comparison), "samples": {name_of(one): _sample(one) for one in made.of(FileRole.SAMPLE)}}
    return told


def _sample(output: Output) -> Fields:
    facts = output.facts
    size = {} if facts.width is None else {"resolution": resolution_of(facts)}
    return {**place(output), "codec": facts.codec, **size, "bitrate": facts.bitrate, **scores_of(facts)}
