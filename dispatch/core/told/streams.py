"""What players are pointed at: the master playlist and the DASH manifest."""

from __future__ import annotations

from dispatch.core.told.made import Fields, Made, place
from protocol import steps as step_names
from protocol.results import FileRole


def tell(made: Made) -> Fields:
    told: Fields = {}
    if (master := made.first(FileRole.MASTER_PLAYLIST)) is not None:
        told["hls"] = place(master)
    if (manifest := made.first(FileRole.MANIFEST)) is not None:
        told["dash"] = {**place(manifest), "processing_time_seconds": made.took.get(step_names.PACKAGE_STREAMS)}
    return told
