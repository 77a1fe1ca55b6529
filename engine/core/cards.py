"""What the driver's own words add to the GPUs that were proven: their names and their memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from protocol.capabilities import Capabilities, Load


class Card(NamedTuple):
    """What does not change of a GPU."""

    name: str
    memory_bytes: int


def cards_of(load: Load) -> Iterator[tuple[str, Card]]:
    """By device, those of which a monitor knows the name."""
    return ((gpu.index, Card(gpu.name, gpu.memory_bytes)) for gpu in load.gpus if gpu.name)


def with_cards(capabilities: Capabilities, cards: Mapping[str, Card]) -> Capabilities:
    """The devices by their names; what no monitor knows stays as the survey found it."""
    if not capabilities.devices or not cards:
        return capabilities
    devices = tuple(
        device.model_copy(update=card._asdict()) if (card := cards.get(device.index)) is not None else device
        for device in capabilities.devices
    )
    return capabilities.model_copy(update={"devices": devices})
