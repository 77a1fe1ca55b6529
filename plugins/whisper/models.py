"""Which speech models are at hand, what each can be used for, and which one a recipe gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SIZES = ("tiny", "base", "small", "medium", "large")
MEMORY: dict[str, int] = {"tiny": 2 << 30, "base": 3 << 30, "small": 5 << 30}
"""Of the tool process: weights as int8, the features of half an hour, and what the libraries take for themselves."""

MOST_MEMORY = 8 << 30


@dataclass(frozen=True, slots=True)
class Model:
    """`stamp` changes when the files do. One whose name ends in `.en` knows English alone."""

    name: str
    backend: str
    path: str
    stamp: str

    @property
    def is_english(self) -> bool:
        return self.name.endswith(".en")

    @property
    def size(self) -> int:
        """Its place among the sizes; a name without one counts as the largest."""
        return next((place for place, word in enumerate(SIZES) if word in self.name), len(SIZES) - 1)

    @property
    def memory_bytes(self) -> int:
        return MEMORY.get(SIZES[self.size], MOST_MEMORY)


def choose(models: Iterable[Model], name: str, language: str | None) -> Model | None:
    """The one of that name, else the nearest in size that knows the language, the smaller of two. None without any."""
    fit = [model for model in models if not model.is_english or language == "en"]
    exact = next((model for model in fit if model.name == name), None)
    wanted = Model(name, "", "", "").size
    return exact or min(fit, key=lambda model: (abs(model.size - wanted), model.size, model.name), default=None)


def capabilities(models: Sequence[Model], languages: Iterable[str]) -> tuple[str, ...]:
    """`speech:any` says that the language is detected; besides, each language and each model by its name."""
    spoken = {f"speech:{language}" for language in languages}
    detects = {"speech:any"} if any(not model.is_english for model in models) else set()
    return tuple(sorted({f"model:{model.name}" for model in models} | spoken | detects))
